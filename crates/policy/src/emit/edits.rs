//! Remembers what a table held before a round of edits.

use std::collections::BTreeMap;

use bulkhead_wire::Table;
use bulkhead_wire::delta::Change;

/// First old value of each key touched; `None`: it was absent. Before the first delta there is
/// nothing to remember: everything is new.
#[derive(Debug)]
pub struct Edits<K, V> {
    old: BTreeMap<K, Option<V>>,
    is_told: bool,
}

impl<K, V> Default for Edits<K, V> {
    fn default() -> Self {
        Self { old: BTreeMap::new(), is_told: false }
    }
}

impl<K: Ord + Clone, V: Clone + PartialEq> Edits<K, V> {
    pub fn set(&mut self, table: &mut Table<K, V>, key: K, value: V) {
        if !self.is_told {
            table.insert(key, value);
            return;
        }
        let old = table.insert(key.clone(), value);
        self.old.entry(key).or_insert(old);
    }

    pub fn unset(&mut self, table: &mut Table<K, V>, key: &K) {
        if table.contains_key(key)
            && let Some(old) = table.remove(key)
            && self.is_told
        {
            self.old.entry(key.clone()).or_insert(Some(old));
        }
    }

    /// What really changed since the last time; forgets it.
    pub fn take(&mut self, table: &Table<K, V>) -> Change<K, V> {
        if !std::mem::replace(&mut self.is_told, true) {
            return Change { set: table.clone(), unset: Vec::new() };
        }
        let (mut set, mut unset) = (BTreeMap::new(), Vec::new());
        for (key, old) in std::mem::take(&mut self.old) {
            match table.get(&key) {
                Some(new) if old.as_ref() != Some(new) => {
                    set.insert(key, new.clone());
                }
                None if old.is_some() => unset.push(key),
                _ => {}
            }
        }
        Change { set: set.into(), unset }
    }
}
