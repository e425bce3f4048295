//! Short ways to read fields of an object whose structure holds.

use serde_json::Value;

/// A text field; empty when absent.
pub(super) fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value.get(key).and_then(Value::as_str).unwrap_or_default()
}

/// The items of a list field; none when absent.
pub(super) fn items<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    value.get(key).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

/// The entries of a map field; none when absent.
pub(super) fn entries<'a>(
    value: &'a Value,
    key: &str,
) -> impl Iterator<Item = (&'a String, &'a Value)> {
    value.get(key).and_then(Value::as_object).into_iter().flatten()
}

/// Items with their paths: `spec.ports[0]`.
pub(super) fn indexed<'a>(
    value: &'a Value,
    key: &str,
    path: &str,
) -> impl Iterator<Item = (String, &'a Value)> {
    let list = crate::field::child(path, key);
    let items = items(value, key).iter().enumerate();
    items.map(move |(index, item)| (crate::field::item(&list, index), item))
}
