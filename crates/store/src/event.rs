//! Stored objects and the changes between their states.

use std::sync::Arc;

use serde_json::Value;

use crate::key::{Key, ResourceVersion};

/// One state of one object. `value` carries `metadata.resourceVersion`, equal to `revision`.
#[derive(Debug, PartialEq)]
pub struct Stored {
    pub key: Key,
    pub revision: ResourceVersion,
    pub value: Value,
    /// Length as JSON, the measure of all byte limits.
    pub n_bytes: usize,
}

/// One change. At least one of `old` and `new` is there: creation has no `old`, deletion no `new`.
#[derive(Debug, PartialEq)]
pub struct Event {
    pub revision: ResourceVersion,
    pub key: Key,
    pub old: Option<Arc<Stored>>,
    pub new: Option<Arc<Stored>>,
}

impl Event {
    /// The state that the event is about: the new one, or for a deletion the last one.
    pub fn state(&self) -> Option<&Arc<Stored>> {
        self.new.as_ref().or(self.old.as_ref())
    }

    pub fn is_deletion(&self) -> bool {
        self.new.is_none()
    }

    /// What the log holds on to because of this event: the state that is current nowhere else.
    pub(crate) fn n_bytes(&self) -> usize {
        self.old.as_ref().map_or(0, |old| old.n_bytes)
    }
}

/// Writes `revision` into the object's metadata; false when it has no metadata object.
pub(crate) fn set_resource_version(value: &mut Value, revision: ResourceVersion) -> bool {
    let Some(metadata) = value.get_mut("metadata").and_then(Value::as_object_mut) else {
        return false;
    };
    metadata.insert("resourceVersion".to_owned(), Value::String(revision.to_string()));
    true
}

/// The revision that the object's metadata names.
pub(crate) fn resource_version(value: &Value) -> Option<ResourceVersion> {
    value.get("metadata")?.get("resourceVersion")?.as_str()?.parse().ok()
}
