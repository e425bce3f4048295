//! Objects of every dialect to the one rule form.
//!
//! Lowering never fails as a whole: each function returns a usable value and what it had to say. What
//! cannot be understood is read closed, and named:
//!
//! | broken | read as |
//! |---|---|
//! | an Allow or Log rule, a Kubernetes peer or port | left out |
//! | a Deny or Pass rule | deny everything in that direction |
//! | the selector that says whom a policy applies to | that criterion holds for everything in the policy's scope, and the policy's rules are one: deny everything |
//! | what a rule of a ClusterNetworkPolicy or its forerunners is about | an Allow rule is left out, a Deny or Pass rule denies everything |
//! | the moment at which a policy expires | the policy denies everything, and does not expire |
//! | one net of a network set, one address of a workload | left out |
//!
//! Invariant: an `Error` diagnostic is given exactly where something was read closed; a `Warning`
//! changes nothing.

mod admin;
mod calico;
mod cluster;
mod diagnostic;
mod domains;
mod expiry;
mod fields;
mod host;
mod http;
mod kubernetes;
mod peers;
mod place;
mod scope;
mod services;
mod staged;
#[cfg(test)]
mod tests;

use bulkhead_api::Object;

use diagnostic::At;
pub use diagnostic::{Diagnostic, Notes, Severity};
pub use domains::of_set;
pub use expiry::{ANNOTATION as EXPIRES_ANNOTATION, expired, expires, moment};
pub use fields::net;
pub use host::profile_rules;
pub use kubernetes::ORDER as KUBERNETES_ORDER;

use crate::rule::{Policy, Tier};

/// The policy that `object` carries, if it is of a kind that carries one, and unless it is staged to
/// say nothing.
pub fn policy(object: &Object) -> Option<(Policy, Vec<Diagnostic>)> {
    let mut notes = Notes::default();
    let kind = object.kind().policy_kind()?;
    let mut policy = match object {
        Object::KubernetesNetworkPolicy(o) => {
            kubernetes::network_policy(kind, &o.metadata, o.spec.as_ref(), &mut notes)
        }
        Object::NetworkPolicy(o) => calico::network_policy(kind, &o.metadata, &o.spec, &mut notes),
        Object::GlobalNetworkPolicy(o) => {
            calico::global_network_policy(kind, &o.metadata, &o.spec, &mut notes)
        }
        Object::ClusterNetworkPolicy(o) => cluster::policy(o, &mut notes),
        Object::AdminNetworkPolicy(o) => admin::policy(kind, &o.metadata, &o.spec, &mut notes),
        Object::BaselineAdminNetworkPolicy(o) => {
            admin::policy(kind, &o.metadata, &o.spec, &mut notes)
        }
        _ => staged::policy(object, &mut notes)?,
    };
    expiry::read(object, &mut policy, &mut notes);
    Some((policy, notes.about(object)))
}

/// What is to be said of a policy whose tier does not exist.
pub fn without_tier(policy: &Policy) -> Diagnostic {
    Diagnostic {
        object: (&policy.id).into(),
        severity: Severity::Warning,
        field: "spec.tier".to_owned(),
        message: format!(
            "there is no tier `{}`: the policy stands after all tiers, and denies what none of its \
             rules decides",
            policy.tier
        ),
        effect: "",
    }
}

/// The tier that `object` describes, if it is one.
pub fn tier(object: &Object) -> Option<(Tier, Vec<Diagnostic>)> {
    let Object::Tier(tier) = object else { return None };
    let mut notes = Notes::default();
    Some((calico::tier(tier, &mut notes), notes.about(object)))
}
