//! The workload inventory as the compiler sees it: who exists, with which labels, addresses and
//! named ports, and on which node.
//!
//! Invariant: the labels that say where something belongs (`projectcalico.org/namespace`,
//! `pcns.*` and the like) are written only here. What an object claims about itself under these keys
//! is ignored, so no workload can label its way into another namespace.

mod endpoint;
mod host;
mod hosts;
mod inventory;
mod network_set;
mod node;
mod profile;
mod service;
mod settings;
#[cfg(test)]
mod tests;
mod words;

pub use endpoint::{Described, Endpoint, NamedPort};
pub use host::{DEFAULT_ALLOW, HostEndpoint};
pub use hosts::{Hosts, TouchedHosts};
pub use inventory::{Inventory, Touched};
pub use network_set::NetworkSet;
pub use node::NodeFacts;
pub use profile::Profile;
pub use service::{Backends, Services};
pub use words::{Word, Words};

use bulkhead_types::Labels;

/// The namespace that an endpoint or network set belongs to.
pub const NAMESPACE: &str = "projectcalico.org/namespace";
pub const SERVICE_ACCOUNT: &str = "projectcalico.org/serviceaccount";
/// `k8s` for every endpoint; network sets have none.
pub const ORCHESTRATOR: &str = "projectcalico.org/orchestrator";
/// The name of a namespace or service account, among its own labels.
pub const NAME: &str = "projectcalico.org/name";
/// As NAME, in Kubernetes' words; of namespaces only.
pub const KUBERNETES_NAME: &str = "kubernetes.io/metadata.name";
/// Labels inherited from the namespace.
pub const NAMESPACE_PREFIX: &str = "pcns.";
/// Labels inherited from the service account.
pub const SERVICE_ACCOUNT_PREFIX: &str = "pcsa.";

fn is_reserved(key: &str) -> bool {
    matches!(key, NAMESPACE | SERVICE_ACCOUNT | ORCHESTRATOR)
        || key.starts_with(NAMESPACE_PREFIX)
        || key.starts_with(SERVICE_ACCOUNT_PREFIX)
}

/// An object's labels without the reserved ones.
fn own_labels(written: Option<&Labels>) -> Labels {
    let written = written.into_iter().flatten();
    written.filter(|(key, _)| !is_reserved(key)).map(|(k, v)| (k.clone(), v.clone())).collect()
}
