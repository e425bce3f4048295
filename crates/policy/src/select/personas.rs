//! Personas: members that look alike to every selector are one.
//!
//! The pods of a Deployment have one persona, so that a hundred thousand pods are matched, indexed
//! and judged as a few thousand. A persona is told by what its members say of themselves and by its
//! *home*, the namespace and account from which they inherit.
//!
//! INVARIANT(persona): what a selector sees of a member depends on nothing of the member but its
//! [`PersonaKey`]. A home is here exactly as long as some persona lives in it.

use std::sync::Arc;

use bulkhead_types::Labels;
use bulkhead_types::selector::LabelLookup;
use hashbrown::HashMap;

use super::MemberId;
use super::finder::Finder;
use super::ids::Ids;
use super::labels::{LabelIndex, Tag};
use super::selectors::SelectorId;
use super::slab::Slab;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PersonaId(pub u32);

/// No persona comes to this number: memory would not hold so many.
const NOBODY: PersonaId = PersonaId(u32::MAX);

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct HomeId(u32);

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
    /// Sorted.
    pub own: &'a [(&'a str, &'a str)],
}

/// What all personas of one origin, namespace and account have in common.
#[derive(Debug)]
pub struct Home {
    pub origin: Origin,
    pub namespace: Arc<str>,
    pub account: Box<str>,
    inherited: Arc<[Tag]>,
    personas: Ids,
}

#[derive(Debug)]
pub struct Persona {
    pub origin: Origin,
    home: HomeId,
    /// What its members say of themselves.
    pub own: Box<[Tag]>,
    /// Sorted.
    pub matches: Vec<SelectorId>,
    pub members: Ids,
}

#[derive(Debug, Default)]
pub struct Personas {
    personas: Slab<Persona>,
    by_key: Finder<PersonaId>,
    homes: Slab<Home>,
    home_by_key: Finder<HomeId>,
    in_namespace: HashMap<Arc<str>, Vec<HomeId>>,
    /// By member; half as large as a list of options.
    of_member: Vec<PersonaId>,
}

/// What selectors see of a persona.
#[derive(Clone, Copy)]
pub struct Sight<'a> {
    pub own: &'a [Tag],
    pub inherited: &'a [Tag],
    pub index: &'a LabelIndex,
}

impl LabelLookup for Sight<'_> {
    fn label(&self, key: &str) -> Option<&str> {
        let key = self.index.find_key(key)?;
        let tag = self.own.iter().chain(self.inherited).find(|tag| tag.key == key)?;
        Some(self.index.value(tag.label))
    }
}

impl Personas {
    pub fn get(&self, id: PersonaId) -> Option<&Persona> {
        self.personas.get(id.0)
    }

    pub fn get_mut(&mut self, id: PersonaId) -> Option<&mut Persona> {
        self.personas.get_mut(id.0)
    }

    pub fn ids(&self) -> impl Iterator<Item = PersonaId> + '_ {
        self.personas.ids().map(PersonaId)
    }

    pub fn of(&self, member: MemberId) -> Option<PersonaId> {
        self.of_member.get(member.0 as usize).copied().filter(|id| *id != NOBODY)
    }

    pub fn home(&self, id: HomeId) -> Option<&Home> {
        self.homes.get(id.0)
    }

    pub fn home_of(&self, id: PersonaId) -> Option<&Home> {
        self.home(self.get(id)?.home)
    }

    pub fn homes_in(&self, namespace: &str) -> &[HomeId] {
        self.in_namespace.get(namespace).map_or(&[], Vec::as_slice)
    }

    pub fn at_home(&self, id: HomeId) -> impl Iterator<Item = PersonaId> + '_ {
        self.homes.get(id.0).into_iter().flat_map(|home| home.personas.iter()).map(PersonaId)
    }

    /// The labels of the persona's own and those that it inherits.
    pub fn tags(&self, id: PersonaId) -> Option<(&[Tag], &[Tag])> {
        let persona = self.get(id)?;
        Some((&persona.own, &self.home(persona.home)?.inherited))
    }

    pub fn own_labels(&self, id: PersonaId, index: &LabelIndex) -> Labels {
        let own = self.get(id).map_or(&[][..], |persona| &persona.own);
        index.texts(own).map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
    }

    pub fn find_home(&self, key: &PersonaKey<'_>) -> Option<HomeId> {
        let is_same = |id| {
            self.home(id).is_some_and(|home| {
                home.origin == key.origin
                    && *home.namespace == *key.namespace
                    && *home.account == *key.account
            })
        };
        self.home_by_key.find(&(key.origin, key.namespace, key.account), is_same)
    }

    pub fn make_home(&mut self, key: &PersonaKey<'_>, inherited: Arc<[Tag]>) -> HomeId {
        let known = self.in_namespace.get_key_value(key.namespace).map(|(name, _)| name);
        let namespace = known.map_or_else(|| key.namespace.into(), Arc::clone);
        let home = Home {
            origin: key.origin,
            namespace: Arc::clone(&namespace),
            account: key.account.into(),
            inherited,
            personas: Ids::default(),
        };
        let id = HomeId(self.homes.insert(home));
        self.home_by_key.insert(&(key.origin, key.namespace, key.account), id);
        self.in_namespace.entry(namespace).or_default().push(id);
        id
    }

    /// Gives what was inherited before.
    pub fn bequeath(&mut self, id: HomeId, inherited: Arc<[Tag]>) -> Option<Arc<[Tag]>> {
        let home = self.homes.get_mut(id.0)?;
        Some(std::mem::replace(&mut home.inherited, inherited))
    }

    pub fn find(
        &self,
        home: HomeId,
        own: &[(&str, &str)],
        index: &LabelIndex,
    ) -> Option<PersonaId> {
        let is_same = |id| {
            self.get(id).is_some_and(|persona| {
                persona.home == home && index.texts(&persona.own).eq(own.iter().copied())
            })
        };
        self.by_key.find(&(home, own), is_same)
    }

    /// A persona without members or matches yet.
    pub fn make(
        &mut self,
        home: HomeId,
        key: &PersonaKey<'_>,
        index: &mut LabelIndex,
    ) -> PersonaId {
        let own = key.own.iter().map(|(key, value)| index.intern(key, value)).collect();
        let (origin, matches, members) = (key.origin, Vec::new(), Ids::default());
        let id = self.personas.insert(Persona { origin, home, own, matches, members });
        self.by_key.insert(&(home, key.own), PersonaId(id));
        if let Some(home) = self.homes.get_mut(home.0) {
            home.personas.insert(id);
        }
        PersonaId(id)
    }

    /// Forgets a persona that has no members, and its home if nobody else lives there; gives what it
    /// was and what it inherited.
    pub fn drop_if_empty(
        &mut self,
        id: PersonaId,
        index: &LabelIndex,
    ) -> Option<(Persona, Arc<[Tag]>)> {
        if !self.get(id)?.members.is_empty() {
            return None;
        }
        let persona = self.personas.remove(id.0)?;
        let own: Vec<(&str, &str)> = index.texts(&persona.own).collect();
        self.by_key.remove(&(persona.home, own.as_slice()), id);
        let home = self.homes.get_mut(persona.home.0)?;
        home.personas.remove(id.0);
        let inherited = Arc::clone(&home.inherited);
        if home.personas.is_empty() {
            self.drop_home(persona.home);
        }
        Some((persona, inherited))
    }

    fn drop_home(&mut self, id: HomeId) {
        let Some(home) = self.homes.remove(id.0) else { return };
        self.home_by_key.remove(&(home.origin, &*home.namespace, &*home.account), id);
        if let Some(homes) = self.in_namespace.get_mut(&home.namespace) {
            homes.retain(|other| *other != id);
            if homes.is_empty() {
                self.in_namespace.remove(&home.namespace);
            }
        }
    }

    /// Gives the persona that the member was.
    pub fn turn(&mut self, member: MemberId, persona: Option<PersonaId>) -> Option<PersonaId> {
        let place = member.0 as usize;
        if self.of_member.len() <= place {
            self.of_member.resize(place + 1, NOBODY);
        }
        let slot = self.of_member.get_mut(place)?;
        let old = std::mem::replace(slot, persona.unwrap_or(NOBODY));
        let old = Some(old).filter(|id| *id != NOBODY);
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
        self.personas.is_empty() && self.homes.is_empty() && self.in_namespace.is_empty()
    }
}
