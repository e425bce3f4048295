//! A sorted table that clones share.

mod walk;

use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;
use std::slice;
use std::sync::Arc;

use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use walk::Walk;

/// Elements of one chunk, at most: a write copies a chunk, and the list of chunks.
const CHUNK_MAX: usize = 256;

type Chunk<K, V> = Arc<Vec<(K, V)>>;

/// A sorted table in chunks. A clone costs nothing; a write to a table that somebody else still holds
/// copies one chunk of it, and what two tables still share is passed over when they are compared. So an
/// update of a node costs what changes, not what the node knows.
///
/// INVARIANT(table-chunks): no chunk is empty, keys ascend within chunks and from chunk to chunk.
pub struct Table<K, V> {
    chunks: Arc<Vec<Chunk<K, V>>>,
    len: usize,
}

/// A key whose value is not the same in two tables: what it was and what it is.
pub type Difference<'a, K, V> = (&'a K, Option<&'a V>, Option<&'a V>);

impl<K, V> Table<K, V> {
    pub fn len(&self) -> usize {
        self.len
    }

    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Whether the two are one: no difference is possible. `false` says nothing.
    pub fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.chunks, &other.chunks)
    }

    /// In the order of keys.
    pub fn iter(&self) -> Iter<'_, K, V> {
        Iter { chunks: self.chunks.iter(), chunk: [].iter(), n_left: self.len }
    }

    pub fn keys(&self) -> impl Iterator<Item = &K> + Clone {
        self.iter().map(|(key, _)| key)
    }

    pub fn values(&self) -> impl Iterator<Item = &V> + Clone {
        self.iter().map(|(_, value)| value)
    }
}

impl<K: Ord, V> Table<K, V> {
    /// Where the key is, or belongs: its chunk, and its place there. A key behind all others belongs
    /// into the last chunk.
    fn place(&self, key: &K) -> (usize, Result<usize, usize>) {
        let begins_after = |chunk: &Chunk<K, V>| chunk.first().is_none_or(|(first, _)| first > key);
        let n_before = self.chunks.partition_point(|chunk| !begins_after(chunk));
        let at = n_before.saturating_sub(1);
        let found = self
            .chunks
            .get(at)
            .map_or(Err(0), |chunk| chunk.binary_search_by(|(other, _)| other.cmp(key)));
        (at, found)
    }

    pub fn get(&self, key: &K) -> Option<&V> {
        let (at, found) = self.place(key);
        self.chunks.get(at)?.get(found.ok()?).map(|(_, value)| value)
    }

    /// The key as the table has it.
    pub fn get_key_value(&self, key: &K) -> Option<(&K, &V)> {
        let (at, found) = self.place(key);
        self.chunks.get(at)?.get(found.ok()?).map(|(key, value)| (key, value))
    }

    pub fn contains_key(&self, key: &K) -> bool {
        self.place(key).1.is_ok()
    }

    /// As [`Table::iter`], from the first element that is not before `key`.
    pub fn starting_at(&self, key: &K) -> Iter<'_, K, V> {
        let (at, Ok(place) | Err(place)) = self.place(key);
        let mut chunks = self.chunks.iter();
        let n_before: usize = chunks.by_ref().take(at).map(|chunk| chunk.len()).sum();
        let chunk = chunks.next().and_then(|chunk| chunk.get(place..)).unwrap_or_default();
        Iter { chunks, chunk: chunk.iter(), n_left: self.len - (n_before + place).min(self.len) }
    }

    /// Every key whose value is not the same in `self`, which was, and in `other`, which is; in the order
    /// of keys. Takes time with what the two do not share, and a little with the number of chunks.
    pub fn differences<'a>(&'a self, other: &'a Self) -> Vec<Difference<'a, K, V>>
    where
        V: PartialEq,
    {
        let mut differences = Vec::new();
        if self.is_same(other) {
            return differences;
        }
        let (mut olds, mut news) = (Walk::through(&self.chunks), Walk::through(&other.chunks));
        loop {
            if olds.skips_what_is_shared(&mut news) {
                continue;
            }
            match (olds.here(), news.here()) {
                (None, None) => return differences,
                (Some((key, old)), Some((other, new))) if key == other => {
                    if old != new {
                        differences.push((key, Some(old), Some(new)));
                    }
                    olds.step();
                    news.step();
                }
                (Some((key, old)), next) if next.is_none_or(|(other, _)| key < other) => {
                    differences.push((key, Some(old), None));
                    olds.step();
                }
                (_, Some((key, new))) => {
                    differences.push((key, None, Some(new)));
                    news.step();
                }
                (Some(_), None) => olds.step(),
            }
        }
    }
}

impl<K: Ord + Clone, V: Clone> Table<K, V> {
    pub fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        let (at, found) = self.place(key);
        let found = found.ok()?;
        let chunk = Arc::make_mut(Arc::make_mut(&mut self.chunks).get_mut(at)?);
        chunk.get_mut(found).map(|(_, value)| value)
    }

    /// Returns the value that it replaces.
    pub fn insert(&mut self, key: K, value: V) -> Option<V> {
        let (at, found) = self.place(&key);
        let chunks = Arc::make_mut(&mut self.chunks);
        let place = match found {
            Ok(place) => place,
            Err(place) => {
                self.len += 1;
                add(chunks, at, place, (key, value));
                return None;
            }
        };
        let (_, old) = Arc::make_mut(chunks.get_mut(at)?).get_mut(place)?;
        Some(std::mem::replace(old, value))
    }

    pub fn remove(&mut self, key: &K) -> Option<V> {
        let (at, found) = self.place(key);
        let place = found.ok()?;
        let chunks = Arc::make_mut(&mut self.chunks);
        let chunk = Arc::make_mut(chunks.get_mut(at)?);
        let (_, value) = chunk.remove(place);
        self.len -= 1;
        if chunk.is_empty() {
            chunks.remove(at);
        } else {
            join(chunks, at);
            join(chunks, at.saturating_sub(1));
        }
        Some(value)
    }

    pub fn values_mut(&mut self) -> impl Iterator<Item = &mut V> {
        let chunks = Arc::make_mut(&mut self.chunks).iter_mut();
        chunks.flat_map(|chunk| Arc::make_mut(chunk).iter_mut().map(|(_, value)| value))
    }

    pub fn retain(&mut self, keeps: impl Fn(&K, &V) -> bool) {
        if self.iter().all(|(key, value)| keeps(key, value)) {
            return;
        }
        let kept = self.iter().filter(|(key, value)| keeps(key, value));
        *self = from_sorted(kept.map(|(key, value)| (key.clone(), value.clone())));
    }
}

/// An element that belongs at `place` of the chunk at `at`.
fn add<K: Clone, V: Clone>(
    chunks: &mut Vec<Chunk<K, V>>,
    at: usize,
    place: usize,
    element: (K, V),
) {
    let Some(chunk) = chunks.get_mut(at) else {
        return chunks.push(Arc::new(vec![element]));
    };
    let chunk = Arc::make_mut(chunk);
    if chunk.len() < CHUNK_MAX {
        if chunk.len() == chunk.capacity() {
            chunk.reserve_exact((chunk.len() / 2).max(4).min(CHUNK_MAX - chunk.len()));
        }
        return chunk.insert(place, element);
    }
    // What grows at its end, in order, leaves full chunks behind.
    let middle = if place == chunk.len() { place } else { CHUNK_MAX / 2 };
    let mut behind = chunk.split_off(middle);
    if place < middle {
        chunk.insert(place, element);
    } else {
        behind.insert(place - middle, element);
    }
    chunks.insert(at + 1, Arc::new(behind));
}

/// Few elements must not come to stand in many chunks: one takes in the next where both have few.
fn join<K: Clone, V: Clone>(chunks: &mut Vec<Chunk<K, V>>, at: usize) {
    let n_elements = |at: usize| chunks.get(at).map(|chunk| chunk.len());
    if let (Some(one), Some(next)) = (n_elements(at), n_elements(at + 1))
        && one + next <= CHUNK_MAX / 2
    {
        let next = chunks.remove(at + 1);
        if let Some(chunk) = chunks.get_mut(at) {
            Arc::make_mut(chunk).extend(next.iter().cloned());
        }
    }
}

pub struct Iter<'a, K, V> {
    chunks: slice::Iter<'a, Chunk<K, V>>,
    chunk: slice::Iter<'a, (K, V)>,
    n_left: usize,
}

impl<K, V> Clone for Iter<'_, K, V> {
    fn clone(&self) -> Self {
        Self { chunks: self.chunks.clone(), chunk: self.chunk.clone(), n_left: self.n_left }
    }
}

impl<'a, K, V> Iterator for Iter<'a, K, V> {
    type Item = (&'a K, &'a V);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some((key, value)) = self.chunk.next() {
                self.n_left -= 1;
                return Some((key, value));
            }
            self.chunk = self.chunks.next()?.iter();
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.n_left, Some(self.n_left))
    }
}

impl<K, V> ExactSizeIterator for Iter<'_, K, V> {}

impl<'a, K, V> IntoIterator for &'a Table<K, V> {
    type Item = (&'a K, &'a V);
    type IntoIter = Iter<'a, K, V>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl<K: Ord, V> From<BTreeMap<K, V>> for Table<K, V> {
    fn from(map: BTreeMap<K, V>) -> Self {
        from_sorted(map.into_iter())
    }
}

/// Keys must ascend.
fn from_sorted<K, V>(mut elements: impl Iterator<Item = (K, V)>) -> Table<K, V> {
    let (mut chunks, mut len) = (Vec::new(), 0);
    loop {
        let mut chunk = Vec::with_capacity(CHUNK_MAX.min(elements.size_hint().1.unwrap_or(4)));
        chunk.extend(elements.by_ref().take(CHUNK_MAX));
        if chunk.is_empty() {
            return Table { chunks: Arc::new(chunks), len };
        }
        len += chunk.len();
        chunks.push(Arc::new(chunk));
    }
}

/// Of several values of one key the last one stays.
impl<K: Ord, V> FromIterator<(K, V)> for Table<K, V> {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(elements: I) -> Self {
        elements.into_iter().collect::<BTreeMap<K, V>>().into()
    }
}

impl<K: Ord + Clone, V: Clone> Extend<(K, V)> for Table<K, V> {
    fn extend<I: IntoIterator<Item = (K, V)>>(&mut self, elements: I) {
        for (key, value) in elements {
            self.insert(key, value);
        }
    }
}

impl<K, V> Clone for Table<K, V> {
    fn clone(&self) -> Self {
        Self { chunks: Arc::clone(&self.chunks), len: self.len }
    }
}

impl<K, V> Default for Table<K, V> {
    fn default() -> Self {
        Self { chunks: Arc::new(Vec::new()), len: 0 }
    }
}

impl<K: PartialEq, V: PartialEq> PartialEq for Table<K, V> {
    fn eq(&self, other: &Self) -> bool {
        self.is_same(other) || (self.len == other.len && self.iter().eq(other.iter()))
    }
}

impl<K: Eq, V: Eq> Eq for Table<K, V> {}

impl<K: fmt::Debug, V: fmt::Debug> fmt::Debug for Table<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

impl<K: Serialize, V: Serialize> Serialize for Table<K, V> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.iter())
    }
}

impl<'de, K, V> Deserialize<'de> for Table<K, V>
where
    K: Deserialize<'de> + Ord,
    V: Deserialize<'de>,
{
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Elements(PhantomData))
    }
}

struct Elements<K, V>(PhantomData<(K, V)>);

impl<'de, K, V> Visitor<'de> for Elements<K, V>
where
    K: Deserialize<'de> + Ord,
    V: Deserialize<'de>,
{
    type Value = Table<K, V>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a map")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut elements = BTreeMap::new();
        while let Some((key, value)) = map.next_entry()? {
            elements.insert(key, value);
        }
        Ok(elements.into())
    }
}

#[cfg(test)]
mod tests;
