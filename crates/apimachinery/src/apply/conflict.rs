//! Conflicts between an apply and the other managers, in upstream's words.

use super::field_set::FieldSet;
use super::managed::{Managed, Operation};
use super::tree::Change;

/// The fields of one other manager that an apply would change.
#[derive(Debug)]
pub(super) struct Conflict {
    /// `"kubectl-edit" using v1`.
    pub with: String,
    pub paths: Vec<String>,
}

/// `allowed` are fields that the author may take over all the same.
pub(super) fn find(others: &[Managed], change: &Change, allowed: &FieldSet) -> Vec<Conflict> {
    let written = change.modified.union(&change.added).difference(allowed);
    let mut found = Vec::new();
    for other in others {
        let contested = other.set.intersection(&written);
        if !contested.is_empty() {
            found.push(Conflict { with: describe(other), paths: contested.paths() });
        }
    }
    found
}

fn describe(manager: &Managed) -> String {
    let mut text = format!("{:?}", manager.manager);
    if !manager.subresource.is_empty() {
        text.push_str(&format!(" with subresource {:?}", manager.subresource));
    }
    text.push_str(&format!(" using {}", manager.api_version));
    if let (Operation::Update, Some(time)) = (manager.operation, &manager.time) {
        text.push_str(&format!(" at {time}"));
    }
    text
}

pub(super) fn message(conflicts: &[Conflict]) -> String {
    let count: usize = conflicts.iter().map(|conflict| conflict.paths.len()).sum();
    if let ([only], 1) = (conflicts, count) {
        let path = only.paths.join("");
        return format!("Apply failed with 1 conflict: conflict with {}: {path}", only.with);
    }
    let mut lines = Vec::new();
    for conflict in conflicts {
        lines.push(format!("conflicts with {}:", conflict.with));
        lines.extend(conflict.paths.iter().map(|path| format!("- {path}")));
    }
    format!("Apply failed with {count} conflicts: {}", lines.join("\n"))
}
