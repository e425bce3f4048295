//! Remembers what a table held before a round of edits.

use std::collections::BTreeMap;

use bulkhead_wire::delta::Change;

/// First old value of each key touched; `None`: it was absent.
#[derive(Debug)]
pub struct Edits<K, V>(BTreeMap<K, Option<V>>);

impl<K, V> Default for Edits<K, V> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<K: Ord + Clone, V: Clone + PartialEq> Edits<K, V> {
    pub fn set(&mut self, table: &mut BTreeMap<K, V>, key: K, value: V) {
        let old = table.insert(key.clone(), value);
        self.0.entry(key).or_insert(old);
    }

    pub fn unset(&mut self, table: &mut BTreeMap<K, V>, key: &K) {
        if let Some(old) = table.remove(key) {
            self.0.entry(key.clone()).or_insert(Some(old));
        }
    }

    /// What really changed since the last time; forgets it.
    pub fn take(&mut self, table: &BTreeMap<K, V>) -> Change<K, V> {
        let mut change = Change::default();
        for (key, old) in std::mem::take(&mut self.0) {
            match table.get(&key) {
                Some(new) if old.as_ref() != Some(new) => {
                    change.set.insert(key, new.clone());
                }
                None if old.is_some() => change.unset.push(key),
                _ => {}
            }
        }
        change
    }
}
