//! Which nodes need what: who sees a group, and where a policy is in force.
//!
//! Invariant: a node is told of an address only if a program of one of its own endpoints sees one of
//! the address's groups.

use std::collections::{BTreeMap, HashMap};

use bulkhead_types::PolicyRef;

use crate::select::GroupId;

/// Counted relations between nodes and what concerns them.
#[derive(Debug, Default)]
pub struct Places {
    seers: HashMap<GroupId, BTreeMap<String, usize>>,
    policies: BTreeMap<PolicyRef, BTreeMap<String, usize>>,
}

impl Places {
    /// Whether nothing is held.
    pub fn is_idle(&self) -> bool {
        self.seers.is_empty() && self.policies.is_empty()
    }

    /// One more program on `node` sees the group. Says whether it is the first there.
    pub fn see(&mut self, group: GroupId, node: &str) -> bool {
        count_up(self.seers.entry(group).or_default(), node)
    }

    /// One program less. Says whether it was the last there.
    pub fn unsee(&mut self, group: GroupId, node: &str) -> bool {
        let Some(nodes) = self.seers.get_mut(&group) else { return false };
        let was_last = count_down(nodes, node);
        if nodes.is_empty() {
            self.seers.remove(&group);
        }
        was_last
    }

    pub fn is_seen(&self, group: GroupId, node: &str) -> bool {
        self.seers.get(&group).is_some_and(|nodes| nodes.contains_key(node))
    }

    pub fn seers(&self, group: GroupId) -> impl Iterator<Item = &str> {
        self.seers.get(&group).into_iter().flat_map(|nodes| nodes.keys().map(String::as_str))
    }

    /// One more program on `node` holds rules of the policy. Says whether it is the first there.
    pub fn hold(&mut self, policy: &PolicyRef, node: &str) -> bool {
        if !self.policies.contains_key(policy) {
            self.policies.insert(policy.clone(), BTreeMap::new());
        }
        self.policies.get_mut(policy).is_some_and(|nodes| count_up(nodes, node))
    }

    pub fn unhold(&mut self, policy: &PolicyRef, node: &str) -> bool {
        let Some(nodes) = self.policies.get_mut(policy) else { return false };
        let was_last = count_down(nodes, node);
        if nodes.is_empty() {
            self.policies.remove(policy);
        }
        was_last
    }

    pub fn nodes_of(&self, policy: &PolicyRef) -> impl Iterator<Item = &str> {
        self.policies.get(policy).into_iter().flat_map(|nodes| nodes.keys().map(String::as_str))
    }
}

fn count_up(nodes: &mut BTreeMap<String, usize>, node: &str) -> bool {
    match nodes.get_mut(node) {
        Some(count) => {
            *count += 1;
            false
        }
        None => {
            nodes.insert(node.to_owned(), 1);
            true
        }
    }
}

fn count_down(nodes: &mut BTreeMap<String, usize>, node: &str) -> bool {
    let Some(count) = nodes.get_mut(node) else { return false };
    *count -= 1;
    if *count == 0 {
        nodes.remove(node);
        return true;
    }
    false
}
