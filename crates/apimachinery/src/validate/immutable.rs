//! Fields that an update must leave as they are.

use bulkhead_api::object::Kind;
use serde_json::Value;

use crate::field::FieldError;
use crate::kinds::Resource;

const RULE: &str = "field is immutable";

const METADATA: &[&str] = &["name", "namespace", "uid", "creationTimestamp"];

pub(super) fn check(resource: &Resource, old: &Value, new: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    for field in METADATA {
        same(old, new, &["metadata", field], &mut errors);
    }
    match resource.id {
        Kind::EndpointSlice => same(old, new, &["addressType"], &mut errors),
        Kind::Pod => pod(old, new, &mut errors),
        _ => {}
    }
    errors
}

fn same(old: &Value, new: &Value, path: &[&str], errors: &mut Vec<FieldError>) {
    let find = |value| path.iter().try_fold(value, |at: &Value, key| at.get(key)).cloned();
    let (before, after) = (find(old), find(new));
    if before != after {
        let value = after.unwrap_or_default();
        errors.push(FieldError::invalid(path.join("."), &value, RULE));
    }
}

/// A running pod keeps its spec, but for images, tolerations, deadlines and its first binding to a
/// node.
fn pod(old: &Value, new: &Value, errors: &mut Vec<FieldError>) {
    let frozen = |object: &Value| {
        let mut spec = object.get("spec").and_then(Value::as_object).cloned().unwrap_or_default();
        for field in ["tolerations", "activeDeadlineSeconds", "terminationGracePeriodSeconds"] {
            spec.shift_remove(field);
        }
        for list in ["containers", "initContainers"] {
            let items = spec.get_mut(list).and_then(Value::as_array_mut).into_iter().flatten();
            for container in items.filter_map(Value::as_object_mut) {
                container.shift_remove("image");
                container.shift_remove("imagePullPolicy");
            }
        }
        spec.shift_remove("ephemeralContainers");
        spec
    };
    let (mut before, mut after) = (frozen(old), frozen(new));
    if before.get("nodeName").is_none() {
        after.shift_remove("nodeName");
        before.shift_remove("nodeName");
    }
    if before != after {
        let rule = "pod updates may not change fields other than \
                    `spec.containers[*].image`,`spec.initContainers[*].image`,\
                    `spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing \
                    tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it \
                    was previously negative)";
        errors.push(FieldError::forbidden("spec", rule));
    }
}
