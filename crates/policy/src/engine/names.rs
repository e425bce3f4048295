//! Which names bring an address into which groups.
//!
//! Few rules and sets hold names, so the index is made anew whenever one of them may have moved; what
//! differs from before is all that nodes hear of.

use std::collections::{BTreeMap, BTreeSet};

use super::Engine;
use crate::place::NodeId;
use crate::rule::DomainPattern;
use crate::select::{GroupId, GroupKind, MemberId};

#[derive(Debug, Default)]
pub struct NameIndex {
    /// Groups by each pattern that brings addresses into them.
    patterns: BTreeMap<String, BTreeSet<GroupId>>,
    /// All groups of `patterns`.
    groups: BTreeSet<GroupId>,
    /// Groups of rules that list names.
    listing: BTreeSet<GroupId>,
    /// Network sets that hold names.
    holders: BTreeMap<MemberId, Vec<DomainPattern>>,
    is_dirty: bool,
}

impl NameIndex {
    pub fn is_idle(&self) -> bool {
        self.listing.is_empty() && self.holders.is_empty() && self.patterns.is_empty()
    }

    pub fn patterns(&self) -> &BTreeMap<String, BTreeSet<GroupId>> {
        &self.patterns
    }

    /// Every group that some name brings an address into.
    pub fn groups(&self) -> &BTreeSet<GroupId> {
        &self.groups
    }

    pub fn begin(&mut self, group: GroupId, kind: &GroupKind) {
        match kind {
            GroupKind::Domains(_) => {
                self.listing.insert(group);
                self.is_dirty = true;
            }
            GroupKind::Selector(_) => self.is_dirty |= !self.holders.is_empty(),
            _ => {}
        }
    }

    pub fn end(&mut self, group: GroupId) {
        self.listing.remove(&group);
        self.is_dirty |= self.groups.contains(&group);
    }

    /// A member that holds these names now; its labels may have changed.
    pub fn hold(&mut self, member: MemberId, domains: Vec<DomainPattern>) {
        if domains.is_empty() {
            self.let_go(member);
        } else {
            self.holders.insert(member, domains);
            self.is_dirty = true;
        }
    }

    /// What the member is in may have changed.
    pub fn touch(&mut self, member: MemberId) {
        self.is_dirty |= self.holders.contains_key(&member);
    }

    pub fn let_go(&mut self, member: MemberId) {
        self.is_dirty |= self.holders.remove(&member).is_some();
    }
}

impl Engine {
    /// Gives the nodes that may hear something new about names.
    pub(super) fn settle_names(&mut self) -> BTreeSet<NodeId> {
        if !std::mem::take(&mut self.names.is_dirty) {
            return BTreeSet::new();
        }
        let mut patterns: BTreeMap<String, BTreeSet<GroupId>> = BTreeMap::new();
        let mut bring = |list: &[DomainPattern], group: GroupId| {
            for pattern in list {
                patterns.entry(pattern.0.clone()).or_default().insert(group);
            }
        };
        for group in &self.names.listing {
            if let Some(GroupKind::Domains(list)) = self.groups.kind(*group) {
                bring(list, *group);
            }
        }
        for (member, list) in &self.names.holders {
            let matches: Vec<_> = self.selectors.matches(*member).collect();
            for group in self.groups.of_member(&matches, &[]) {
                bring(list, group);
            }
        }
        let old = std::mem::replace(&mut self.names.patterns, patterns);
        self.names.groups = self.names.patterns.values().flatten().copied().collect();
        let none = BTreeSet::new();
        let keys: BTreeSet<&String> = old.keys().chain(self.names.patterns.keys()).collect();
        let moved = keys.into_iter().flat_map(|pattern| {
            let before = old.get(pattern).unwrap_or(&none);
            let after = self.names.patterns.get(pattern).unwrap_or(&none);
            before.symmetric_difference(after)
        });
        moved.flat_map(|group| self.places.seers(*group)).collect()
    }
}
