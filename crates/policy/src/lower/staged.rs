//! Staged policies: the enforced kind's spec, read by the enforced kind's rules, and what enforcing
//! it would do.

use bulkhead_api::Object;
use bulkhead_api::calico::StagedAction;

use super::{Notes, calico, kubernetes};
use crate::rule::{Policy, Staged};

/// `None` for what is not staged, and for what is staged to say nothing.
pub fn policy(object: &Object, notes: &mut Notes) -> Option<Policy> {
    let action = match object {
        Object::StagedNetworkPolicy(o) => o.spec.staged_action,
        Object::StagedGlobalNetworkPolicy(o) => o.spec.staged_action,
        Object::StagedKubernetesNetworkPolicy(o) => o.spec.staged_action,
        _ => return None,
    };
    let staged = match action.unwrap_or_default() {
        StagedAction::Set => Staged::Set,
        StagedAction::Delete => Staged::Delete,
        StagedAction::Learn | StagedAction::Ignore => return None,
    };
    let kind = object.kind().policy_kind()?;
    let mut policy = match object {
        Object::StagedNetworkPolicy(o) => {
            calico::network_policy(kind, &o.metadata, &o.spec.policy, notes)
        }
        Object::StagedGlobalNetworkPolicy(o) => {
            calico::global_network_policy(kind, &o.metadata, &o.spec.policy, notes)
        }
        Object::StagedKubernetesNetworkPolicy(o) => {
            kubernetes::network_policy(kind, &o.metadata, Some(&o.spec.policy), notes)
        }
        _ => return None,
    };
    policy.staged = Some(staged);
    if staged == Staged::Delete {
        let is_empty = |rules: &Option<std::sync::Arc<[_]>>| rules.iter().all(|r| r.is_empty());
        if !is_empty(&policy.ingress) || !is_empty(&policy.egress) {
            notes.warning("spec", "the policy is staged to be deleted: its rules say nothing");
        }
        (policy.ingress, policy.egress) = (None, None);
    }
    Some(policy)
}
