//! How objects look as rows: the columns of each kind and the cells of one object
//! (`Table` of `meta.k8s.io/v1`, which `kubectl get` asks for).
//!
//! INVARIANT(rectangular): every row has one cell for each column.

use bulkhead_api::object::Kind;
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::kinds::Resource;
use crate::meta;

mod age;
mod cell;
#[cfg(test)]
mod tests;

pub use age::age;

/// One column: its heading, and how its cell is made.
struct Column {
    name: &'static str,
    description: &'static str,
    /// Shown with `-o wide` only.
    wide: bool,
    cell: fn(&Value) -> Value,
}

const fn column(
    name: &'static str,
    description: &'static str,
    cell: fn(&Value) -> Value,
) -> Column {
    Column { name, description, wide: false, cell }
}

const fn wide(name: &'static str, description: &'static str, cell: fn(&Value) -> Value) -> Column {
    Column { name, description, wide: true, cell }
}

const ENFORCED: Column = column(
    "Enforced",
    "Nodes that enforce the object as it is, of those that should.",
    cell::enforced,
);

const POD: &[Column] = &[
    column("Ready", "Ready containers, of all.", cell::pod_ready),
    column("Status", "Where the pod is in its life.", cell::pod_status),
    column("IP", "The pod's addresses.", cell::pod_addresses),
    column("Node", "The node it runs on.", cell::node_name),
    wide("Service Account", "What it runs as.", cell::service_account),
    wide("Labels", "What selectors see.", cell::labels),
];

const SERVICE: &[Column] = &[
    column("Type", "How it is exposed.", cell::service_type),
    column("Cluster-IP", "Its address in the cluster.", cell::cluster_ip),
    column("External-IP", "Its addresses outside.", cell::external_ips),
    column("Port(s)", "Its ports.", cell::service_ports),
    wide("Selector", "The pods behind it.", cell::service_selector),
];

const NAMESPACE: &[Column] = &[
    column("Status", "Active or Terminating.", cell::phase),
    wide("Labels", "What selectors see.", cell::labels),
];

const NODE: &[Column] = &[
    column("Status", "Whether its agent is connected.", cell::node_status),
    column("Version", "The version of its agent.", cell::node_version),
    wide("Internal-IP", "Its address.", cell::node_address),
    wide("Kernel-Version", "The kernel it runs.", cell::node_kernel),
];

const ENDPOINT_SLICE: &[Column] = &[
    column("AddressType", "IPv4, IPv6 or FQDN.", cell::address_type),
    column("Ports", "Ports of the endpoints.", cell::slice_ports),
    column("Endpoints", "Addresses of the endpoints.", cell::slice_endpoints),
];

const KUBERNETES_POLICY: &[Column] = &[
    column("Pod-Selector", "The pods it applies to.", cell::pod_selector),
    column("Types", "Directions it decides.", cell::policy_types),
    ENFORCED,
    wide("Rules", "Rules in each direction.", cell::rule_counts),
];

const POLICY: &[Column] = &[
    column("Tier", "The tier it is part of.", cell::tier),
    column("Order", "Its position in the tier.", cell::order),
    column("Selector", "The endpoints it applies to.", cell::selector),
    column("Types", "Directions it decides.", cell::types),
    ENFORCED,
    wide("Rules", "Rules in each direction.", cell::rule_counts),
];

const TIER: &[Column] = &[
    column("Order", "Its position among the tiers.", cell::order),
    column("Default-Action", "What happens at its end.", cell::default_action),
];

const NETWORK_SET: &[Column] = &[
    column("Nets", "How many CIDRs it holds.", cell::net_count),
    wide("CIDRs", "The first of them.", cell::nets),
    wide("Labels", "What selectors see.", cell::labels),
];

const WORKLOAD: &[Column] = &[
    column("Node", "The node it runs on.", cell::node_name),
    column("Addresses", "Its addresses.", cell::workload_addresses),
    column("Ports", "What it listens on.", cell::workload_ports),
    wide("Interface", "Its interface on the node.", cell::interface),
    wide("Labels", "What selectors see.", cell::labels),
];

const STAGED: &[Column] = &[
    column("Tier", "The tier it is to be part of.", cell::tier),
    column("Order", "Its position in the tier.", cell::order),
    column("Action", "What is to become of the enforced policy.", cell::staged_action),
    column("Selector", "The endpoints it is to apply to.", cell::selector),
    wide("Rules", "Rules in each direction.", cell::rule_counts),
];

const STAGED_KUBERNETES: &[Column] = &[
    column("Action", "What is to become of the enforced policy.", cell::staged_action),
    column("Pod-Selector", "The pods it is to apply to.", cell::pod_selector),
    wide("Rules", "Rules in each direction.", cell::rule_counts),
];

const CLUSTER_POLICY: &[Column] = &[
    column("Tier", "Admin or Baseline.", cell::tier),
    column("Priority", "Its position in the tier.", cell::priority),
    ENFORCED,
    wide("Rules", "Rules in each direction.", cell::rule_counts),
];

const ADMIN_POLICY: &[Column] = &[
    column("Priority", "Its position among the kind.", cell::priority),
    ENFORCED,
    wide("Rules", "Rules in each direction.", cell::rule_counts),
];

const BASELINE_POLICY: &[Column] =
    &[ENFORCED, wide("Rules", "Rules in each direction.", cell::rule_counts)];

const HOST_ENDPOINT: &[Column] = &[
    column("Node", "The node that it is on.", cell::host_node),
    column("Interface", "The interface, or all.", cell::interface_name),
    column("IPs", "Its addresses.", cell::expected_ips),
    wide("Profiles", "What decides where no policy does.", cell::profiles),
    wide("Labels", "What selectors see.", cell::labels),
];

const PROFILE: &[Column] = &[column("Rules", "Rules in each direction.", cell::rule_counts)];

fn columns_of(resource: &Resource) -> &'static [Column] {
    match resource.id {
        Kind::Pod => POD,
        Kind::Service => SERVICE,
        Kind::Namespace => NAMESPACE,
        Kind::Node => NODE,
        Kind::EndpointSlice => ENDPOINT_SLICE,
        Kind::KubernetesNetworkPolicy => KUBERNETES_POLICY,
        Kind::NetworkPolicy | Kind::GlobalNetworkPolicy => POLICY,
        Kind::StagedNetworkPolicy | Kind::StagedGlobalNetworkPolicy => STAGED,
        Kind::StagedKubernetesNetworkPolicy => STAGED_KUBERNETES,
        Kind::ClusterNetworkPolicy => CLUSTER_POLICY,
        Kind::AdminNetworkPolicy => ADMIN_POLICY,
        Kind::BaselineAdminNetworkPolicy => BASELINE_POLICY,
        Kind::HostEndpoint => HOST_ENDPOINT,
        Kind::Profile => PROFILE,
        Kind::Tier => TIER,
        Kind::NetworkSet | Kind::GlobalNetworkSet => NETWORK_SET,
        Kind::Workload => WORKLOAD,
        _ => &[],
    }
}

/// What stands above one column.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Heading {
    pub(crate) name: &'static str,
    pub(crate) description: &'static str,
    /// Shown with `-o wide` only.
    pub(crate) wide: bool,
}

/// The headings of the kind's own columns, besides name and age.
pub(crate) fn headings(resource: &Resource) -> impl Iterator<Item = Heading> + use<> {
    columns_of(resource).iter().map(|c| Heading {
        name: c.name,
        description: c.description,
        wide: c.wide,
    })
}

/// `columnDefinitions`: name first, the narrow columns, age, then the wide ones.
pub fn columns(resource: &Resource) -> Value {
    let define = |name: &str, format: &str, description: &str, priority: u8| {
        json!({
            "name": name, "type": "string", "format": format,
            "description": description, "priority": priority,
        })
    };
    let mut defined = vec![define("Name", "name", "The object's name.", 0)];
    let (narrow, wide) = split(resource);
    defined.extend(narrow.map(|c| define(c.name, "", c.description, 0)));
    defined.push(define("Age", "", "Time since the object was made.", 0));
    defined.extend(wide.map(|c| define(c.name, "", c.description, 1)));
    Value::Array(defined)
}

/// The cells of one object, in the order of [`columns`].
pub fn cells(resource: &Resource, object: &Value, now: Timestamp) -> Vec<Value> {
    let mut made = vec![Value::from(meta::name(object))];
    let (narrow, wide) = split(resource);
    made.extend(narrow.map(|c| (c.cell)(object)));
    made.push(Value::from(age(meta::text(object, "creationTimestamp"), now)));
    made.extend(wide.map(|c| (c.cell)(object)));
    made
}

fn split(
    resource: &Resource,
) -> (impl Iterator<Item = &'static Column>, impl Iterator<Item = &'static Column>) {
    let columns = columns_of(resource);
    (columns.iter().filter(|c| !c.wide), columns.iter().filter(|c| c.wide))
}
