//! How an object is taken in: without what no verdict, no report and no status of ours is made of, and
//! without what we do not understand of it.

use bulkhead_api::object::Kind;
use bulkhead_apimachinery::foreign;
use bulkhead_apimachinery::kinds::Resource;
use bulkhead_store::Key;
use serde_json::{Map, Value};

const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// The object without its ballast, and where it belongs. `None` for what has no name.
pub fn lean(resource: &Resource, mut object: Value) -> Option<(Key, Value)> {
    let fields = object.as_object_mut()?;
    // Items of lists leave these out.
    fields.insert("apiVersion".to_owned(), Value::String(resource.api_version()));
    fields.insert("kind".to_owned(), Value::String(resource.kind.to_owned()));
    match resource.id {
        Kind::Pod => lean_pod(fields),
        Kind::Node => drop_all(fields, "status", &["images", "volumesInUse", "volumesAttached"]),
        _ => {}
    }
    foreign::read_as_denying(resource, &mut object);
    let metadata = object.get_mut("metadata")?.as_object_mut()?;
    metadata.remove("managedFields");
    if let Some(annotations) = metadata.get_mut("annotations").and_then(Value::as_object_mut) {
        annotations.remove(LAST_APPLIED);
    }
    let text = |name: &str| metadata.get(name).and_then(Value::as_str).unwrap_or_default();
    let name = text("name");
    if name.is_empty() {
        return None;
    }
    let key = Key::new(resource.qualified_plural(), text("namespace"), name);
    Some((key, object))
}

fn lean_pod(fields: &mut Map<String, Value>) {
    drop_all(fields, "spec", &["volumes", "tolerations", "affinity"]);
    let states = ["conditions", "containerStatuses", "initContainerStatuses"];
    drop_all(fields, "status", &states);
    drop_all(fields, "status", &["ephemeralContainerStatuses", "resourceClaimStatuses"]);
    let Some(spec) = fields.get_mut("spec").and_then(Value::as_object_mut) else { return };
    for list in ["containers", "initContainers", "ephemeralContainers"] {
        let items = spec.get_mut(list).and_then(Value::as_array_mut).into_iter().flatten();
        for container in items.filter_map(Value::as_object_mut) {
            container.retain(|name, _| ["name", "ports", "restartPolicy"].contains(&name.as_str()));
        }
    }
}

fn drop_all(fields: &mut Map<String, Value>, section: &str, names: &[&str]) {
    if let Some(section) = fields.get_mut(section).and_then(Value::as_object_mut) {
        section.retain(|name, _| !names.contains(&name.as_str()));
    }
}

#[cfg(test)]
mod tests {
    use bulkhead_api::Object;
    use bulkhead_apimachinery::kinds;
    use serde_json::json;

    use super::*;

    #[test]
    fn a_pod_keeps_what_policy_sees_and_can_still_be_read() {
        let pod = json!({
            "metadata": {"name": "web", "namespace": "app", "labels": {"a": "b"},
                "managedFields": [{"manager": "kubelet"}], "annotations": {LAST_APPLIED: "{}"}},
            "spec": {"nodeName": "n1", "volumes": [{"name": "v"}], "containers": [
                {"name": "c", "image": "x", "env": [], "ports": [{"containerPort": 80}]}]},
            "status": {"phase": "Running", "podIPs": [{"ip": "10.0.0.1"}],
                "containerStatuses": [], "conditions": []},
        });
        let (key, lean) = lean(kinds::by_id(Kind::Pod), pod).unwrap();
        assert_eq!(key, Key::new("pods", "app", "web"));
        let expected = json!({
            "metadata": {"name": "web", "namespace": "app", "labels": {"a": "b"}, "annotations": {}},
            "spec": {"nodeName": "n1", "containers": [
                {"name": "c", "ports": [{"containerPort": 80}]}]},
            "status": {"phase": "Running", "podIPs": [{"ip": "10.0.0.1"}]},
            "apiVersion": "v1", "kind": "Pod",
        });
        assert_eq!(lean, expected);
        Object::from_value(lean).unwrap();
    }

    #[test]
    fn what_has_no_name_is_no_object() {
        assert!(lean(kinds::by_id(Kind::Pod), json!({"metadata": {}})).is_none());
        assert!(lean(kinds::by_id(Kind::Pod), json!("text")).is_none());
    }
}
