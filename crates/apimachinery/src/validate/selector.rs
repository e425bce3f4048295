//! The two selector languages: `LabelSelector` of Kubernetes, and the text form of our own kinds.

use bulkhead_types::selector::Selector;
use serde_json::Value;

use super::{names, read};
use crate::field::{self, FieldError};

/// Longest text selector.
pub(super) const SELECTOR_BYTES_MAX: usize = 1024;

const OPERATORS: &[&str] = &["DoesNotExist", "Exists", "In", "NotIn"];

/// `matchLabels` and `matchExpressions`.
pub(super) fn labels(selector: Option<&Value>, path: &str, errors: &mut Vec<FieldError>) {
    let Some(selector) = selector else { return };
    let match_labels = field::child(path, "matchLabels");
    for (key, value) in read::entries(selector, "matchLabels") {
        for why in names::label_key(key) {
            errors.push(FieldError::invalid(&match_labels, &key.as_str().into(), why));
        }
        for why in names::label_value(value.as_str().unwrap_or_default()) {
            errors.push(FieldError::invalid(&match_labels, value, why));
        }
    }
    for (path, expression) in read::indexed(selector, "matchExpressions", path) {
        label_expression(expression, &path, errors);
    }
}

fn label_expression(expression: &Value, path: &str, errors: &mut Vec<FieldError>) {
    let operator = read::text(expression, "operator");
    let values = read::items(expression, "values");
    let values_path = field::child(path, "values");
    match operator {
        "In" | "NotIn" if values.is_empty() => {
            let rule = "must be specified when `operator` is 'In' or 'NotIn'";
            errors.push(FieldError::required(&values_path, rule));
        }
        "Exists" | "DoesNotExist" if !values.is_empty() => {
            let rule = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'";
            errors.push(FieldError::forbidden(&values_path, rule));
        }
        "In" | "NotIn" | "Exists" | "DoesNotExist" => {}
        _ => {
            let given = expression.get("operator").cloned().unwrap_or_default();
            let path = field::child(path, "operator");
            errors.push(FieldError::not_supported(path, &given, OPERATORS));
        }
    }
    let key = read::text(expression, "key");
    for why in names::label_key(key) {
        errors.push(FieldError::invalid(field::child(path, "key"), &key.into(), why));
    }
    for (index, value) in values.iter().enumerate() {
        for why in names::label_value(value.as_str().unwrap_or_default()) {
            errors.push(FieldError::invalid(field::item(&values_path, index), value, why));
        }
    }
}

/// Where `global()` may stand.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Global {
    Forbidden,
    /// As the whole selector, and nowhere else.
    Alone,
}

/// A text selector, where present.
pub(super) fn text(
    value: Option<&Value>,
    path: &str,
    global: Global,
    errors: &mut Vec<FieldError>,
) {
    let Some(value) = value else { return };
    let text = value.as_str().unwrap_or_default();
    if text.len() > SELECTOR_BYTES_MAX {
        errors.push(FieldError::too_long(path, SELECTOR_BYTES_MAX));
        return;
    }
    let parsed = match Selector::parse(text) {
        Ok(parsed) => parsed,
        Err(why) => {
            errors.push(FieldError::invalid(path, value, format!("is not a selector: {why}")));
            return;
        }
    };
    if !parsed.expr().mentions_global() {
        return;
    }
    if global == Global::Forbidden {
        let rule = "global() can only be used in a rule's namespaceSelector";
        errors.push(FieldError::invalid(path, value, rule));
    } else if parsed.canonical() != "global()" {
        let rule = "global() cannot be combined with other selectors";
        errors.push(FieldError::invalid(path, value, rule));
    }
}
