//! Rules of `metadata`, the same for every kind but for the form of names.

use bulkhead_api::object::Kind;
use serde_json::Value;

use super::{names, read};
use crate::field::{self, FieldError};
use crate::kinds::Resource;
use crate::meta;

/// All annotations together, as upstream.
const ANNOTATIONS_BYTES_MAX: usize = 256 * 1024;

pub(super) fn check(resource: &Resource, object: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    name(resource, object, &mut errors);
    namespace(resource, object, &mut errors);
    let Some(metadata) = object.get("metadata") else { return errors };
    labels(metadata, "metadata.labels", &mut errors);
    annotations(metadata, &mut errors);
    for (path, finalizer) in read::indexed(metadata, "finalizers", "metadata") {
        for why in names::label_key(finalizer.as_str().unwrap_or_default()) {
            errors.push(FieldError::invalid(&path, finalizer, why));
        }
    }
    for (path, owner) in read::indexed(metadata, "ownerReferences", "metadata") {
        for key in ["apiVersion", "kind", "name", "uid"] {
            if read::text(owner, key).is_empty() {
                errors.push(FieldError::required(field::child(&path, key), "must not be empty"));
            }
        }
    }
    errors
}

fn name(resource: &Resource, object: &Value, errors: &mut Vec<FieldError>) {
    let name = meta::name(object);
    if name.is_empty() {
        let why = "name or generateName is required";
        errors.push(FieldError::required("metadata.name", why));
        return;
    }
    let broken = match resource.id {
        Kind::Namespace | Kind::Tier => names::dns_label(name),
        Kind::Service => names::dns_1035_label(name),
        _ => names::dns_subdomain(name),
    };
    for why in broken {
        errors.push(FieldError::invalid("metadata.name", &Value::from(name), why));
    }
}

fn namespace(resource: &Resource, object: &Value, errors: &mut Vec<FieldError>) {
    let namespace = meta::namespace(object);
    match (resource.namespaced, namespace.is_empty()) {
        (true, true) => errors.push(FieldError::required("metadata.namespace", "")),
        (false, false) => {
            errors.push(FieldError::forbidden("metadata.namespace", "not allowed on this type"));
        }
        (true, false) => {
            for why in names::dns_label(namespace) {
                errors.push(FieldError::invalid("metadata.namespace", &namespace.into(), why));
            }
        }
        (false, true) => {}
    }
}

/// The labels of `owner`, whose map stands at `path`.
pub(super) fn labels(owner: &Value, path: &str, errors: &mut Vec<FieldError>) {
    for (key, value) in read::entries(owner, "labels") {
        for why in names::label_key(key) {
            errors.push(FieldError::invalid(path, &Value::from(key.as_str()), why));
        }
        for why in names::label_value(value.as_str().unwrap_or_default()) {
            errors.push(FieldError::invalid(path, value, why));
        }
    }
}

fn annotations(metadata: &Value, errors: &mut Vec<FieldError>) {
    let mut bytes = 0;
    for (key, value) in read::entries(metadata, "annotations") {
        for why in names::label_key(&key.to_lowercase()) {
            errors.push(FieldError::invalid("metadata.annotations", &key.as_str().into(), why));
        }
        bytes += key.len() + value.as_str().map_or(0, str::len);
    }
    if bytes > ANNOTATIONS_BYTES_MAX {
        errors.push(FieldError::too_long("metadata.annotations", ANNOTATIONS_BYTES_MAX));
    }
}
