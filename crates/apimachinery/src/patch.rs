//! The three patch formats: JSON patch, JSON merge patch and strategic merge patch.
//!
//! A patch gives the whole altered object; `write` then judges it like any replacement.

use serde_json::Value;

use crate::kinds::Resource;
use crate::status::{Reason, Status};

mod strategic;
#[cfg(test)]
mod tests;

/// Most operations of one JSON patch, as upstream.
const OPERATIONS_MAX: usize = 10_000;

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
    json_patch::patch(&mut altered, &operations.0).map_err(|error| {
        let message = format!("the JSON patch does not apply: {error}");
        Status::new(Reason::Invalid, message)
    })?;
    Ok(altered)
}
