//! Which nodes need what: who sees a group, and where a policy is in force.
//!
//! Invariant: a node is told of an address only if a program of one of its own endpoints sees one of
//! the address's groups.

use std::collections::HashMap;

use bulkhead_types::PolicyRef;
use rustc_hash::FxHashMap;

use crate::select::{GroupId, Ids};

/// A node, for as long as it has an object or an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NodeId(pub u32);

#[derive(Debug, Default)]
pub struct Places {
    seers: FxHashMap<GroupId, Ids>,
    policies: HashMap<PolicyRef, Counts>,
}

/// How many programs of each node hold the policy. Sorted; nearly always few.
#[derive(Debug, Default)]
struct Counts(Vec<(NodeId, u32)>);

impl Places {
    /// Whether nothing is held.
    pub fn is_idle(&self) -> bool {
        self.seers.is_empty() && self.policies.is_empty()
    }

    /// From now on some program of the node sees the group.
    pub fn see(&mut self, group: GroupId, node: NodeId) {
        self.seers.entry(group).or_default().insert(node.0);
    }

    /// No program of the node sees the group any more.
    pub fn unsee(&mut self, group: GroupId, node: NodeId) {
        let Some(nodes) = self.seers.get_mut(&group) else { return };
        nodes.remove(node.0);
        if nodes.is_empty() {
            self.seers.remove(&group);
        }
    }

    pub fn seers(&self, group: GroupId) -> impl Iterator<Item = NodeId> + '_ {
        self.seers.get(&group).into_iter().flat_map(Ids::iter).map(NodeId)
    }

    /// One more program on `node` holds rules of the policy. Says whether it is the first there.
    pub fn hold(&mut self, policy: &PolicyRef, node: NodeId) -> bool {
        if let Some(nodes) = self.policies.get_mut(policy) {
            return nodes.up(node);
        }
        self.policies.insert(policy.clone(), Counts(vec![(node, 1)]));
        true
    }

    /// One program less. Says whether it was the last there.
    pub fn unhold(&mut self, policy: &PolicyRef, node: NodeId) -> bool {
        let Some(nodes) = self.policies.get_mut(policy) else { return false };
        let was_last = nodes.down(node);
        if nodes.0.is_empty() {
            self.policies.remove(policy);
        }
        was_last
    }

    pub fn nodes_of(&self, policy: &PolicyRef) -> impl Iterator<Item = NodeId> + '_ {
        self.policies.get(policy).into_iter().flat_map(|counts| &counts.0).map(|(node, _)| *node)
    }
}

impl Counts {
    fn find(&self, node: NodeId) -> Result<usize, usize> {
        self.0.binary_search_by_key(&node, |(found, _)| *found)
    }

    fn up(&mut self, node: NodeId) -> bool {
        match self.find(node) {
            Ok(place) => {
                if let Some((_, count)) = self.0.get_mut(place) {
                    *count += 1;
                }
                false
            }
            Err(place) => {
                self.0.insert(place, (node, 1));
                true
            }
        }
    }

    fn down(&mut self, node: NodeId) -> bool {
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
