//! Port numbers, names and protocols.

use serde_json::Value;

use super::names;
use crate::field::FieldError;

pub(super) const PORT_RULE: &str = "must be between 1 and 65535, inclusive";

/// A number from 1 to 65535.
pub(super) fn number(value: &Value, path: &str, errors: &mut Vec<FieldError>) -> bool {
    let holds = value.as_i64().is_some_and(|port| (1..=65_535).contains(&port));
    if !holds {
        errors.push(FieldError::invalid(path, value, PORT_RULE));
    }
    holds
}

/// A number or the name of a port.
pub(super) fn number_or_name(value: &Value, path: &str, errors: &mut Vec<FieldError>) {
    match value.as_str() {
        None => {
            number(value, path, errors);
        }
        Some(name) => {
            let rules = names::port_name(name).into_iter();
            errors.extend(rules.map(|why| FieldError::invalid(path, value, why)));
        }
    }
}

/// TCP, UDP or SCTP, where present.
pub(super) fn transport(value: Option<&Value>, path: &str, errors: &mut Vec<FieldError>) {
    const ALLOWED: &[&str] = &["SCTP", "TCP", "UDP"];
    let Some(value) = value else { return };
    if !value.as_str().is_some_and(|word| ALLOWED.contains(&word)) {
        errors.push(FieldError::not_supported(path, value, ALLOWED));
    }
}
