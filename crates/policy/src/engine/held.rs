//! The policies in use, by number: their compiled lists, whom they apply to, and their tiers.

use std::sync::Arc;

use bulkhead_types::{Direction, PolicyRef};
use hashbrown::HashMap;

use crate::resolve::Grants;
use crate::rule::Policy;
use crate::select::{Finder, Ids, SelectorId, Slab};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PolicyId(u32);

/// A policy with its compiled lists.
#[derive(Debug)]
pub struct Held {
    /// Of its rules only those about requests, which no list holds.
    pub policy: Policy,
    pub subject: SelectorId,
    pub ingress: Option<Arc<Grants>>,
    pub egress: Option<Arc<Grants>>,
}

#[derive(Debug, Default)]
pub struct Policies {
    held: Slab<Held>,
    by_ref: Finder<PolicyId>,
    /// By the selector that says whom they apply to.
    by_subject: HashMap<SelectorId, Ids>,
    by_tier: HashMap<String, Ids>,
}

impl Held {
    /// Whether both say the same.
    pub fn is_same(&self, other: &Self) -> bool {
        let contents = |held: &Self| {
            [&held.ingress, &held.egress].map(|list| list.as_ref().map(|list| list.content))
        };
        self.policy == other.policy && contents(self) == contents(other)
    }

    pub fn list(&self, direction: Direction) -> Option<&Arc<Grants>> {
        match direction {
            Direction::Ingress => self.ingress.as_ref(),
            Direction::Egress => self.egress.as_ref(),
        }
    }
}

impl Policies {
    pub fn find(&self, policy: &PolicyRef) -> Option<PolicyId> {
        let is_same = |id: PolicyId| self.held.get(id.0).is_some_and(|h| h.policy.id == *policy);
        self.by_ref.find(policy, is_same)
    }

    pub fn get(&self, policy: &PolicyRef) -> Option<&Held> {
        self.held.get(self.find(policy)?.0)
    }

    /// One of the name may not be held already.
    pub fn insert(&mut self, held: Held) {
        let subject = held.subject;
        let id = self.held.insert(held);
        self.by_subject.entry(subject).or_default().insert(id);
        let Some(Held { policy, .. }) = self.held.get(id) else { return };
        self.by_ref.insert(&policy.id, PolicyId(id));
        self.by_tier.entry_ref(policy.tier.as_str()).or_default().insert(id);
    }

    pub fn remove(&mut self, policy: &PolicyRef) -> Option<Held> {
        let id = self.find(policy)?;
        let held = self.held.remove(id.0)?;
        self.by_ref.remove(policy, id);
        if let Some(ids) = self.by_subject.get_mut(&held.subject) {
            ids.remove(id.0);
            if ids.is_empty() {
                self.by_subject.remove(&held.subject);
            }
        }
        if let Some(ids) = self.by_tier.get_mut(&held.policy.tier) {
            ids.remove(id.0);
            if ids.is_empty() {
                self.by_tier.remove(&held.policy.tier);
            }
        }
        Some(held)
    }

    pub fn iter(&self) -> impl Iterator<Item = &Held> {
        self.held.ids().filter_map(|id| self.held.get(id))
    }

    /// Those that apply to whatever the selector matches.
    pub fn about(&self, subject: SelectorId) -> impl Iterator<Item = &Held> {
        let ids = self.by_subject.get(&subject).into_iter().flat_map(Ids::iter);
        ids.filter_map(|id| self.held.get(id))
    }

    pub fn in_tier(&self, tier: &str) -> impl Iterator<Item = &Held> {
        let ids = self.by_tier.get(tier).into_iter().flat_map(Ids::iter);
        ids.filter_map(|id| self.held.get(id))
    }

    pub fn is_empty(&self) -> bool {
        self.held.is_empty() && self.by_subject.is_empty() && self.by_tier.is_empty()
    }
}
