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
//! | one net of a network set, one address of a workload | left out |
//!
//! Invariant: an `Error` diagnostic is given exactly where something was read closed; a `Warning`
//! changes nothing.

mod calico;
mod diagnostic;
mod fields;
mod kubernetes;
mod scope;
#[cfg(test)]
mod tests;

use bulkhead_api::Object;

pub use diagnostic::{Diagnostic, Notes, Severity};
pub use fields::net;

use crate::rule::{Policy, Tier};

/// The policy that `object` carries, if it is of a kind that carries one.
pub fn policy(object: &Object) -> Option<(Policy, Vec<Diagnostic>)> {
    let mut notes = Notes::new(object.key());
    let policy = match object {
        Object::KubernetesNetworkPolicy(o) => kubernetes::network_policy(o, &mut notes),
        Object::NetworkPolicy(o) => calico::network_policy(o, &mut notes),
        Object::GlobalNetworkPolicy(o) => calico::global_network_policy(o, &mut notes),
        _ => return None,
    };
    Some((policy, notes.into_vec()))
}

/// The tier that `object` describes, if it is one.
pub fn tier(object: &Object) -> Option<(Tier, Vec<Diagnostic>)> {
    let Object::Tier(tier) = object else { return None };
    let mut notes = Notes::new(object.key());
    Some((calico::tier(tier, &mut notes), notes.into_vec()))
}
