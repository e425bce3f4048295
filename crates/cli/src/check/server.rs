//! What a server would refuse: names, labels, ports and the like, by the very rules it applies.

use bulkhead_api::Object;
use bulkhead_api::manifest::Severity;
use bulkhead_api::object::Role;
use bulkhead_apimachinery::field::Fault;
use bulkhead_apimachinery::{defaulting, kinds, validate};
use serde_json::Value;

use super::Pen;

/// Longest message; values may be huge.
const MESSAGE_CHARS_MAX: usize = 400;

pub fn check(objects: &[&Object], pen: &mut Pen<'_>) {
    for object in objects {
        // What only offline tools read, no server of ours takes.
        if object.kind().role() == Role::Manifest {
            continue;
        }
        let Ok(mut value) = object.to_value() else { continue };
        let resource = kinds::by_id(object.kind());
        // Whoever sends it fills this in.
        if object.kind().is_namespaced()
            && object.metadata().namespace.is_none()
            && let Some(metadata) = value.get_mut("metadata").and_then(Value::as_object_mut)
        {
            metadata.insert("namespace".to_owned(), object.key().namespace.into());
        }
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
