//! Values as trees of owned places: what a value holds, how two values merge and differ.
//!
//! All of it follows the schema through [`parts`]: a value has parts unless it is owned as a whole
//! (scalars, atomic structs and lists).

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::field_set::{Entry, FieldSet, PathElement};
use crate::schema::{ListType, Shape, Slot};

/// One part of a value.
struct Part<'a> {
    slot: Slot<'a>,
    value: &'a Value,
    /// Owned for its presence alone: list items and map entries, not struct fields.
    item: bool,
}

type Parts<'a> = Vec<(PathElement, Part<'a>)>;

/// What changes from one value to another.
#[derive(Debug, Default)]
pub struct Change {
    pub added: FieldSet,
    pub modified: FieldSet,
    pub removed: FieldSet,
}

/// The parts of `value`, or `None` when it is owned as a whole.
fn parts<'a>(slot: Slot<'a>, value: &'a Value) -> Option<Parts<'a>> {
    match (&slot.node.shape, value) {
        (Shape::Struct(_) | Shape::Map(_), Value::Object(fields)) if !slot.atomic => {
            let item = matches!(slot.node.shape, Shape::Map(_));
            let part = |(key, value): (&'a String, &'a Value)| {
                let slot = slot.child(key).unwrap_or_else(Slot::any);
                (PathElement::field(key), Part { slot, value, item })
            };
            Some(fields.iter().map(part).collect())
        }
        (Shape::List(_), Value::Array(items)) if !slot.atomic => list_parts(slot, items),
        _ => None,
    }
}

/// Items by identity; `None` when some have none or two have the same, so that the list can only be
/// owned as a whole.
fn list_parts<'a>(slot: Slot<'a>, items: &'a [Value]) -> Option<Parts<'a>> {
    let mut found: Parts<'a> = Vec::with_capacity(items.len());
    let mut seen = std::collections::BTreeSet::new();
    for value in items {
        let element = identity(slot, value)?;
        if !seen.insert(element.clone()) {
            return None;
        }
        found.push((element, Part { slot: slot.item(), value, item: true }));
    }
    Some(found)
}

fn identity(slot: Slot<'_>, item: &Value) -> Option<PathElement> {
    match slot.list {
        ListType::Atomic => None,
        ListType::Set => Some(PathElement::Value(item.to_string())),
        ListType::Map(keys) => {
            let mut fields = BTreeMap::new();
            for key in keys {
                let given = item.get(key).cloned();
                let value = given.or_else(|| slot.key_default(key).map(Value::from))?;
                fields.insert(*key, value);
            }
            serde_json::to_string(&fields).ok().map(PathElement::Key)
        }
    }
}

/// Every path that `value` states.
pub fn field_set(slot: Slot<'_>, value: &Value) -> FieldSet {
    let mut set = FieldSet::default();
    for (element, part) in parts(slot, value).into_iter().flatten() {
        set.put(element, entry(&part));
    }
    set
}

fn entry(part: &Part<'_>) -> Entry {
    let below = field_set(part.slot, part.value);
    Entry { owned: part.item || below.is_empty(), below }
}

/// `set` with every struct field on the way to an owned path owned too.
pub fn with_structs(slot: Slot<'_>, set: &FieldSet) -> FieldSet {
    let mut full = FieldSet::default();
    let is_struct = matches!(slot.node.shape, Shape::Struct(_));
    for (element, entry) in set.entries() {
        let inner = match element {
            PathElement::Field(name) => slot.child(name).unwrap_or_else(Slot::any),
            _ => slot.item(),
        };
        let owned = entry.owned || is_struct;
        full.put(element.clone(), Entry { owned, below: with_structs(inner, &entry.below) });
    }
    full
}

/// `live` with everything that `config` states.
pub fn merge(slot: Slot<'_>, live: &Value, config: &Value) -> Value {
    let (Some(old), Some(new)) = (parts(slot, live), parts(slot, config)) else {
        return config.clone();
    };
    match (live, config) {
        (Value::Object(old), Value::Object(new)) => {
            let mut merged = old.clone();
            for (key, wanted) in new {
                let inner = slot.child(key).unwrap_or_else(Slot::any);
                let value = match old.get(key) {
                    Some(present) => merge(inner, present, wanted),
                    None => wanted.clone(),
                };
                merged.insert(key.clone(), value);
            }
            Value::Object(merged)
        }
        (Value::Array(_), Value::Array(_)) => Value::Array(merge_items(slot, &old, &new)),
        _ => config.clone(),
    }
}

/// Config's items in config's order, with live's other items kept near where they were.
fn merge_items(slot: Slot<'_>, old: &Parts<'_>, new: &Parts<'_>) -> Vec<Value> {
    let wanted: BTreeMap<&PathElement, ()> = new.iter().map(|(e, _)| (e, ())).collect();
    let position: BTreeMap<&PathElement, usize> =
        old.iter().enumerate().map(|(at, (e, _))| (e, at)).collect();
    let mut merged = Vec::new();
    let mut next = 0;
    let keep = |merged: &mut Vec<Value>, from: usize, to: usize| {
        let between = old.iter().take(to).skip(from);
        let others = between.filter(|(element, _)| !wanted.contains_key(element));
        merged.extend(others.map(|(_, part)| part.value.clone()));
    };
    for (element, part) in new {
        let present = position.get(element).copied();
        if let Some(at) = present {
            keep(&mut merged, next, at);
            next = next.max(at + 1);
        }
        let before = present.and_then(|at| old.get(at)).map(|(_, old)| old.value);
        merged.push(match before {
            Some(before) => merge(slot.item(), before, part.value),
            None => part.value.clone(),
        });
    }
    keep(&mut merged, next, old.len());
    merged
}

/// `value` without the paths of `gone`; an owned path takes everything below it along.
pub fn remove(slot: Slot<'_>, value: Value, gone: &FieldSet) -> Value {
    if gone.is_empty() {
        return value;
    }
    let Some(parts) = parts(slot, &value) else { return value };
    let survivors = parts.into_iter().filter_map(|(element, part)| {
        let Some(entry) = gone.get(&element) else { return Some((element, part.value.clone())) };
        if entry.owned {
            return None;
        }
        Some((element, remove(part.slot, part.value.clone(), &entry.below)))
    });
    match &value {
        Value::Object(_) => {
            let mut fields = Map::new();
            for (element, rest) in survivors {
                if let PathElement::Field(name) = element {
                    fields.insert(name, rest);
                }
            }
            Value::Object(fields)
        }
        _ => Value::Array(survivors.map(|(_, rest)| rest).collect()),
    }
}

/// What changes from `old` to `new`.
pub fn compare(slot: Slot<'_>, old: &Value, new: &Value) -> Change {
    let before: BTreeMap<_, _> = parts(slot, old).into_iter().flatten().collect();
    let after: BTreeMap<_, _> = parts(slot, new).into_iter().flatten().collect();
    let mut change = Change::default();
    for (element, part) in &after {
        let Some(was) = before.get(element) else {
            change.added.put(element.clone(), entry(part));
            continue;
        };
        if was.value == part.value {
            continue;
        }
        let granular =
            parts(part.slot, was.value).is_some() && parts(part.slot, part.value).is_some();
        if !granular {
            change.modified.put(element.clone(), Entry { owned: true, ..entry(part) });
            change.removed.put(element.clone(), Entry { owned: false, ..entry(was) });
            continue;
        }
        let below = compare(part.slot, was.value, part.value);
        change.added.put(element.clone(), Entry { owned: false, below: below.added });
        change.modified.put(element.clone(), Entry { owned: false, below: below.modified });
        change.removed.put(element.clone(), Entry { owned: false, below: below.removed });
    }
    for (element, part) in &before {
        if !after.contains_key(element) {
            change.removed.put(element.clone(), entry(part));
        }
    }
    change
}
