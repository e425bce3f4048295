//! What a server would refuse: names, labels, ports and the like, by the very rules it applies.

use bulkhead_api::Object;
use bulkhead_api::manifest::Severity;
use bulkhead_apimachinery::field::Fault;
use bulkhead_apimachinery::{defaulting, kinds, validate};
use serde_json::Value;

use super::Pen;

/// Longest message; values may be huge.
const MESSAGE_CHARS_MAX: usize = 400;

pub fn check(objects: &[&Object], pen: &mut Pen<'_>) {
    for object in objects {
        let Ok(mut value) = value(object) else { continue };
        let resource = kinds::by_id(object.kind());
        defaulting::complete(resource, &mut value);
        for error in validate::meaning(resource, &value) {
            let key = object.key();
            if pen.has_error(&key, &error.path) {
                continue;
            }
            // A pod without image or containers cannot run, but policy can be judged about it.
            let is_about_policy =
                !matches!(object, Object::Pod(_)) || error.fault != Fault::Required;
            let severity = if is_about_policy { Severity::Error } else { Severity::Warning };
            let message: String = format!("`{}`: {}", error.path, error.body())
                .chars()
                .take(MESSAGE_CHARS_MAX)
                .collect();
            let help = Some("a server refuses the object as it stands".to_owned());
            pen.write(severity, "refused", &key, &error.path, message, help);
        }
    }
}

fn value(object: &Object) -> serde_json::Result<Value> {
    match object {
        Object::Namespace(o) => serde_json::to_value(o),
        Object::Node(o) => serde_json::to_value(o),
        Object::Pod(o) => serde_json::to_value(o),
        Object::Service(o) => serde_json::to_value(o),
        Object::EndpointSlice(o) => serde_json::to_value(o),
        Object::ServiceAccount(o) => serde_json::to_value(o),
        Object::KubernetesNetworkPolicy(o) => serde_json::to_value(o),
        Object::Tier(o) => serde_json::to_value(o),
        Object::NetworkPolicy(o) => serde_json::to_value(o),
        Object::GlobalNetworkPolicy(o) => serde_json::to_value(o),
        Object::NetworkSet(o) => serde_json::to_value(o),
        Object::GlobalNetworkSet(o) => serde_json::to_value(o),
        Object::Workload(o) => serde_json::to_value(o),
    }
}
