//! Server-side apply: who owns which field, and what an apply makes of an object.
//!
//! An apply states everything its manager wants. Fields it stated before and no longer states go,
//! unless somebody else owns them too; fields that others own and it would change are conflicts.
//! Every other write is tracked likewise, as an `Update` of its manager.
//!
//! INVARIANT(one truth): a field that two managers own has the value both of them wrote.

use jiff::Timestamp;
use serde_json::Value;

use crate::kinds::Resource;
use crate::schema::Slot;
use crate::status::{Cause, Reason, Status};

mod conflict;
pub mod field_set;
mod last_applied;
pub mod managed;
#[cfg(test)]
mod tests;
mod tree;

use conflict::Conflict;
pub use field_set::{FieldSet, PathElement};
pub use managed::{Managed, Operation};

/// Who writes, and through which door.
#[derive(Clone, Copy, Debug)]
pub struct Author<'a> {
    pub manager: &'a str,
    /// `status`, or empty for the object itself.
    pub subresource: &'a str,
    pub now: Timestamp,
}

/// Manager that owns what was there before ownership was tracked.
const BEFORE_FIRST_APPLY: &str = "before-first-apply";

/// Merges `config` into `live` for the author. `config` is pruned and holds what the author wants.
pub fn apply(
    resource: &Resource,
    live: &Value,
    config: &Value,
    author: Author<'_>,
    force: bool,
) -> Result<Value, Status> {
    let slot = resource.schema().slot();
    let (old, mut managers) = managed::split(live);
    if managers.is_empty() && !old.get("metadata").is_none_or(Value::is_null) {
        managers.extend(predecessor(resource, slot, &old));
    }
    let wanted = tree::field_set(slot, config);
    let me = managed::key(resource, author, Operation::Apply);
    let last = managed::find(&managers, &me).map(|m| m.set.clone()).unwrap_or_default();

    let mut others: Vec<Managed> = managers.into_iter().filter(|m| !m.is(&me)).collect();
    let merged = tree::merge(slot, &old, config);
    let kept = others.iter().fold(wanted.clone(), |all, manager| all.union(&manager.set));
    let gone = tree::with_structs(slot, &last).difference(&tree::with_structs(slot, &kept));
    let pruned = tree::remove(slot, merged, &gone);

    let change = tree::compare(slot, &old, &pruned);
    if !force {
        let allowed = last_applied::allowed(resource, &old, author);
        let conflicts = conflict::find(&others, &change, &allowed);
        if !conflicts.is_empty() {
            return Err(refusal(resource, config, &conflicts));
        }
    }
    managed::yield_to(&mut others, &change);
    let set = managed::tracked(&wanted);
    if !set.is_empty() {
        let time = if set == last { managed_time(live, &me) } else { None };
        let time = time.unwrap_or_else(|| managed::time(author.now));
        others.push(Managed { set, time: Some(time), ..me });
    }
    Ok(managed::join(pruned, others))
}

/// Records in `new` that the author changed `live` (nothing, when new) into it by another way than
/// apply. `new` carries no `managedFields` of its own.
pub fn record_update(resource: &Resource, live: &Value, new: Value, author: Author<'_>) -> Value {
    let slot = resource.schema().slot();
    let (old, managers) = managed::split(live);
    let (new, _) = managed::split(&new);
    let me = managed::key(resource, author, Operation::Update);
    let (mine, mut others): (Vec<_>, Vec<_>) = managers.into_iter().partition(|m| m.is(&me));
    let before = mine.into_iter().next();
    let last = before.as_ref().map(|m| m.set.clone()).unwrap_or_default();

    let change = tree::compare(slot, &old, &new);
    managed::yield_to(&mut others, &change);
    let written = change.modified.union(&change.added);
    let set = managed::tracked(&last.difference(&change.removed).union(&written));
    if !set.is_empty() {
        let same = before.filter(|m| m.set == set).and_then(|m| m.time);
        let time = same.unwrap_or_else(|| managed::time(author.now));
        others.push(Managed { set, time: Some(time), ..me });
    }
    managed::join(new, others)
}

fn managed_time(live: &Value, me: &Managed) -> Option<String> {
    let (_, managers) = managed::split(live);
    managers.into_iter().find(|m| m.is(me)).and_then(|m| m.time)
}

fn predecessor(resource: &Resource, slot: Slot<'_>, old: &Value) -> Option<Managed> {
    let set = managed::tracked(&tree::field_set(slot, old));
    if set.is_empty() {
        return None;
    }
    Some(Managed {
        manager: BEFORE_FIRST_APPLY.to_owned(),
        operation: Operation::Update,
        api_version: resource.api_version(),
        subresource: String::new(),
        time: None,
        set,
    })
}

fn refusal(resource: &Resource, config: &Value, conflicts: &[Conflict]) -> Status {
    let name = config.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default();
    let mut status =
        Status::new(Reason::Conflict, conflict::message(conflicts)).about(resource, name);
    // Upstream gives no subject here; clients look at the causes only.
    status.subject = None;
    status.causes = conflicts
        .iter()
        .flat_map(|conflict| {
            conflict.paths.iter().map(|path| Cause {
                reason: "FieldManagerConflict".to_owned(),
                message: format!("conflict with {}", conflict.with),
                field: path.clone(),
            })
        })
        .collect();
    status
}
