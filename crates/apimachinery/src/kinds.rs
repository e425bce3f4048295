//! The registry: every kind that the server serves, with its names and its schema.
//!
//! Discovery, OpenAPI, routes and tables are all read from here; a kind that is not listed does not
//! exist.

use std::sync::{Arc, LazyLock};

use bulkhead_api::object::Kind;

use crate::schema::{self, Node};

#[cfg(test)]
mod tests;

/// One served kind.
#[derive(Debug)]
pub struct Resource {
    pub id: Kind,
    /// Empty for the core group.
    pub group: &'static str,
    pub version: &'static str,
    pub kind: &'static str,
    pub plural: &'static str,
    pub singular: &'static str,
    pub short_names: &'static [&'static str],
    pub categories: &'static [&'static str],
    pub namespaced: bool,
    /// Has a `/status` subresource, and ignores `status` elsewhere.
    pub has_status: bool,
    /// Counts changes of what was asked for in `metadata.generation`.
    pub has_generation: bool,
    /// Known to stock clients as a Go type: strategic merge patch is allowed.
    pub built_in: bool,
    schema: LazyLock<Arc<Node>>,
}

/// What can be done with every kind.
pub const VERBS: &[&str] =
    &["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"];

/// What can be done with a status subresource.
pub const STATUS_VERBS: &[&str] = &["get", "patch", "update"];

macro_rules! resource {
    ($id:ident, $group:literal, $version:literal, $kind:literal, $plural:literal, $singular:literal,
     [$($short:literal),*], $categories:expr, $namespaced:literal, status $status:literal,
     generation $generation:literal, built_in $built_in:literal, $package:literal) => {
        Resource {
            id: Kind::$id,
            group: $group,
            version: $version,
            kind: $kind,
            plural: $plural,
            singular: $singular,
            short_names: &[$($short),*],
            categories: $categories,
            namespaced: $namespaced,
            has_status: $status,
            has_generation: $generation,
            built_in: $built_in,
            schema: LazyLock::new(|| schema::for_kind(Kind::$id, $package)),
        }
    };
}

static ALL: [Resource; 23] = [
    resource!(Namespace, "", "v1", "Namespace", "namespaces", "namespace", ["ns"], &[],
        false, status true, generation false, built_in true, "io.k8s.api.core.v1"),
    resource!(Node, "", "v1", "Node", "nodes", "node", ["no"], &[],
        false, status true, generation false, built_in true, "io.k8s.api.core.v1"),
    resource!(Pod, "", "v1", "Pod", "pods", "pod", ["po"], &["all"],
        true, status true, generation true, built_in true, "io.k8s.api.core.v1"),
    resource!(ServiceAccount, "", "v1", "ServiceAccount", "serviceaccounts", "serviceaccount",
        ["sa"], &[],
        true, status false, generation false, built_in true, "io.k8s.api.core.v1"),
    resource!(Service, "", "v1", "Service", "services", "service", ["svc"], &["all"],
        true, status true, generation false, built_in true, "io.k8s.api.core.v1"),
    resource!(EndpointSlice, "discovery.k8s.io", "v1", "EndpointSlice", "endpointslices",
        "endpointslice", [], &[],
        true, status false, generation true, built_in true, "io.k8s.api.discovery.v1"),
    resource!(KubernetesNetworkPolicy, "networking.k8s.io", "v1", "NetworkPolicy",
        "networkpolicies", "networkpolicy", ["netpol"], &["policies"],
        true, status true, generation true, built_in true, "io.k8s.api.networking.v1"),
    resource!(Tier, "projectcalico.org", "v3", "Tier", "tiers", "tier", [], &["policies"],
        false, status true, generation true, built_in false, "org.projectcalico.v3"),
    resource!(NetworkPolicy, "projectcalico.org", "v3", "NetworkPolicy", "networkpolicies",
        "networkpolicy", ["cnp", "caliconetworkpolicy", "caliconetworkpolicies"], &["policies"],
        true, status true, generation true, built_in false, "org.projectcalico.v3"),
    resource!(GlobalNetworkPolicy, "projectcalico.org", "v3", "GlobalNetworkPolicy",
        "globalnetworkpolicies", "globalnetworkpolicy", ["gnp", "cgnp"], &["policies"],
        false, status true, generation true, built_in false, "org.projectcalico.v3"),
    resource!(NetworkSet, "projectcalico.org", "v3", "NetworkSet", "networksets", "networkset",
        ["netset"], &["policies"],
        true, status true, generation true, built_in false, "org.projectcalico.v3"),
    resource!(GlobalNetworkSet, "projectcalico.org", "v3", "GlobalNetworkSet", "globalnetworksets",
        "globalnetworkset", ["gns"], &["policies"],
        false, status true, generation true, built_in false, "org.projectcalico.v3"),
    resource!(HostEndpoint, "projectcalico.org", "v3", "HostEndpoint", "hostendpoints",
        "hostendpoint", ["hep", "heps"], &["policies"],
        false, status true, generation true, built_in false, "org.projectcalico.v3"),
    resource!(Profile, "projectcalico.org", "v3", "Profile", "profiles", "profile", [],
        &["policies"],
        false, status true, generation true, built_in false, "org.projectcalico.v3"),
    resource!(FelixConfiguration, "projectcalico.org", "v3", "FelixConfiguration",
        "felixconfigurations", "felixconfiguration", ["felixconfig", "felixconfigs"], &[],
        false, status false, generation true, built_in false, "org.projectcalico.v3"),
    resource!(KubeControllersConfiguration, "projectcalico.org", "v3",
        "KubeControllersConfiguration", "kubecontrollersconfigurations",
        "kubecontrollersconfiguration", ["kcconfig"], &[],
        false, status false, generation true, built_in false, "org.projectcalico.v3"),
    resource!(StagedNetworkPolicy, "projectcalico.org", "v3", "StagedNetworkPolicy",
        "stagednetworkpolicies", "stagednetworkpolicy", ["snp"], &["policies"],
        true, status true, generation true, built_in false, "org.projectcalico.v3"),
    resource!(StagedGlobalNetworkPolicy, "projectcalico.org", "v3", "StagedGlobalNetworkPolicy",
        "stagedglobalnetworkpolicies", "stagedglobalnetworkpolicy", ["sgnp"], &["policies"],
        false, status true, generation true, built_in false, "org.projectcalico.v3"),
    resource!(StagedKubernetesNetworkPolicy, "projectcalico.org", "v3",
        "StagedKubernetesNetworkPolicy", "stagedkubernetesnetworkpolicies",
        "stagedkubernetesnetworkpolicy", ["sknp"], &["policies"],
        true, status true, generation true, built_in false, "org.projectcalico.v3"),
    resource!(ClusterNetworkPolicy, "policy.networking.k8s.io", "v1alpha2",
        "ClusterNetworkPolicy", "clusternetworkpolicies", "clusternetworkpolicy", ["kcnp"],
        &["policies"],
        false, status true, generation true, built_in false, "io.k8s.networking.policy.v1alpha2"),
    resource!(AdminNetworkPolicy, "policy.networking.k8s.io", "v1alpha1", "AdminNetworkPolicy",
        "adminnetworkpolicies", "adminnetworkpolicy", ["anp"], &["policies"],
        false, status true, generation true, built_in false, "io.k8s.networking.policy.v1alpha1"),
    resource!(BaselineAdminNetworkPolicy, "policy.networking.k8s.io", "v1alpha1",
        "BaselineAdminNetworkPolicy", "baselineadminnetworkpolicies",
        "baselineadminnetworkpolicy", ["banp"], &["policies"],
        false, status true, generation true, built_in false, "io.k8s.networking.policy.v1alpha1"),
    resource!(Workload, "bulkhead.dev", "v1", "Workload", "workloads", "workload", ["wl"], &["all"],
        true, status true, generation true, built_in false, "dev.bulkhead.v1"),
];

/// Every served kind; the core group first.
pub fn all() -> &'static [Resource] {
    &ALL
}

/// The group-versions that are served, `("", "v1")` first, without repeats.
pub fn group_versions() -> Vec<(&'static str, &'static str)> {
    let mut found = Vec::new();
    for resource in all() {
        let pair = (resource.group, resource.version);
        if !found.contains(&pair) {
            found.push(pair);
        }
    }
    found
}

/// The kinds of one group-version.
pub fn of_group(group: &str, version: &str) -> impl Iterator<Item = &'static Resource> {
    all().iter().filter(move |r| r.group == group && r.version == version)
}

pub fn by_plural(group: &str, version: &str, plural: &str) -> Option<&'static Resource> {
    all().iter().find(|r| r.group == group && r.version == version && r.plural == plural)
}

/// Finds by what stands in a document: `apiVersion` and `kind`.
pub fn by_kind(api_version: &str, kind: &str) -> Option<&'static Resource> {
    all().iter().find(|r| r.kind == kind && r.api_version() == api_version)
}

pub fn by_id(id: Kind) -> &'static Resource {
    let [first, ..] = &ALL;
    all().iter().find(|r| r.id == id).unwrap_or(first)
}

impl Resource {
    /// `v1` or `group/version`, as written in `apiVersion`.
    pub fn api_version(&self) -> String {
        if self.group.is_empty() {
            self.version.to_owned()
        } else {
            format!("{}/{}", self.group, self.version)
        }
    }

    pub fn list_kind(&self) -> String {
        format!("{}List", self.kind)
    }

    /// `networkpolicies.networking.k8s.io`, as in "not found" messages.
    pub fn qualified_plural(&self) -> String {
        qualified(self.plural, self.group)
    }

    /// `NetworkPolicy.networking.k8s.io`, as in "is invalid" messages.
    pub fn qualified_kind(&self) -> String {
        qualified(self.kind, self.group)
    }

    pub fn schema(&self) -> &Node {
        &self.schema
    }
}

impl PartialEq for Resource {
    fn eq(&self, other: &Self) -> bool {
        self.id == other.id
    }
}

fn qualified(name: &str, group: &str) -> String {
    if group.is_empty() { name.to_owned() } else { format!("{name}.{group}") }
}
