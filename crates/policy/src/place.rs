//! Which nodes need what: who sees a group, and where a policy is in force.
//!
//! Invariant: a node is told of an address only if a program of one of its own endpoints sees one of
//! the address's groups.

use std::collections::HashMap;

use bulkhead_types::PolicyRef;

use crate::facts::{Word, Words};
use crate::select::GroupId;

/// Counted relations between nodes and what concerns them.
#[derive(Debug, Default)]
pub struct Places {
    names: Words,
    seers: HashMap<GroupId, Counts>,
    policies: HashMap<PolicyRef, Counts>,
}

/// How often for each node, sorted by name. Nearly always few.
#[derive(Debug, Default)]
struct Counts(Vec<(Word, u32)>);

impl Places {
    /// Whether nothing is held.
    pub fn is_idle(&self) -> bool {
        self.seers.is_empty() && self.policies.is_empty()
    }

    /// One more program on `node` sees the group. Says whether it is the first there.
    pub fn see(&mut self, group: GroupId, node: &str) -> bool {
        self.seers.entry(group).or_default().up(node, &mut self.names)
    }

    /// One program less. Says whether it was the last there.
    pub fn unsee(&mut self, group: GroupId, node: &str) -> bool {
        let Some(nodes) = self.seers.get_mut(&group) else { return false };
        let was_last = nodes.down(node);
        if nodes.0.is_empty() {
            self.seers.remove(&group);
        }
        was_last
    }

    pub fn is_seen(&self, group: GroupId, node: &str) -> bool {
        self.seers.get(&group).is_some_and(|nodes| nodes.find(node).is_ok())
    }

    pub fn seers(&self, group: GroupId) -> impl Iterator<Item = &str> {
        self.seers.get(&group).into_iter().flat_map(Counts::nodes)
    }

    /// One more program on `node` holds rules of the policy. Says whether it is the first there.
    pub fn hold(&mut self, policy: &PolicyRef, node: &str) -> bool {
        if !self.policies.contains_key(policy) {
            self.policies.insert(policy.clone(), Counts::default());
        }
        self.policies.get_mut(policy).is_some_and(|nodes| nodes.up(node, &mut self.names))
    }

    pub fn unhold(&mut self, policy: &PolicyRef, node: &str) -> bool {
        let Some(nodes) = self.policies.get_mut(policy) else { return false };
        let was_last = nodes.down(node);
        if nodes.0.is_empty() {
            self.policies.remove(policy);
        }
        was_last
    }

    pub fn nodes_of(&self, policy: &PolicyRef) -> impl Iterator<Item = &str> {
        self.policies.get(policy).into_iter().flat_map(Counts::nodes)
    }

    /// Forgets nodes that nothing concerns any more, now and then.
    pub fn sweep(&mut self) {
        self.names.sweep();
    }
}

impl Counts {
    fn nodes(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|(node, _)| &**node)
    }

    fn find(&self, node: &str) -> Result<usize, usize> {
        self.0.binary_search_by(|(found, _)| (**found).cmp(node))
    }

    fn up(&mut self, node: &str, names: &mut Words) -> bool {
        match self.find(node) {
            Ok(place) => {
                if let Some((_, count)) = self.0.get_mut(place) {
                    *count += 1;
                }
                false
            }
            Err(place) => {
                self.0.insert(place, (names.intern(node), 1));
                true
            }
        }
    }

    fn down(&mut self, node: &str) -> bool {
        let Ok(place) = self.find(node) else { return false };
        let Some((_, count)) = self.0.get_mut(place) else { return false };
        *count -= 1;
        if *count == 0 {
            self.0.remove(place);
            return true;
        }
        false
    }
}
