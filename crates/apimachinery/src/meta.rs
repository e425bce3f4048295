//! The books of an object that the server keeps: identity, generation, deletion, owners.

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use crate::kinds::Resource;

#[cfg(test)]
mod tests;

/// Fields of `metadata` that only the server writes.
const SERVER_FIELDS: &[&str] = &[
    "uid",
    "creationTimestamp",
    "generation",
    "resourceVersion",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "selfLink",
];

/// As times stand in objects: `2026-11-21T21:07:00Z`.
pub fn time(now: Timestamp) -> String {
    now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// A text field of `metadata`; empty when absent.
pub fn text<'a>(object: &'a Value, field: &str) -> &'a str {
    object.get("metadata").and_then(|m| m.get(field)).and_then(Value::as_str).unwrap_or_default()
}

pub fn name(object: &Value) -> &str {
    text(object, "name")
}

pub fn namespace(object: &Value) -> &str {
    text(object, "namespace")
}

/// The map `metadata`, made if there is none.
pub fn metadata_mut(object: &mut Value) -> Option<&mut Map<String, Value>> {
    let fields = object.as_object_mut()?;
    fields.entry("metadata").or_insert_with(|| Value::Object(Map::new())).as_object_mut()
}

/// Sets or, when `None`, removes one field of `metadata`.
pub fn set(object: &mut Value, field: &str, value: Option<Value>) {
    let Some(metadata) = metadata_mut(object) else { return };
    match value {
        Some(value) => {
            metadata.insert(field.to_owned(), value);
        }
        None => {
            metadata.shift_remove(field);
        }
    }
}

/// A new object gets its identity; whatever the client wrote there is dropped.
pub fn stamp_new(resource: &Resource, object: &mut Value, uid: &str, now: Timestamp) {
    for field in SERVER_FIELDS {
        set(object, field, None);
    }
    set(object, "uid", Some(Value::from(uid)));
    set(object, "creationTimestamp", Some(Value::from(time(now))));
    if resource.has_generation {
        set(object, "generation", Some(Value::from(1)));
    }
}

/// An altered object keeps its identity. Its generation counts changes outside `metadata` and
/// `status`.
pub fn carry_over(resource: &Resource, live: &Value, object: &mut Value) {
    for field in SERVER_FIELDS {
        let kept = live.get("metadata").and_then(|m| m.get(field)).cloned();
        set(object, field, kept);
    }
    if resource.has_generation && intent_differs(live, object) {
        let generation = live.pointer("/metadata/generation").and_then(Value::as_i64).unwrap_or(0);
        set(object, "generation", Some(Value::from(generation + 1)));
    }
}

fn intent_differs(live: &Value, object: &Value) -> bool {
    let intent = |value: &Value| {
        let mut fields = value.as_object().cloned().unwrap_or_default();
        for field in ["metadata", "status", "apiVersion", "kind"] {
            fields.shift_remove(field);
        }
        fields
    };
    intent(live) != intent(object)
}

/// Equal but for revision and the times in the books: nothing needs to be written.
pub fn is_same(live: &Value, object: &Value) -> bool {
    let bare = |value: &Value| {
        let mut value = value.clone();
        set(&mut value, "resourceVersion", None);
        let books = value.pointer_mut("/metadata/managedFields").and_then(Value::as_array_mut);
        for entry in books.into_iter().flatten() {
            if let Some(entry) = entry.as_object_mut() {
                entry.shift_remove("time");
            }
        }
        value
    };
    bare(live) == bare(object)
}

/// What a deletion does.
#[derive(Clone, Debug, PartialEq)]
pub enum Deletion {
    /// The object goes.
    Remove,
    /// The object stays, marked, until its finalizers are gone.
    Mark(Value),
    /// It is marked already and still waits for its finalizers.
    Waiting,
}

pub fn delete(live: &Value, now: Timestamp) -> Deletion {
    if !has_finalizers(live) {
        return Deletion::Remove;
    }
    if is_deleting(live) {
        return Deletion::Waiting;
    }
    let mut marked = live.clone();
    set(&mut marked, "deletionTimestamp", Some(Value::from(time(now))));
    set(&mut marked, "deletionGracePeriodSeconds", Some(json!(0)));
    let generation = live.pointer("/metadata/generation").and_then(Value::as_i64);
    if let Some(generation) = generation {
        set(&mut marked, "generation", Some(Value::from(generation + 1)));
    }
    Deletion::Mark(marked)
}

pub fn has_finalizers(object: &Value) -> bool {
    let finalizers = object.pointer("/metadata/finalizers").and_then(Value::as_array);
    finalizers.is_some_and(|list| !list.is_empty())
}

pub fn is_deleting(object: &Value) -> bool {
    !text(object, "deletionTimestamp").is_empty()
}

/// A write removed the last finalizer of an object that is being deleted: it goes now.
pub fn is_released(object: &Value) -> bool {
    is_deleting(object) && !has_finalizers(object)
}

/// One owner of an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    pub api_version: String,
    pub kind: String,
    pub name: String,
    pub uid: String,
    pub blocks_deletion: bool,
}

pub fn owners(object: &Value) -> Vec<Owner> {
    let list = object.pointer("/metadata/ownerReferences").and_then(Value::as_array);
    let read = |owner: &Value| {
        let text =
            |key: &str| owner.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
        Owner {
            api_version: text("apiVersion"),
            kind: text("kind"),
            name: text("name"),
            uid: text("uid"),
            blocks_deletion: owner.get("blockOwnerDeletion").and_then(Value::as_bool) == Some(true),
        }
    };
    list.into_iter().flatten().map(read).collect()
}

/// The object has owners and none of them exists any more: it is garbage.
pub fn is_orphaned(object: &Value, exists: impl Fn(&Owner) -> bool) -> bool {
    let owners = owners(object);
    !owners.is_empty() && !owners.iter().any(exists)
}
