//! What an object says when it says nothing: values that readers may count on afterwards.
//!
//! INVARIANT(idempotent): defaulting a defaulted object changes nothing.

use bulkhead_api::object::Kind;
use serde_json::{Map, Value, json};

use crate::kinds::Resource;
use crate::meta;

#[cfg(test)]
mod tests;

/// The label that every namespace carries its own name in.
const NAMESPACE_NAME_LABEL: &str = "kubernetes.io/metadata.name";

/// Completes `object`, whose types have been checked.
pub fn complete(resource: &Resource, object: &mut Value) {
    match resource.id {
        Kind::Namespace => namespace(object),
        Kind::Pod => pod(object),
        Kind::Service => service(object),
        Kind::EndpointSlice => each(object, "/ports", |port| default(port, "protocol", "TCP")),
        Kind::KubernetesNetworkPolicy => network_policy(object),
        Kind::NetworkPolicy | Kind::GlobalNetworkPolicy => calico_policy(object),
        Kind::StagedNetworkPolicy | Kind::StagedGlobalNetworkPolicy => staged_policy(object),
        Kind::StagedKubernetesNetworkPolicy if !is_deletion(object) => network_policy(object),
        Kind::Tier => {
            if let Some(spec) = spec(object) {
                default(spec, "defaultAction", "Deny");
            }
        }
        // Kinds of ours say in their descriptions what absence means, so that an apply of the same
        // manifest finds nothing to change.
        _ => {}
    }
}

fn namespace(object: &mut Value) {
    let name = meta::name(object).to_owned();
    if let Some(labels) = meta::metadata_mut(object).and_then(|m| section(m, "labels")) {
        labels.insert(NAMESPACE_NAME_LABEL.to_owned(), Value::from(name));
    }
    if let Some(fields) = object.as_object_mut() {
        if let Some(spec) = section(fields, "spec") {
            default(spec, "finalizers", json!(["kubernetes"]));
        }
        if let Some(status) = section(fields, "status") {
            default(status, "phase", "Active");
        }
    }
}

fn pod(object: &mut Value) {
    if let Some(spec) = spec(object) {
        default(spec, "restartPolicy", "Always");
        default(spec, "terminationGracePeriodSeconds", 30);
        default(spec, "dnsPolicy", "ClusterFirst");
        default(spec, "schedulerName", "default-scheduler");
        default(spec, "serviceAccountName", "default");
        default(spec, "enableServiceLinks", true);
        default(spec, "securityContext", json!({}));
    }
    for list in ["/spec/initContainers", "/spec/containers", "/spec/ephemeralContainers"] {
        each(object, list, container);
    }
    if let Some(status) = object.as_object_mut().and_then(|fields| section(fields, "status")) {
        default(status, "phase", "Pending");
    }
}

fn container(container: &mut Map<String, Value>) {
    let image = container.get("image").and_then(Value::as_str).unwrap_or_default();
    let floating = !image.contains('@')
        && image
            .rsplit('/')
            .next()
            .is_none_or(|tail| !tail.contains(':') || tail.ends_with(":latest"));
    default(container, "imagePullPolicy", if floating { "Always" } else { "IfNotPresent" });
    default(container, "terminationMessagePath", "/dev/termination-log");
    default(container, "terminationMessagePolicy", "File");
    default(container, "resources", json!({}));
    let ports = container.get_mut("ports").and_then(Value::as_array_mut).into_iter().flatten();
    for port in ports.filter_map(Value::as_object_mut) {
        default(port, "protocol", "TCP");
    }
}

fn service(object: &mut Value) {
    if let Some(spec) = spec(object) {
        default(spec, "type", "ClusterIP");
        default(spec, "sessionAffinity", "None");
    }
    each(object, "/spec/ports", |port| {
        default(port, "protocol", "TCP");
        if let Some(number) = port.get("port").cloned() {
            default(port, "targetPort", number);
        }
    });
    if let Some(status) = object.as_object_mut().and_then(|fields| section(fields, "status")) {
        default(status, "loadBalancer", json!({}));
    }
}

fn network_policy(object: &mut Value) {
    if let Some(spec) = spec(object) {
        default(spec, "podSelector", json!({}));
        let mut types = vec!["Ingress"];
        if spec.get("egress").and_then(Value::as_array).is_some_and(|rules| !rules.is_empty()) {
            types.push("Egress");
        }
        default(spec, "policyTypes", json!(types));
    }
    for rules in ["/spec/ingress", "/spec/egress"] {
        each(object, rules, |rule| {
            let ports = rule.get_mut("ports").and_then(Value::as_array_mut).into_iter().flatten();
            for port in ports.filter_map(Value::as_object_mut) {
                default(port, "protocol", "TCP");
            }
        });
    }
}

/// A deletion has a tier and nothing else to complete.
fn staged_policy(object: &mut Value) {
    if is_deletion(object) {
        if let Some(spec) = spec(object) {
            default(spec, "tier", "default");
        }
    } else {
        calico_policy(object);
    }
}

fn is_deletion(object: &Value) -> bool {
    object.pointer("/spec/stagedAction").and_then(Value::as_str) == Some("Delete")
}

fn calico_policy(object: &mut Value) {
    let Some(spec) = spec(object) else { return };
    default(spec, "tier", "default");
    let has =
        |rules: &str| spec.get(rules).and_then(Value::as_array).is_some_and(|r| !r.is_empty());
    let types = match (has("ingress"), has("egress")) {
        (false, true) => json!(["Egress"]),
        (true, true) => json!(["Ingress", "Egress"]),
        (_, false) => json!(["Ingress"]),
    };
    default(spec, "types", types);
}

/// The map `spec`, made if there is none.
fn spec(object: &mut Value) -> Option<&mut Map<String, Value>> {
    object.as_object_mut().and_then(|fields| section(fields, "spec"))
}

fn section<'a>(
    fields: &'a mut Map<String, Value>,
    key: &str,
) -> Option<&'a mut Map<String, Value>> {
    fields.entry(key).or_insert_with(|| Value::Object(Map::new())).as_object_mut()
}

fn default(fields: &mut Map<String, Value>, key: &str, value: impl Into<Value>) {
    if !fields.contains_key(key) {
        fields.insert(key.to_owned(), value.into());
    }
}

fn each(object: &mut Value, pointer: &str, change: impl Fn(&mut Map<String, Value>)) {
    let items = object.pointer_mut(pointer).and_then(Value::as_array_mut).into_iter().flatten();
    for item in items.filter_map(Value::as_object_mut) {
        change(item);
    }
}
