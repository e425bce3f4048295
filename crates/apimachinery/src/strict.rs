//! Making a document fit its schema: unknown fields are reported and dropped, nulls are dropped.
//!
//! INVARIANT(known): after [`prune`], every field of the document is known to the schema.

use serde_json::Value;

use crate::field;
use crate::schema::{Shape, Slot};

#[cfg(test)]
mod tests;

/// Drops unknown fields and nulls; returns the path of each unknown field.
pub fn prune(slot: Slot<'_>, value: &mut Value) -> Vec<String> {
    let mut unknown = Vec::new();
    descend(slot, value, "", &mut unknown);
    unknown
}

fn descend(slot: Slot<'_>, value: &mut Value, path: &str, unknown: &mut Vec<String>) {
    match (&slot.node.shape, value) {
        (Shape::Struct(_) | Shape::Map(_), Value::Object(fields)) => {
            fields.retain(|key, item| {
                let here = field::child(path, key);
                match slot.child(key) {
                    None => unknown.push(here),
                    Some(_) if item.is_null() => {}
                    Some(inner) => {
                        descend(inner, item, &here, unknown);
                        return true;
                    }
                }
                false
            });
        }
        (Shape::List(_), Value::Array(items)) => {
            for (index, item) in items.iter_mut().enumerate() {
                descend(slot.item(), item, &field::item(path, index), unknown);
            }
        }
        _ => {}
    }
}
