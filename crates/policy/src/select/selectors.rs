//! Every selector in use, with its members, kept exact by deltas.
//!
//! Selectors are matched against personas, not members: a member that joins a persona which exists
//! joins what the persona matches. A persona that is new, or whose namespace or account changes its
//! labels, tries only the selectors that are filed where it looks ([`super::anchors`]).

use bulkhead_types::{Labels, Selector};
use hashbrown::HashMap;

use super::MemberId;
use super::anchors::{Anchor, Anchors};
use super::ids::Ids;
use super::labels::LabelIndex;
use super::personas::{Persona, PersonaId, PersonaKey, Personas, Sight};
use crate::facts::Words;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SelectorId(pub u32);

#[derive(Debug, Default)]
pub struct Selectors {
    words: Words,
    personas: Personas,
    index: LabelIndex,
    selectors: HashMap<SelectorId, Entry>,
    by_text: HashMap<Selector, SelectorId>,
    anchors: Anchors,
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
        if let Some(&id) = self.by_text.get(selector) {
            if let Some(entry) = self.selectors.get_mut(&id) {
                entry.n_uses += 1;
            }
            return id;
        }
        let id = SelectorId(self.next);
        self.next += 1;
        let anchor = self.anchors.anchor_of(selector, &self.index);
        let candidates = anchor.candidates(&self.index);
        let candidates = candidates.unwrap_or_else(|| self.personas.iter().collect());
        let mut personas = Ids::default();
        for candidate in candidates {
            let Some(persona) = self.personas.get_mut(candidate) else { continue };
            if selector.matches(&persona.sight) && personas.insert(candidate.0) {
                // The newest id is the greatest.
                persona.matches.push(id);
            }
        }
        self.anchors.file(id, &anchor, selector);
        self.by_text.insert(selector.clone(), id);
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
        self.anchors.strike(id, &entry.anchor, &entry.selector);
        self.by_text.remove(&entry.selector);
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

    pub fn in_namespace(&self, namespace: &str) -> impl Iterator<Item = PersonaId> + '_ {
        self.personas.in_namespace(namespace)
    }

    pub fn get(&self, persona: PersonaId) -> Option<&Persona> {
        self.personas.get(persona)
    }

    /// Whether nothing is held.
    pub fn is_idle(&self) -> bool {
        self.personas.is_idle()
            && self.selectors.is_empty()
            && self.index.is_idle()
            && self.anchors.is_idle()
    }

    /// Adds a member, or gives it another persona. `sight` is asked for what selectors see of a
    /// persona that nobody is yet.
    pub fn put(
        &mut self,
        id: MemberId,
        key: &PersonaKey<'_>,
        sight: impl FnOnce() -> Labels,
    ) -> Delta {
        let found = self.personas.find(key);
        let old = self.personas.of(id);
        if found.is_some() && found == old {
            return Delta::default();
        }
        let new = found.unwrap_or_else(|| self.introduce(key, &sight()));
        self.personas.turn(id, Some(new));
        let before = old.and_then(|old| self.personas.get(old));
        let before = before.map_or(&[][..], |old| &old.matches);
        let delta = Delta::between(before, self.matches_of(Some(new)));
        if let Some(old) = old {
            self.drop_if_empty(old);
        }
        delta
    }

    /// Gives a persona new labels, those that its members inherit.
    pub fn relabel(&mut self, id: PersonaId, labels: &Labels) -> Delta {
        let Some(persona) = self.personas.get_mut(id) else { return Delta::default() };
        let sight = Sight::new(labels, &mut self.words);
        if persona.sight == sight {
            return Delta::default();
        }
        let old = std::mem::replace(&mut persona.sight, sight.clone());
        let mut candidates = self.anchors.candidates_of_change(&old, &sight);
        candidates.extend(&persona.matches);
        self.index.remove(id, &old);
        self.index.insert(id, &sight);
        self.rematch(id, candidates)
    }

    pub fn remove(&mut self, id: MemberId) -> Delta {
        let Some(old) = self.personas.turn(id, None) else { return Delta::default() };
        let left = self.matches_of(Some(old)).to_vec();
        self.drop_if_empty(old);
        Delta { joined: Vec::new(), left }
    }

    /// Forgets texts that nobody holds any more, now and then.
    pub fn sweep(&mut self) {
        self.words.sweep();
    }

    fn introduce(&mut self, key: &PersonaKey<'_>, labels: &Labels) -> PersonaId {
        let sight = Sight::new(labels, &mut self.words);
        let candidates = self.anchors.candidates(&sight);
        let id = self.personas.make(key, sight.clone(), &mut self.words);
        self.index.insert(id, &sight);
        self.rematch(id, candidates);
        id
    }

    fn drop_if_empty(&mut self, id: PersonaId) {
        let Some(persona) = self.personas.drop_if_empty(id) else { return };
        self.index.remove(id, &persona.sight);
        for selector in &persona.matches {
            if let Some(entry) = self.selectors.get_mut(selector) {
                entry.personas.remove(id.0);
            }
        }
    }

    fn rematch(&mut self, id: PersonaId, mut candidates: Vec<SelectorId>) -> Delta {
        let Some(persona) = self.personas.get_mut(id) else { return Delta::default() };
        candidates.sort_unstable();
        candidates.dedup();
        let mut matches = Vec::with_capacity(candidates.len());
        for selector in candidates {
            let Some(entry) = self.selectors.get_mut(&selector) else { continue };
            self.n_tests += 1;
            if entry.selector.matches(&persona.sight) {
                entry.personas.insert(id.0);
                matches.push(selector);
            } else {
                entry.personas.remove(id.0);
            }
        }
        let old = std::mem::replace(&mut persona.matches, matches);
        Delta::between(&old, &persona.matches)
    }
}
