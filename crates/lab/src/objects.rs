//! Objects as the API takes them: where each kind is served, and its JSON.

use anyhow::{Context, Result};
use bulkhead_api::Object;
use bulkhead_api::object::Kind;
use kube::api::{ApiResource, DynamicObject};
use serde_json::Value;

/// Where a kind is served.
pub fn resource(kind: Kind) -> ApiResource {
    let (api_version, name) = kind.api();
    let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
    ApiResource {
        group: group.to_owned(),
        version: version.to_owned(),
        api_version: api_version.to_owned(),
        kind: name.to_owned(),
        plural: kind.plural(),
    }
}

/// What must exist before what; policies last, so that nothing is allowed too early.
pub fn rank(kind: Kind) -> u8 {
    match kind {
        Kind::Namespace | Kind::Node => 0,
        Kind::ServiceAccount | Kind::Service | Kind::EndpointSlice => 1,
        Kind::NetworkSet | Kind::GlobalNetworkSet | Kind::Tier => 2,
        Kind::Pod | Kind::Workload => 4,
        _ => 3,
    }
}

/// The object as it is sent: with `apiVersion` and `kind`, without `status`.
pub fn dynamic(object: &Object) -> Result<DynamicObject> {
    let mut value = value(object)?;
    let (api_version, kind) = object.kind().api();
    let fields = value.as_object_mut().context("an object is a JSON map")?;
    fields.remove("status");
    fields.insert("apiVersion".to_owned(), Value::from(api_version));
    fields.insert("kind".to_owned(), Value::from(kind));
    let mut dynamic: DynamicObject = serde_json::from_value(value)?;
    let key = object.key();
    dynamic.metadata.namespace = object.kind().is_namespaced().then_some(key.namespace);
    Ok(dynamic)
}

/// The status of a node or pod as its kubelet would report it.
pub fn status(object: &Object) -> Result<Option<Value>> {
    let pod = match object {
        Object::Pod(pod) => pod,
        Object::Node(node) => {
            let status = node.status.as_ref().map(serde_json::to_value);
            return Ok(status.transpose()?);
        }
        _ => return Ok(None),
    };
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
    object.to_value()
}
