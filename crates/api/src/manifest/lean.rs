//! What policy never reads of an object, left out, so that a large cluster fits in memory.

use serde_json::Value;

use crate::object::Kind;

/// What a container says that policy, or whoever looks at how it is named, may ask for.
const CONTAINER: [&str; 4] = ["name", "image", "ports", "restartPolicy"];
const STATUS: [&str; 5] = ["phase", "podIP", "podIPs", "hostIP", "hostIPs"];
const IDLE_SPEC: [&str; 8] = [
    "volumes",
    "affinity",
    "tolerations",
    "topologySpreadConstraints",
    "securityContext",
    "imagePullSecrets",
    "readinessGates",
    "overhead",
];
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// Only of an object that was held against its schema: what is gone cannot be complained about.
pub(super) fn lean(kind: Kind, object: &mut Value) {
    if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.remove("managedFields");
        if let Some(annotations) = metadata.get_mut("annotations").and_then(Value::as_object_mut) {
            annotations.remove(LAST_APPLIED);
        }
    }
    if kind == Kind::Pod
        && let Some(status) = object.get_mut("status").and_then(Value::as_object_mut)
    {
        status.retain(|key, _| STATUS.contains(&key.as_str()));
    }
    let place = match kind {
        Kind::Pod => "/spec",
        Kind::Deployment
        | Kind::ReplicaSet
        | Kind::StatefulSet
        | Kind::DaemonSet
        | Kind::Job
        | Kind::ReplicationController => "/spec/template/spec",
        Kind::CronJob => "/spec/jobTemplate/spec/template/spec",
        _ => return,
    };
    let Some(spec) = object.pointer_mut(place).and_then(Value::as_object_mut) else { return };
    spec.retain(|key, _| !IDLE_SPEC.contains(&key.as_str()));
    for list in ["initContainers", "containers", "ephemeralContainers"] {
        for container in spec.get_mut(list).and_then(Value::as_array_mut).into_iter().flatten() {
            if let Some(fields) = container.as_object_mut() {
                fields.retain(|key, _| CONTAINER.contains(&key.as_str()));
            }
        }
    }
}
