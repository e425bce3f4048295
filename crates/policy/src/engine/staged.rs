//! The staged reading: which policies it adds, and which it takes away.

use std::collections::BTreeMap;

use bulkhead_types::PolicyRef;

use super::Engine;
use crate::decide::Reading;
use crate::rule::Policy;

/// Staged policies by the enforced policy that they replace or remove, whether there is one or not.
#[derive(Debug, Default)]
pub struct StagedPolicies {
    by_twin: BTreeMap<PolicyRef, PolicyRef>,
}

impl StagedPolicies {
    pub fn is_idle(&self) -> bool {
        self.by_twin.is_empty()
    }

    /// Whether the policy counts in the reading.
    pub fn is_read(&self, policy: &Policy, reading: Reading) -> bool {
        match reading {
            Reading::Enforced => policy.staged.is_none(),
            Reading::Staged => !self.by_twin.contains_key(&policy.id),
        }
    }

    /// Whether the policy counts in one reading only.
    pub fn concerns(&self, policy: &PolicyRef) -> bool {
        policy.kind.enforced_twin().is_some() || self.by_twin.contains_key(policy)
    }
}

impl Engine {
    /// Takes note of a policy that came or went.
    pub(super) fn note_staged(&mut self, policy: &Policy, is_held: bool) {
        let Some(twin) = policy.twin() else { return };
        self.dirty_members.extend(self.members_of_policy(&twin));
        if is_held {
            self.staged.by_twin.insert(twin, policy.id.clone());
        } else {
            self.staged.by_twin.remove(&twin);
        }
    }
}
