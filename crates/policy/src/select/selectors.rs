//! Every selector in use, with its members, kept exact by deltas.
//!
//! Selectors are matched against personas, not members: a member that joins a persona which exists
//! joins what the persona matches. A persona that is new, or whose namespace or account changes its
//! labels, tries only the selectors that are filed where it looks ([`super::anchors`]).

use std::sync::Arc;

use bulkhead_types::{Labels, Selector};
use hashbrown::HashMap;

use super::MemberId;
use super::anchors::Anchor;
use super::finder::Finder;
use super::ids::Ids;
use super::labels::{LabelIndex, Tag};
use super::personas::{Home, HomeId, Persona, PersonaId, PersonaKey, Personas, Sight};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SelectorId(pub u32);

/// Takes what a member inherits, label by label.
pub type Heir<'a> = dyn FnMut(&str, &str) + 'a;

#[derive(Debug, Default)]
pub struct Selectors {
    personas: Personas,
    index: LabelIndex,
    selectors: HashMap<SelectorId, Entry>,
    by_expr: Finder<SelectorId>,
    next: u32,
    /// Single (selector, persona) tests since the beginning; for tests of incrementality.
    pub n_tests: u64,
}

#[derive(Debug)]
struct Entry {
    selector: Selector,
    personas: Ids,
    anchor: Anchor,
    n_uses: usize,
}

/// How one member's matches moved. Sorted.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Delta {
    pub joined: Vec<SelectorId>,
    pub left: Vec<SelectorId>,
}

impl Delta {
    pub fn each(&self) -> impl Iterator<Item = SelectorId> + '_ {
        self.joined.iter().chain(&self.left).copied()
    }

    pub fn is_empty(&self) -> bool {
        self.joined.is_empty() && self.left.is_empty()
    }

    fn between(old: &[SelectorId], new: &[SelectorId]) -> Self {
        let but = |these: &[SelectorId], those: &[SelectorId]| {
            these.iter().copied().filter(|id| those.binary_search(id).is_err()).collect()
        };
        Self { joined: but(new, old), left: but(old, new) }
    }
}

impl Selectors {
    /// Counts one more use; evaluates the selector if it is the first.
    pub fn acquire(&mut self, selector: &Selector) -> SelectorId {
        let is_same = |id| self.selector(id) == Some(selector);
        if let Some(id) = self.by_expr.find(selector, is_same) {
            if let Some(entry) = self.selectors.get_mut(&id) {
                entry.n_uses += 1;
            }
            return id;
        }
        let id = SelectorId(self.next);
        self.next += 1;
        let anchor = Anchor::of(selector, &mut self.index);
        let candidates = anchor.candidates(&self.index);
        let candidates = candidates.unwrap_or_else(|| self.personas.ids().collect());
        let mut personas = Ids::default();
        for candidate in candidates {
            if sight(&self.personas, &self.index, candidate).is_some_and(|s| selector.matches(&s))
                && personas.insert(candidate.0)
                && let Some(persona) = self.personas.get_mut(candidate)
            {
                // The newest id is the greatest.
                persona.matches.push(id);
            }
        }
        self.index.file(id, &anchor);
        self.by_expr.insert(selector, id);
        self.selectors
            .insert(id, Entry { selector: selector.clone(), personas, anchor, n_uses: 1 });
        id
    }

    /// Counts one use less; forgets the selector if it was the last.
    pub fn release(&mut self, id: SelectorId) {
        let Some(entry) = self.selectors.get_mut(&id) else { return };
        entry.n_uses -= 1;
        if entry.n_uses > 0 {
            return;
        }
        let Some(entry) = self.selectors.remove(&id) else { return };
        for persona in entry.personas.iter() {
            if let Some(persona) = self.personas.get_mut(PersonaId(persona))
                && let Ok(place) = persona.matches.binary_search(&id)
            {
                persona.matches.remove(place);
            }
        }
        self.index.strike(id, &entry.anchor);
        self.by_expr.remove(&entry.selector, id);
    }

    pub fn members(&self, id: SelectorId) -> impl Iterator<Item = MemberId> + '_ {
        let personas = self.selectors.get(&id).into_iter().flat_map(|entry| entry.personas.iter());
        personas
            .filter_map(|persona| self.personas.get(PersonaId(persona)))
            .flat_map(|persona| persona.members.iter())
            .map(MemberId)
    }

    pub fn selector(&self, id: SelectorId) -> Option<&Selector> {
        self.selectors.get(&id).map(|entry| &entry.selector)
    }

    /// Every selector that matches the member. Sorted.
    pub fn matches(&self, member: MemberId) -> impl Iterator<Item = SelectorId> + '_ {
        self.matches_of(self.persona_of(member)).iter().copied()
    }

    pub fn is_match(&self, member: MemberId, selector: SelectorId) -> bool {
        self.matches_of(self.persona_of(member)).binary_search(&selector).is_ok()
    }

    fn matches_of(&self, persona: Option<PersonaId>) -> &[SelectorId] {
        persona.and_then(|id| self.personas.get(id)).map_or(&[], |persona| &persona.matches)
    }

    pub fn persona_of(&self, member: MemberId) -> Option<PersonaId> {
        self.personas.of(member)
    }

    pub fn persona(&self, member: MemberId) -> Option<&Persona> {
        self.personas.get(self.persona_of(member)?)
    }

    pub fn members_of(&self, persona: PersonaId) -> impl Iterator<Item = MemberId> + '_ {
        let persona = self.personas.get(persona).into_iter();
        persona.flat_map(|persona| persona.members.iter()).map(MemberId)
    }

    pub fn get(&self, persona: PersonaId) -> Option<&Persona> {
        self.personas.get(persona)
    }

    /// What the member's own object says of it.
    pub fn own_labels(&self, member: MemberId) -> Labels {
        let own = self.persona_of(member).map(|id| self.personas.own_labels(id, &self.index));
        own.unwrap_or_default()
    }

    /// Where the member belongs.
    pub fn home_of(&self, member: MemberId) -> Option<&Home> {
        self.personas.home_of(self.persona_of(member)?)
    }

    pub fn home(&self, id: HomeId) -> Option<&Home> {
        self.personas.home(id)
    }

    pub fn homes_in(&self, namespace: &str) -> &[HomeId] {
        self.personas.homes_in(namespace)
    }

    pub fn at_home(&self, home: HomeId) -> impl Iterator<Item = PersonaId> + '_ {
        self.personas.at_home(home)
    }

    /// Whether nothing is held.
    pub fn is_idle(&self) -> bool {
        self.personas.is_idle() && self.selectors.is_empty() && self.index.is_idle()
    }

    /// Adds a member, or gives it another persona. `inherit` is asked for what is inherited in a home
    /// where nobody lives yet.
    pub fn put(
        &mut self,
        id: MemberId,
        key: &PersonaKey<'_>,
        inherit: impl FnOnce(&mut Heir<'_>),
    ) -> Delta {
        let home = self.personas.find_home(key);
        let found = home.and_then(|home| self.personas.find(home, key.own, &self.index));
        let old = self.personas.of(id);
        if found.is_some() && found == old {
            return Delta::default();
        }
        let new = found.unwrap_or_else(|| self.introduce(home, key, inherit));
        self.personas.turn(id, Some(new));
        let delta = Delta::between(self.matches_of(old), self.matches_of(Some(new)));
        if let Some(old) = old {
            self.drop_if_empty(old);
        }
        delta
    }

    /// What is inherited in a home may have changed; gives how the matches of its personas moved, and
    /// after how many tests.
    pub fn relabel(
        &mut self,
        home: HomeId,
        inherit: impl FnOnce(&mut Heir<'_>),
    ) -> Vec<(PersonaId, u64, Delta)> {
        let new = self.inherited(inherit);
        let Some(old) = self.personas.bequeath(home, Arc::clone(&new)) else { return Vec::new() };
        let but = |these: &[Tag], those: &[Tag]| -> Vec<Tag> {
            these.iter().filter(|tag| !those.contains(tag)).copied().collect()
        };
        let (come, gone) = (but(&new, &old), but(&old, &new));
        if come.is_empty() && gone.is_empty() {
            return Vec::new();
        }
        let personas: Vec<PersonaId> = self.personas.at_home(home).collect();
        let mut moved = Vec::with_capacity(personas.len());
        for id in personas {
            self.index.tie(id, &come);
            let before = self.n_tests;
            let mut candidates = self.matches_of(Some(id)).to_vec();
            let (own, inherited) = self.personas.tags(id).unwrap_or_default();
            candidates.extend(self.index.filed(own).chain(self.index.filed(inherited)));
            for tag in come.iter().chain(&gone) {
                candidates.extend(self.index.looking(tag.key));
            }
            let delta = self.rematch(id, candidates);
            moved.push((id, self.n_tests - before, delta));
            self.index.untie(id, &gone);
        }
        moved
    }

    pub fn remove(&mut self, id: MemberId) -> Delta {
        let Some(old) = self.personas.turn(id, None) else { return Delta::default() };
        let left = self.matches_of(Some(old)).to_vec();
        self.drop_if_empty(old);
        Delta { joined: Vec::new(), left }
    }

    fn inherited(&mut self, inherit: impl FnOnce(&mut Heir<'_>)) -> Arc<[Tag]> {
        let mut tags = Vec::new();
        inherit(&mut |key, value| tags.push(self.index.intern(key, value)));
        tags.into()
    }

    fn introduce(
        &mut self,
        home: Option<HomeId>,
        key: &PersonaKey<'_>,
        inherit: impl FnOnce(&mut Heir<'_>),
    ) -> PersonaId {
        let home = home.unwrap_or_else(|| {
            let inherited = self.inherited(inherit);
            self.personas.make_home(key, inherited)
        });
        let id = self.personas.make(home, key, &mut self.index);
        let mut candidates = self.index.loose().to_vec();
        let (own, inherited) = self.personas.tags(id).unwrap_or_default();
        for tags in [own, inherited] {
            self.index.tie(id, tags);
            candidates.extend(self.index.filed(tags));
        }
        self.rematch(id, candidates);
        id
    }

    fn drop_if_empty(&mut self, id: PersonaId) {
        let Some((persona, inherited)) = self.personas.drop_if_empty(id, &self.index) else {
            return;
        };
        self.index.untie(id, &persona.own);
        self.index.untie(id, &inherited);
        for selector in &persona.matches {
            if let Some(entry) = self.selectors.get_mut(selector) {
                entry.personas.remove(id.0);
            }
        }
    }

    fn rematch(&mut self, id: PersonaId, mut candidates: Vec<SelectorId>) -> Delta {
        let Some(sight) = sight(&self.personas, &self.index, id) else { return Delta::default() };
        candidates.sort_unstable();
        candidates.dedup();
        let mut matches = Vec::with_capacity(candidates.len());
        for selector in candidates {
            let Some(entry) = self.selectors.get_mut(&selector) else { continue };
            self.n_tests += 1;
            if entry.selector.matches(&sight) {
                entry.personas.insert(id.0);
                matches.push(selector);
            } else {
                entry.personas.remove(id.0);
            }
        }
        let Some(persona) = self.personas.get_mut(id) else { return Delta::default() };
        let old = std::mem::replace(&mut persona.matches, matches);
        Delta::between(&old, &persona.matches)
    }
}

fn sight<'a>(personas: &'a Personas, index: &'a LabelIndex, id: PersonaId) -> Option<Sight<'a>> {
    let (own, inherited) = personas.tags(id)?;
    Some(Sight { own, inherited, index })
}
