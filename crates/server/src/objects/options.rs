//! What comes with a write besides the object.

use bulkhead_apimachinery::patch::PatchType;
use bulkhead_apimachinery::status::Status;
use bulkhead_apimachinery::write::{FieldValidation, Request, Subresource};
use jiff::Timestamp;
use serde_json::Value;

use super::Place;
use crate::random;

#[derive(Clone, Debug)]
pub struct WriteOptions {
    /// Judge and answer as if written, but write nothing.
    pub dry_run: bool,
    /// Who the written fields belong to.
    pub manager: String,
    /// What becomes of fields that the schema does not know.
    pub field_validation: FieldValidation,
    /// Apply takes over fields of others instead of refusing.
    pub force: bool,
}

#[derive(Clone, Debug)]
pub struct Patch {
    pub kind: PatchType,
    pub body: Value,
}

impl WriteOptions {
    /// A write by the server itself.
    pub fn by(manager: &str) -> Self {
        Self {
            dry_run: false,
            manager: manager.to_owned(),
            field_validation: FieldValidation::Ignore,
            force: false,
        }
    }
}

/// The parts of a pure write request that have to be drawn anew for each attempt.
pub(super) struct Draw {
    uid: String,
    now: Timestamp,
}

impl Draw {
    pub(super) fn new() -> Result<Self, Status> {
        Ok(Self { uid: random::uid()?, now: Timestamp::now() })
    }

    pub(super) fn request<'a>(
        &'a self,
        place: Place<'a>,
        subresource: Subresource,
        options: &'a WriteOptions,
    ) -> Request<'a> {
        Request {
            resource: place.resource,
            namespace: place.namespace,
            name: place.name,
            subresource,
            manager: &options.manager,
            force: options.force,
            field_validation: options.field_validation,
            now: self.now,
            uid: &self.uid,
        }
    }
}
