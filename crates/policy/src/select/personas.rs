//! Personas: members that look alike to every selector are one.
//!
//! The pods of a Deployment have one persona, so that a hundred thousand pods are matched, indexed
//! and judged as a few thousand. A persona is told by what its members say of themselves; what it
//! inherits (from its namespace, its account) is the same for all of them.
//!
//! INVARIANT(persona): what a selector sees of a member depends on nothing of the member but its
//! [`PersonaKey`].

use std::hash::BuildHasher;
use std::sync::Arc;

use bulkhead_types::{LabelLookup, Labels};
use hashbrown::{DefaultHashBuilder, HashMap, HashTable};

use super::MemberId;
use super::ids::Ids;
use super::selectors::SelectorId;
use crate::facts::{Word, Words};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PersonaId(pub u32);

/// What kind of object a member comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Origin {
    Pod,
    Workload,
    Host,
    NetworkSet,
    GlobalNetworkSet,
}

/// What sets a persona apart. The namespace and the account may be empty.
#[derive(Clone, Copy, Debug)]
pub struct PersonaKey<'a> {
    pub origin: Origin,
    pub namespace: &'a str,
    pub account: &'a str,
    pub own: &'a Labels,
}

/// Labels, sorted by key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sight(Arc<[(Word, Word)]>);

#[derive(Debug)]
pub struct Persona {
    pub origin: Origin,
    pub namespace: Word,
    pub account: Word,
    /// What its members say of themselves.
    pub own: Sight,
    /// What selectors see.
    pub sight: Sight,
    /// Sorted.
    pub matches: Vec<SelectorId>,
    pub members: Ids,
}

#[derive(Debug, Default)]
pub struct Personas {
    slots: Vec<Option<Persona>>,
    free: Vec<PersonaId>,
    by_key: HashTable<PersonaId>,
    in_namespace: HashMap<Word, Ids>,
    /// By member.
    of_member: Vec<Option<PersonaId>>,
    hashing: DefaultHashBuilder,
}

impl Sight {
    pub fn new(labels: &Labels, words: &mut Words) -> Self {
        Self(labels.iter().map(|(key, value)| (words.intern(key), words.intern(value))).collect())
    }

    pub fn iter(&self) -> impl Iterator<Item = &(Word, Word)> {
        self.0.iter()
    }

    pub fn value(&self, key: &str) -> Option<&Word> {
        let place = self.0.binary_search_by(|(found, _)| (**found).cmp(key)).ok()?;
        self.0.get(place).map(|(_, value)| value)
    }

    pub fn to_labels(&self) -> Labels {
        self.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect()
    }

    fn is(&self, labels: &Labels) -> bool {
        self.0.len() == labels.len()
            && self.iter().zip(labels).all(|((k, v), (key, value))| **k == **key && **v == **value)
    }
}

impl LabelLookup for Sight {
    fn label(&self, key: &str) -> Option<&str> {
        self.value(key).map(|value| &**value)
    }
}

impl Persona {
    fn is(&self, key: &PersonaKey<'_>) -> bool {
        self.origin == key.origin
            && *self.namespace == *key.namespace
            && *self.account == *key.account
            && self.own.is(key.own)
    }
}

impl Personas {
    pub fn get(&self, id: PersonaId) -> Option<&Persona> {
        self.slots.get(id.0 as usize)?.as_ref()
    }

    pub fn get_mut(&mut self, id: PersonaId) -> Option<&mut Persona> {
        self.slots.get_mut(id.0 as usize)?.as_mut()
    }

    pub fn iter(&self) -> impl Iterator<Item = PersonaId> + '_ {
        let ids = (0u32..).zip(&self.slots).filter(|(_, slot)| slot.is_some());
        ids.map(|(id, _)| PersonaId(id))
    }

    pub fn of(&self, member: MemberId) -> Option<PersonaId> {
        self.of_member.get(member.0 as usize).copied().flatten()
    }

    pub fn in_namespace(&self, namespace: &str) -> impl Iterator<Item = PersonaId> + '_ {
        self.in_namespace.get(namespace).into_iter().flat_map(Ids::iter).map(PersonaId)
    }

    pub fn find(&self, key: &PersonaKey<'_>) -> Option<PersonaId> {
        let hash = self.hash(key);
        let is_same = |id: &PersonaId| self.get(*id).is_some_and(|persona| persona.is(key));
        self.by_key.find(hash, is_same).copied()
    }

    /// A persona without members or matches yet.
    pub fn make(&mut self, key: &PersonaKey<'_>, sight: Sight, words: &mut Words) -> PersonaId {
        let persona = Persona {
            origin: key.origin,
            namespace: words.intern(key.namespace),
            account: words.intern(key.account),
            own: Sight::new(key.own, words),
            sight,
            matches: Vec::new(),
            members: Ids::default(),
        };
        let id = self.free.pop().unwrap_or(PersonaId(self.slots.len() as u32));
        match self.in_namespace.get_mut(key.namespace) {
            Some(ids) => {
                ids.insert(id.0);
            }
            None => {
                let namespace = Word::clone(&persona.namespace);
                self.in_namespace.entry(namespace).or_default().insert(id.0);
            }
        }
        match self.slots.get_mut(id.0 as usize) {
            Some(slot) => *slot = Some(persona),
            None => self.slots.push(Some(persona)),
        }
        let hash = self.hash(key);
        let (slots, hashing) = (&self.slots, &self.hashing);
        self.by_key.insert_unique(hash, id, |id| {
            let persona = slots.get(id.0 as usize).and_then(Option::as_ref);
            persona.map_or(0, |persona| hash_of(persona, hashing))
        });
        id
    }

    /// Forgets a persona that has no members; gives what it was.
    pub fn drop_if_empty(&mut self, id: PersonaId) -> Option<Persona> {
        if !self.get(id)?.members.is_empty() {
            return None;
        }
        let hash = hash_of(self.get(id)?, &self.hashing);
        if let Ok(entry) = self.by_key.find_entry(hash, |found| *found == id) {
            entry.remove();
        }
        let persona = self.slots.get_mut(id.0 as usize)?.take()?;
        if let Some(ids) = self.in_namespace.get_mut(&persona.namespace) {
            ids.remove(id.0);
            if ids.is_empty() {
                self.in_namespace.remove(&persona.namespace);
            }
        }
        self.free.push(id);
        Some(persona)
    }

    /// Gives the persona that the member was.
    pub fn turn(&mut self, member: MemberId, persona: Option<PersonaId>) -> Option<PersonaId> {
        let place = member.0 as usize;
        if self.of_member.len() <= place {
            self.of_member.resize(place + 1, None);
        }
        let slot = self.of_member.get_mut(place)?;
        let old = std::mem::replace(slot, persona);
        if old != persona {
            if let Some(old) = old.and_then(|old| self.get_mut(old)) {
                old.members.remove(member.0);
            }
            if let Some(new) = persona.and_then(|new| self.get_mut(new)) {
                new.members.insert(member.0);
            }
        }
        old
    }

    pub fn is_idle(&self) -> bool {
        self.by_key.is_empty() && self.in_namespace.is_empty()
    }

    fn hash(&self, key: &PersonaKey<'_>) -> u64 {
        let own = key.own.iter().map(|(key, value)| (key.as_str(), value.as_str()));
        hash_parts(&self.hashing, key.origin, key.namespace, key.account, own)
    }
}

fn hash_of(persona: &Persona, hashing: &DefaultHashBuilder) -> u64 {
    let own = persona.own.iter().map(|(key, value)| (&**key, &**value));
    hash_parts(hashing, persona.origin, &persona.namespace, &persona.account, own)
}

fn hash_parts<'a>(
    hashing: &DefaultHashBuilder,
    origin: Origin,
    namespace: &str,
    account: &str,
    own: impl Iterator<Item = (&'a str, &'a str)>,
) -> u64 {
    use std::hash::{Hash, Hasher};
    let mut hasher = hashing.build_hasher();
    (origin, namespace, account).hash(&mut hasher);
    own.for_each(|label| label.hash(&mut hasher));
    hasher.finish()
}
