//! The three patch formats: JSON patch, JSON merge patch and strategic merge patch.
//!
//! A patch gives the whole altered object; `write` then judges it like any replacement.

use json_patch::PatchOperation;
use serde_json::Value;

use crate::body;
use crate::kinds::Resource;
use crate::status::{Reason, Status};

mod strategic;
#[cfg(test)]
mod tests;

/// Most operations of one JSON patch, as upstream.
const OPERATIONS_MAX: usize = 10_000;
/// Most that the copy operations of one JSON patch may copy.
const COPIED_BYTES_MAX: usize = 3 * 1024 * 1024;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PatchType {
    Json,
    Merge,
    Strategic,
    Apply,
}

impl PatchType {
    /// By `Content-Type`, without its parameters.
    pub fn from_content_type(content_type: &str) -> Option<Self> {
        let bare = content_type.split(';').next().unwrap_or_default().trim();
        Some(match bare {
            "application/json-patch+json" => PatchType::Json,
            "application/merge-patch+json" => PatchType::Merge,
            "application/strategic-merge-patch+json" => PatchType::Strategic,
            "application/apply-patch+yaml" => PatchType::Apply,
            _ => return None,
        })
    }

    /// The formats that `resource` takes.
    pub fn accepted(resource: &Resource) -> &'static [&'static str] {
        const CUSTOM: &[&str] = &[
            "application/json-patch+json",
            "application/merge-patch+json",
            "application/apply-patch+yaml",
        ];
        const BUILT_IN: &[&str] = &[
            "application/json-patch+json",
            "application/merge-patch+json",
            "application/apply-patch+yaml",
            "application/strategic-merge-patch+json",
        ];
        if resource.built_in { BUILT_IN } else { CUSTOM }
    }
}

/// What `patch` makes of `live`. Not for [`PatchType::Apply`], which has its own books.
pub fn patch(
    resource: &Resource,
    live: &Value,
    patch_type: PatchType,
    patch: &Value,
) -> Result<Value, Status> {
    match patch_type {
        PatchType::Json => json_patch(live, patch),
        PatchType::Merge => {
            require_object(patch)?;
            let mut altered = live.clone();
            json_patch::merge(&mut altered, patch);
            Ok(altered)
        }
        PatchType::Strategic if resource.built_in => {
            require_object(patch)?;
            strategic::merge(resource.schema().slot(), live, patch)
        }
        PatchType::Strategic | PatchType::Apply => {
            Err(Status::unsupported_media_type(PatchType::accepted(resource)))
        }
    }
}

fn require_object(patch: &Value) -> Result<(), Status> {
    if patch.is_object() {
        return Ok(());
    }
    Err(Status::bad_request("the patch is not an object: expected `{...}`"))
}

fn json_patch(live: &Value, patch: &Value) -> Result<Value, Status> {
    let operations: json_patch::Patch = serde_json::from_value(patch.clone())
        .map_err(|error| Status::bad_request(format!("the body is not a JSON patch: {error}")))?;
    if operations.0.len() > OPERATIONS_MAX {
        let message = format!(
            "The allowed maximum operations in a JSON patch is {OPERATIONS_MAX}, got {}",
            operations.0.len()
        );
        return Err(Status::new(Reason::RequestEntityTooLarge, message));
    }
    let mut altered = live.clone();
    let mut n_copied = 0;
    for operation in &operations.0 {
        guard(&altered, operation, &mut n_copied)?;
        json_patch::patch(&mut altered, std::slice::from_ref(operation)).map_err(|error| {
            let message = format!("the JSON patch does not apply: {error}");
            Status::new(Reason::Invalid, message)
        })?;
    }
    Ok(altered)
}

/// A few copies of a document into itself would make it as large and as deep as one likes.
fn guard(document: &Value, operation: &PatchOperation, n_copied: &mut usize) -> Result<(), Status> {
    let value = match operation {
        PatchOperation::Add(add) => Some(&add.value),
        PatchOperation::Replace(replace) => Some(&replace.value),
        PatchOperation::Move(from) => document.pointer(from.from.as_str()),
        PatchOperation::Copy(from) => {
            let value = document.pointer(from.from.as_str());
            *n_copied += value.map_or(0, |value| value.to_string().len());
            value
        }
        PatchOperation::Remove(_) | PatchOperation::Test(_) => None,
    };
    if *n_copied > COPIED_BYTES_MAX {
        let message = format!(
            "the copy operations of the JSON patch copy more than {COPIED_BYTES_MAX} bytes together"
        );
        return Err(Status::new(Reason::RequestEntityTooLarge, message));
    }
    let n_steps = operation.path().count();
    let levels = body::DEPTH_MAX.saturating_sub(n_steps);
    if value.is_some_and(|value| body::depth_exceeds(value, levels)) {
        let message = format!("the JSON patch nests deeper than {} levels", body::DEPTH_MAX);
        return Err(Status::new(Reason::Invalid, message));
    }
    Ok(())
}
