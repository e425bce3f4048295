//! When what was heard may be taken over: a pure state machine.
//!
//! INVARIANT(unknown-is-not-absent): before the first taking over every kind is known. Afterwards a
//! kind that has to be heard anew holds everything back, for [`HOLD_MAX`] at most; then the others go
//! on, and its objects stay as they were.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use bulkhead_api::object::Kind;
use bulkhead_apimachinery::kinds;
use bulkhead_store::{Change, Key, ListRequest, Scope, Store};
use serde_json::Value;

/// How long a kind that is not heard after a cut holds back what is heard of the others.
pub const HOLD_MAX: Duration = Duration::from_secs(30);

/// What one reflector says.
#[derive(Debug)]
pub struct Word {
    pub kind: Kind,
    pub heard: Heard,
}

#[derive(Debug)]
pub enum Heard {
    /// All there is. The generation is the one in which the list was begun.
    Listed {
        generation: u64,
        objects: Vec<(Key, Value)>,
    },
    /// The server has no such kind.
    NotInstalled {
        generation: u64,
    },
    Put(Key, Value),
    Removed(Key),
    /// Nothing is heard at the moment.
    Failed(String),
}

#[derive(Debug)]
pub struct Assembler {
    kinds: BTreeMap<Kind, Ear>,
    /// The generation that everything has to be of.
    aim: u64,
    /// Whether everything was taken over in this generation, or what there was of it.
    is_whole: bool,
    /// Since when something waits that could not be taken over.
    held_since: Option<Instant>,
    was_known: bool,
}

#[derive(Debug, Default)]
struct Ear {
    /// Of which it is known as a whole.
    generation: Option<u64>,
    /// The others do not wait for it any more, in this generation.
    is_left_out: bool,
    list: Option<BTreeMap<Key, Value>>,
    changes: Vec<Change>,
}

/// What is to be taken over now.
#[derive(Debug, Default, PartialEq)]
pub struct Taken {
    pub changes: Vec<Change>,
    /// The first of a generation in which every kind is known.
    pub is_everything: bool,
    /// Kinds that are not waited for any longer.
    pub left_out: Vec<Kind>,
}

impl Assembler {
    pub fn new(kinds: impl IntoIterator<Item = Kind>) -> Self {
        let kinds = kinds.into_iter().map(|kind| (kind, Ear::default())).collect();
        Self { kinds, aim: 0, is_whole: false, held_since: None, was_known: false }
    }

    /// From now on everything has to be of this generation.
    pub fn aim(&mut self, generation: u64) {
        if generation > self.aim {
            self.aim = generation;
            self.is_whole = false;
            self.held_since = None;
            self.kinds.values_mut().for_each(|ear| ear.is_left_out = false);
        }
    }

    pub fn hear(&mut self, word: Word) {
        let Some(ear) = self.kinds.get_mut(&word.kind) else { return };
        match word.heard {
            Heard::Listed { generation, objects } => {
                ear.know(generation, objects.into_iter().collect());
            }
            Heard::NotInstalled { generation } => ear.know(generation, BTreeMap::new()),
            Heard::Put(key, value) => match &mut ear.list {
                Some(list) => drop(list.insert(key, value)),
                None => ear.changes.push(Change::Put(key, value)),
            },
            Heard::Removed(key) => match &mut ear.list {
                Some(list) => drop(list.remove(&key)),
                None => ear.changes.push(Change::Remove(key)),
            },
            Heard::Failed(_) => {}
        }
    }

    /// When [`Assembler::take`] is to be asked again though nothing was heard.
    pub fn hold_ends(&self) -> Option<Instant> {
        self.held_since.filter(|_| self.was_known).map(|since| since + HOLD_MAX)
    }

    /// What may be taken over; `held` is what was taken over before.
    pub fn take(&mut self, now: Instant, held: &dyn Store) -> Option<Taken> {
        let aim = self.aim;
        let is_missing = |ear: &Ear| ear.generation != Some(aim) && !ear.is_left_out;
        let mut left_out = Vec::new();
        if self.kinds.values().any(is_missing) {
            let is_waiting = self.kinds.values().any(Ear::has_news);
            let since = self.held_since.or(is_waiting.then_some(now));
            self.held_since = since;
            let since = since?;
            if !self.was_known || now.saturating_duration_since(since) < HOLD_MAX {
                return None;
            }
            for (kind, ear) in self.kinds.iter_mut().filter(|(_, ear)| is_missing(ear)) {
                ear.is_left_out = true;
                left_out.push(*kind);
            }
        }
        self.held_since = None;
        let is_known = self.kinds.values().all(|ear| ear.generation == Some(aim));
        let is_everything = is_known && !self.is_whole;
        let mut changes = Vec::new();
        for (kind, ear) in &mut self.kinds {
            // What is left of an old connection says nothing of the new one.
            if ear.generation == Some(aim) {
                ear.empty(*kind, held, &mut changes);
            }
        }
        if changes.is_empty() && !is_everything && left_out.is_empty() {
            return None;
        }
        self.is_whole |= is_known;
        self.was_known |= is_known;
        Some(Taken { changes, is_everything, left_out })
    }
}

impl Ear {
    fn know(&mut self, generation: u64, list: BTreeMap<Key, Value>) {
        self.generation = Some(generation);
        self.is_left_out = false;
        self.list = Some(list);
        self.changes.clear();
    }

    fn has_news(&self) -> bool {
        self.list.is_some() || !self.changes.is_empty()
    }

    fn empty(&mut self, kind: Kind, held: &dyn Store, changes: &mut Vec<Change>) {
        if let Some(list) = self.list.take() {
            let scope = Scope::resource(kinds::by_id(kind).qualified_plural());
            // Without a revision there is nothing that could have expired.
            let before = held.list(&ListRequest::all(scope)).map(|page| page.items);
            let gone: BTreeSet<Key> = before
                .unwrap_or_default()
                .iter()
                .filter(|stored| !list.contains_key(&stored.key))
                .map(|stored| stored.key.clone())
                .collect();
            changes.extend(gone.into_iter().map(Change::Remove));
            changes.extend(list.into_iter().map(|(key, value)| Change::Put(key, value)));
        }
        changes.append(&mut self.changes);
    }
}

#[cfg(test)]
mod tests;
