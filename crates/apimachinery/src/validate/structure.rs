//! Structure by the schema: types, required fields, enums, number ranges, items that are told apart.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::field::{self, FieldError};
use crate::schema::{ListType, Shape, Slot, Struct};

/// Most errors that are collected; a document with more is hopeless anyway.
const ERRORS_MAX: usize = 100;

pub(super) fn check(slot: Slot<'_>, value: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    descend(slot, value, "", &mut errors);
    errors
}

fn descend(slot: Slot<'_>, value: &Value, path: &str, errors: &mut Vec<FieldError>) {
    if errors.len() >= ERRORS_MAX {
        return;
    }
    match (&slot.node.shape, value) {
        (Shape::Any, _) | (Shape::Boolean, Value::Bool(_)) | (Shape::Number, Value::Number(_)) => {}
        (Shape::Struct(shape), Value::Object(_)) => structure(slot, shape, value, path, errors),
        (Shape::Map(inner), Value::Object(entries)) => {
            for (key, item) in entries {
                descend(inner.slot(), item, &field::child(path, key), errors);
            }
        }
        (Shape::List(inner), Value::Array(items)) => {
            for (index, item) in items.iter().enumerate() {
                descend(inner.slot(), item, &field::item(path, index), errors);
            }
            distinct(slot, items, path, errors);
        }
        (Shape::String { format, allowed }, Value::String(text)) => {
            string(format.as_deref(), allowed, text, value, path, errors);
        }
        (Shape::Integer { min, max, format }, Value::Number(number)) if is_whole(number) => {
            integer(*min, *max, format.as_deref(), value, path, errors);
        }
        (Shape::IntOrString | Shape::Quantity, Value::String(_)) => {}
        (Shape::Quantity, Value::Number(_)) => {}
        (Shape::IntOrString, Value::Number(number)) if is_whole(number) => {
            integer(None, None, Some("int32"), value, path, errors);
        }
        (shape, _) => errors.push(FieldError::wrong_type(path, value, type_word(shape))),
    }
}

fn structure(
    slot: Slot<'_>,
    shape: &Struct,
    value: &Value,
    path: &str,
    errors: &mut Vec<FieldError>,
) {
    for required in &shape.required {
        if value.get(required).is_none_or(Value::is_null) {
            errors.push(FieldError::required(field::child(path, required), ""));
        }
    }
    for (key, item) in value.as_object().into_iter().flatten() {
        if let (Some(inner), false) = (slot.child(key), item.is_null()) {
            descend(inner, item, &field::child(path, key), errors);
        }
    }
}

fn string(
    format: Option<&str>,
    allowed: &[String],
    text: &str,
    value: &Value,
    path: &str,
    errors: &mut Vec<FieldError>,
) {
    if !allowed.is_empty() && !allowed.iter().any(|word| word == text) {
        let words: Vec<&str> = allowed.iter().map(String::as_str).collect();
        errors.push(FieldError::not_supported(path, value, &words));
    }
    if format == Some("date-time") && text.parse::<jiff::Timestamp>().is_err() {
        let detail = format!("{path} in body must be of type date-time: {value}");
        errors.push(FieldError::invalid(path, value, detail));
    }
}

fn is_whole(number: &serde_json::Number) -> bool {
    number.is_i64() || number.is_u64()
}

fn integer(
    min: Option<i64>,
    max: Option<i64>,
    format: Option<&str>,
    value: &Value,
    path: &str,
    errors: &mut Vec<FieldError>,
) {
    let narrow = format == Some("int32");
    let min = min.or(narrow.then_some(i64::from(i32::MIN)));
    let max = max.or(narrow.then_some(i64::from(i32::MAX)));
    let number = value.as_i64().unwrap_or(i64::MAX);
    let broken = match (min, max) {
        (Some(min), _) if number < min => format!("greater than or equal to {min}"),
        (_, Some(max)) if number > max => format!("less than or equal to {max}"),
        _ => return,
    };
    let detail = format!("{path} in body should be {broken}");
    errors.push(FieldError::invalid(path, value, detail));
}

/// Two items of our own lists may not share their identity. Built-in lists tolerate it, as upstream
/// does (such lists are then owned as a whole); sets never do.
fn distinct(slot: Slot<'_>, items: &[Value], path: &str, errors: &mut Vec<FieldError>) {
    let mut seen = BTreeSet::new();
    for (index, item) in items.iter().enumerate() {
        let identity = match slot.list {
            ListType::Set => item.to_string(),
            ListType::Map(keys) if slot.merge.is_none() => {
                let parts: Vec<Option<&Value>> = keys.iter().map(|key| item.get(key)).collect();
                format!("{parts:?}")
            }
            _ => return,
        };
        if !seen.insert(identity) {
            errors.push(FieldError::duplicate(field::item(path, index), item));
        }
    }
}

fn type_word(shape: &Shape) -> &'static str {
    match shape {
        Shape::Struct(_) | Shape::Map(_) => "object",
        Shape::List(_) => "array",
        Shape::String { .. } => "string",
        Shape::Integer { .. } => "integer",
        Shape::Number => "number",
        Shape::Boolean => "boolean",
        Shape::IntOrString => "integer or string",
        Shape::Quantity => "quantity",
        Shape::Any => "anything",
    }
}
