//! Strategic merge patch: a merge patch that knows, from the schema, which lists merge by a key.
//!
//! Directives: `$patch` (replace, delete, merge), `$retainKeys`, `$deleteFromPrimitiveList/<field>`
//! and `$setElementOrder/<field>`.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use crate::schema::{PatchMerge, Slot};
use crate::status::Status;

const DIRECTIVE: &str = "$patch";
const RETAIN_KEYS: &str = "$retainKeys";
const DELETE_FROM: &str = "$deleteFromPrimitiveList/";
const ORDER: &str = "$setElementOrder/";

/// Merges `patch` into `live`.
pub(super) fn merge(slot: Slot<'_>, live: &Value, patch: &Value) -> Result<Value, Status> {
    let (Some(live), Some(patch)) = (live.as_object(), patch.as_object()) else {
        return Ok(without_directives(patch.clone()));
    };
    Ok(merge_fields(slot, live, patch)?.map_or(Value::Null, Value::Object))
}

/// `None`: the patch deletes the whole object.
fn merge_fields(
    slot: Slot<'_>,
    live: &Map<String, Value>,
    patch: &Map<String, Value>,
) -> Result<Option<Map<String, Value>>, Status> {
    match directive(patch)? {
        Some(Directive::Delete) => return Ok(None),
        Some(Directive::Replace) => {
            let rest = without_directives(Value::Object(patch.clone()));
            return Ok(rest.as_object().cloned());
        }
        Some(Directive::Merge) | None => {}
    }
    let mut merged = live.clone();
    if let Some(keep) = patch.get(RETAIN_KEYS) {
        let keep = keep.as_array().ok_or_else(|| bad(RETAIN_KEYS, "a list of field names"))?;
        merged.retain(|key, _| keep.iter().any(|kept| kept.as_str() == Some(key)));
    }
    for (key, value) in patch {
        if let Some(field) = key.strip_prefix(DELETE_FROM) {
            delete_scalars(&mut merged, field, value)?;
        } else if !key.starts_with('$') {
            merge_field(slot, &mut merged, key, value)?;
        }
    }
    for (key, order) in patch {
        if let Some(field) = key.strip_prefix(ORDER) {
            reorder(slot, &mut merged, field, order)?;
        }
    }
    Ok(Some(merged))
}

fn merge_field(
    slot: Slot<'_>,
    merged: &mut Map<String, Value>,
    key: &str,
    value: &Value,
) -> Result<(), Status> {
    let inner = slot.child(key).unwrap_or_else(Slot::any);
    let present = merged.get(key).cloned();
    let result = match value {
        Value::Null => None,
        Value::Object(fields) => {
            let nothing = Map::new();
            let live = present.as_ref().and_then(Value::as_object).unwrap_or(&nothing);
            merge_fields(inner, live, fields)?.map(Value::Object)
        }
        Value::Array(items) => {
            let live = present.as_ref().and_then(Value::as_array).cloned().unwrap_or_default();
            Some(Value::Array(merge_list(inner, live, items, key)?))
        }
        scalar => Some(scalar.clone()),
    };
    match result {
        Some(value) => merged.insert(key.to_owned(), value),
        None => merged.shift_remove(key),
    };
    Ok(())
}

fn merge_list(
    slot: Slot<'_>,
    live: Vec<Value>,
    patch: &[Value],
    field: &str,
) -> Result<Vec<Value>, Status> {
    let replaces = patch.iter().any(|item| item.get(DIRECTIVE).is_some_and(|d| d == "replace"));
    match slot.merge {
        _ if replaces => {
            let rest = patch.iter().filter(|item| item.get(DIRECTIVE).is_none());
            Ok(rest.cloned().map(without_directives).collect())
        }
        None => Ok(patch.iter().cloned().map(without_directives).collect()),
        Some(PatchMerge { key: None, .. }) => {
            let mut merged = live;
            let mut present: BTreeSet<String> = merged.iter().map(Value::to_string).collect();
            for item in patch {
                if present.insert(item.to_string()) {
                    merged.push(item.clone());
                }
            }
            Ok(merged)
        }
        Some(PatchMerge { key: Some(key), .. }) => merge_keyed(slot, live, patch, key, field),
    }
}

fn merge_keyed(
    slot: Slot<'_>,
    live: Vec<Value>,
    patch: &[Value],
    key: &str,
    field: &str,
) -> Result<Vec<Value>, Status> {
    // By identity, so that long lists merge in one pass. Deleted items leave a gap.
    let mut places: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    for (at, item) in live.iter().enumerate() {
        let identity = item.get(key).map(Value::to_string).unwrap_or_default();
        places.entry(identity).or_default().push(at);
    }
    let mut merged: Vec<Option<Value>> = live.into_iter().map(Some).collect();
    for item in patch {
        let fields = item.as_object().ok_or_else(|| bad(field, "a list of objects"))?;
        let identity = fields.get(key).ok_or_else(|| missing_key(field, key))?.to_string();
        let at = places.get(&identity).and_then(|found| found.first()).copied();
        if directive(fields)? == Some(Directive::Delete) {
            for at in places.remove(&identity).unwrap_or_default() {
                if let Some(place) = merged.get_mut(at) {
                    *place = None;
                }
            }
            continue;
        }
        let present = at.and_then(|at| merged.get(at)?.as_ref()?.as_object()).cloned();
        let result = merge_fields(slot.item(), &present.unwrap_or_default(), fields)?;
        match at.and_then(|at| merged.get_mut(at)) {
            Some(place) => *place = result.map(Value::Object),
            None => {
                places.entry(identity).or_default().push(merged.len());
                merged.push(result.map(Value::Object));
            }
        }
    }
    Ok(merged.into_iter().flatten().collect())
}

fn delete_scalars(
    merged: &mut Map<String, Value>,
    field: &str,
    gone: &Value,
) -> Result<(), Status> {
    let gone = gone.as_array().ok_or_else(|| bad(DELETE_FROM, "a list"))?;
    let gone: BTreeSet<String> = gone.iter().map(Value::to_string).collect();
    if let Some(present) = merged.get_mut(field).and_then(Value::as_array_mut) {
        present.retain(|item| !gone.contains(&item.to_string()));
    }
    Ok(())
}

/// Sorts the list by `order`; items that it does not name keep their place behind their neighbour.
fn reorder(
    slot: Slot<'_>,
    merged: &mut Map<String, Value>,
    field: &str,
    order: &Value,
) -> Result<(), Status> {
    let order = order.as_array().ok_or_else(|| bad(ORDER, "a list"))?;
    let key = slot.child(field).and_then(|inner| inner.merge).and_then(|merge| merge.key);
    let Some(items) = merged.get_mut(field).and_then(Value::as_array_mut) else { return Ok(()) };
    let identity = |item: &Value| match key {
        Some(key) => item.get(key).map(Value::to_string),
        None => Some(item.to_string()),
    };
    let mut ranks: BTreeMap<String, usize> = BTreeMap::new();
    for (rank, wanted) in order.iter().enumerate() {
        if let Some(identity) = identity(wanted) {
            ranks.entry(identity).or_insert(rank);
        }
    }
    let rank = |item: &Value| identity(item).and_then(|identity| ranks.get(&identity)).copied();
    let mut previous = 0;
    let mut ranked: Vec<(usize, bool, Value)> = Vec::with_capacity(items.len());
    for item in items.drain(..) {
        let named = rank(&item);
        previous = named.unwrap_or(previous);
        ranked.push((previous, named.is_none(), item));
    }
    ranked.sort_by_key(|(rank, unnamed, _)| (*rank, *unnamed));
    items.extend(ranked.into_iter().map(|(_, _, item)| item));
    Ok(())
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Directive {
    Replace,
    Delete,
    Merge,
}

fn directive(patch: &Map<String, Value>) -> Result<Option<Directive>, Status> {
    let Some(value) = patch.get(DIRECTIVE) else { return Ok(None) };
    match value.as_str() {
        Some("replace") => Ok(Some(Directive::Replace)),
        Some("delete") => Ok(Some(Directive::Delete)),
        Some("merge") => Ok(Some(Directive::Merge)),
        _ => Err(bad(DIRECTIVE, "replace, delete or merge")),
    }
}

/// A patch that becomes part of the object: its directives have nothing to direct.
fn without_directives(value: Value) -> Value {
    match value {
        Value::Object(fields) => {
            let kept =
                fields.into_iter().filter(|(key, item)| !key.starts_with('$') && !item.is_null());
            Value::Object(kept.map(|(key, item)| (key, without_directives(item))).collect())
        }
        Value::Array(items) => Value::Array(items.into_iter().map(without_directives).collect()),
        scalar => scalar,
    }
}

fn bad(directive: &str, expected: &str) -> Status {
    Status::bad_request(format!("the patch has a wrong `{directive}`: expected {expected}"))
}

fn missing_key(field: &str, key: &str) -> Status {
    let message = format!("the patch has an item of `{field}` without its merge key `{key}`");
    Status::bad_request(message)
}
