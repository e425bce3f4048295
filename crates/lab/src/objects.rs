//! Objects as the API takes them: where each kind is served, and its JSON.

use anyhow::{Context, Result};
use bulkhead_api::Object;
use bulkhead_api::object::Kind;
use kube::api::{ApiResource, DynamicObject};
use serde::Serialize;
use serde_json::Value;

/// `apiVersion`, `kind` and path segment of a kind.
fn names(kind: Kind) -> (&'static str, &'static str, &'static str) {
    match kind {
        Kind::Namespace => ("v1", "Namespace", "namespaces"),
        Kind::Node => ("v1", "Node", "nodes"),
        Kind::Pod => ("v1", "Pod", "pods"),
        Kind::Service => ("v1", "Service", "services"),
        Kind::EndpointSlice => ("discovery.k8s.io/v1", "EndpointSlice", "endpointslices"),
        Kind::ServiceAccount => ("v1", "ServiceAccount", "serviceaccounts"),
        Kind::KubernetesNetworkPolicy => {
            ("networking.k8s.io/v1", "NetworkPolicy", "networkpolicies")
        }
        Kind::Tier => ("projectcalico.org/v3", "Tier", "tiers"),
        Kind::NetworkPolicy => ("projectcalico.org/v3", "NetworkPolicy", "networkpolicies"),
        Kind::GlobalNetworkPolicy => {
            ("projectcalico.org/v3", "GlobalNetworkPolicy", "globalnetworkpolicies")
        }
        Kind::NetworkSet => ("projectcalico.org/v3", "NetworkSet", "networksets"),
        Kind::GlobalNetworkSet => ("projectcalico.org/v3", "GlobalNetworkSet", "globalnetworksets"),
        Kind::Workload => ("bulkhead.dev/v1", "Workload", "workloads"),
    }
}

/// Where a kind is served.
pub fn resource(kind: Kind) -> ApiResource {
    let (api_version, name, plural) = names(kind);
    let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
    ApiResource {
        group: group.to_owned(),
        version: version.to_owned(),
        api_version: api_version.to_owned(),
        kind: name.to_owned(),
        plural: plural.to_owned(),
    }
}

/// What must exist before what; policies last, so that nothing is allowed too early.
pub fn rank(kind: Kind) -> u8 {
    match kind {
        Kind::Namespace | Kind::Node => 0,
        Kind::ServiceAccount | Kind::Service | Kind::EndpointSlice => 1,
        Kind::NetworkSet | Kind::GlobalNetworkSet | Kind::Tier => 2,
        Kind::KubernetesNetworkPolicy | Kind::NetworkPolicy | Kind::GlobalNetworkPolicy => 3,
        Kind::Pod | Kind::Workload => 4,
    }
}

/// The object as it is sent: with `apiVersion` and `kind`, without `status`.
pub fn dynamic(object: &Object) -> Result<DynamicObject> {
    let mut value = value(object)?;
    let (api_version, kind, _) = names(object.kind());
    let fields = value.as_object_mut().context("an object is a JSON map")?;
    fields.remove("status");
    fields.insert("apiVersion".to_owned(), Value::from(api_version));
    fields.insert("kind".to_owned(), Value::from(kind));
    let mut dynamic: DynamicObject = serde_json::from_value(value)?;
    let key = object.key();
    dynamic.metadata.namespace = object.kind().is_namespaced().then_some(key.namespace);
    Ok(dynamic)
}

/// The status of a pod as its kubelet would report it.
pub fn pod_status(object: &Object) -> Result<Option<Value>> {
    let Object::Pod(pod) = object else { return Ok(None) };
    let Some(status) = &pod.status else { return Ok(None) };
    let mut status = serde_json::to_value(status)?;
    let fields = status.as_object_mut().context("a status is a JSON map")?;
    fields.entry("phase").or_insert_with(|| Value::from("Running"));
    if fields.get("podIP").is_none_or(Value::is_null) {
        let first = fields.get("podIPs").and_then(|ips| ips.get(0)?.get("ip").cloned());
        fields.extend(first.map(|ip| ("podIP".to_owned(), ip)));
    }
    Ok(Some(status))
}

/// The object as JSON, with its `apiVersion` and `kind`.
pub fn value(object: &Object) -> serde_json::Result<Value> {
    fn of<T: Serialize>(object: &T) -> serde_json::Result<Value> {
        serde_json::to_value(object)
    }
    match object {
        Object::Namespace(o) => of(o),
        Object::Node(o) => of(o),
        Object::Pod(o) => of(o),
        Object::Service(o) => of(o),
        Object::EndpointSlice(o) => of(o),
        Object::ServiceAccount(o) => of(o),
        Object::KubernetesNetworkPolicy(o) => of(o),
        Object::Tier(o) => of(o),
        Object::NetworkPolicy(o) => of(o),
        Object::GlobalNetworkPolicy(o) => of(o),
        Object::NetworkSet(o) => of(o),
        Object::GlobalNetworkSet(o) => of(o),
        Object::Workload(o) => of(o),
    }
}
