//! Whether an object obeys the rules of its kind: first its structure, then its meaning.
//!
//! INVARIANT(typed): rules of meaning run only on objects whose structure holds, so they may read
//! fields without asking for their type again.

use bulkhead_api::object::Kind;
use serde_json::Value;

use crate::field::FieldError;
use crate::kinds::Resource;

mod address;
mod calico;
mod calico_rule;
mod cluster;
mod core;
mod domains;
mod expiry;
mod host;
mod immutable;
mod metadata;
pub mod names;
mod network_policy;
mod ports;
mod read;
mod selector;
mod structure;
#[cfg(test)]
mod tests;
mod warnings;

pub use warnings::warnings;

/// Everything that is wrong with a new object.
pub fn object(resource: &Resource, object: &Value) -> Vec<FieldError> {
    let mut errors = structure(resource, object);
    if errors.is_empty() {
        errors = meaning(resource, object);
    }
    errors
}

/// Types, required fields and enums, by the schema.
pub fn structure(resource: &Resource, object: &Value) -> Vec<FieldError> {
    structure::check(resource.schema().slot(), object)
}

/// The rules of the kind, for an object whose structure holds.
pub fn meaning(resource: &Resource, object: &Value) -> Vec<FieldError> {
    let mut errors = metadata::check(resource, object);
    match resource.id {
        Kind::KubernetesNetworkPolicy => network_policy::check(object, &mut errors),
        Kind::Tier => calico::tier(object, &mut errors),
        Kind::NetworkPolicy => calico::policy(object, false, &mut errors),
        Kind::GlobalNetworkPolicy => calico::policy(object, true, &mut errors),
        Kind::StagedNetworkPolicy => calico::staged_policy(object, false, &mut errors),
        Kind::StagedGlobalNetworkPolicy => calico::staged_policy(object, true, &mut errors),
        Kind::StagedKubernetesNetworkPolicy => network_policy::staged(object, &mut errors),
        Kind::ClusterNetworkPolicy => cluster::policy(object, &mut errors),
        Kind::AdminNetworkPolicy => cluster::admin_policy(object, &mut errors),
        Kind::BaselineAdminNetworkPolicy => cluster::baseline_policy(object, &mut errors),
        Kind::HostEndpoint => host::endpoint(object, &mut errors),
        Kind::Profile => host::profile(object, &mut errors),
        Kind::FelixConfiguration => host::settings(object, &mut errors),
        Kind::KubeControllersConfiguration => host::controllers(object, &mut errors),
        Kind::NetworkSet | Kind::GlobalNetworkSet => calico::network_set(object, &mut errors),
        Kind::Pod => core::pod(object, &mut errors),
        Kind::Service => core::service(object, &mut errors),
        Kind::EndpointSlice => core::endpoint_slice(object, &mut errors),
        Kind::Workload => core::workload(object, &mut errors),
        _ => {}
    }
    if resource.id.policy_kind().is_some() {
        expiry::check(object, &mut errors);
    }
    errors
}

/// Everything that is wrong with `new` as the successor of `old`.
pub fn update(resource: &Resource, old: &Value, new: &Value) -> Vec<FieldError> {
    let mut errors = object(resource, new);
    if errors.is_empty() {
        errors = immutable::check(resource, old, new);
    }
    errors
}
