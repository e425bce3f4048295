//! Finds things by what they are called, where the things themselves are kept elsewhere by number.

use std::hash::{BuildHasher, Hash};

use hashbrown::{DefaultHashBuilder, HashTable};

/// Keeps a part of each hash beside the number, so that neither growth nor most misses look at the
/// things themselves.
#[derive(Debug)]
pub struct Finder<I> {
    table: HashTable<(u32, I)>,
    hashing: DefaultHashBuilder,
}

impl<I> Default for Finder<I> {
    fn default() -> Self {
        Self { table: HashTable::new(), hashing: DefaultHashBuilder::default() }
    }
}

impl<I: Copy + PartialEq> Finder<I> {
    pub fn find(&self, name: &impl Hash, is_called_so: impl Fn(I) -> bool) -> Option<I> {
        let part = self.part(name);
        let found = self.table.find(spread(part), |(p, id)| *p == part && is_called_so(*id));
        found.map(|(_, id)| *id)
    }

    /// Nothing may be called so already.
    pub fn insert(&mut self, name: &impl Hash, id: I) {
        let part = self.part(name);
        self.table.insert_unique(spread(part), (part, id), |(part, _)| spread(*part));
    }

    pub fn remove(&mut self, name: &impl Hash, id: I) {
        let part = self.part(name);
        if let Ok(entry) = self.table.find_entry(spread(part), |(_, found)| *found == id) {
            entry.remove();
        }
    }

    pub fn is_empty(&self) -> bool {
        self.table.is_empty()
    }

    fn part(&self, name: &impl Hash) -> u32 {
        (self.hashing.hash_one(name) >> 32) as u32
    }
}

/// Tables look at the lowest and the highest bits of a hash.
fn spread(part: u32) -> u64 {
    u64::from(part).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}
