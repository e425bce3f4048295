//! The way from client-side to server-side apply: what kubectl applied before, by its annotation, it
//! may take over without a conflict.
//!
//! INVARIANT(unchanged): only fields that still are as they were applied; what somebody has changed
//! since is his, and stays a conflict.

use serde_json::Value;

use super::field_set::FieldSet;
use super::{Author, tree};
use crate::defaulting;
use crate::kinds::Resource;
use crate::strict;

/// Only kubectl under its own name is taken for the author of the annotation.
const KUBECTL: &str = "kubectl";
const ANNOTATION: &str = "kubectl.kubernetes.io/last-applied-configuration";

pub(super) fn allowed(resource: &Resource, live: &Value, author: Author<'_>) -> FieldSet {
    if author.manager != KUBECTL {
        return FieldSet::default();
    }
    last_applied(resource, live).unwrap_or_default()
}

fn last_applied(resource: &Resource, live: &Value) -> Option<FieldSet> {
    let text = live.get("metadata")?.get("annotations")?.get(ANNOTATION)?.as_str()?;
    let mut applied: Value = serde_json::from_str(text).ok()?;
    let slot = resource.schema().slot();
    strict::prune(slot, &mut applied);
    // The live object has its defaults; without them every list that is owned whole would differ.
    defaulting::complete(resource, &mut applied);
    let change = tree::compare(slot, &applied, live);
    let changed = change.modified.union(&change.added).union(&change.removed);
    Some(tree::field_set(slot, &applied).difference(&changed))
}
