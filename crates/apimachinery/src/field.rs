//! What is wrong with one field of an object: where, what stood there, and which rule it breaks.
//!
//! Texts follow the Kubernetes API, so that people and programs that know it read them at once.

use std::fmt;

use serde_json::Value;

#[cfg(test)]
mod tests;

/// Longest excerpt of a bad value that is repeated in an error.
const VALUE_CHARS_MAX: usize = 120;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    Invalid,
    TypeInvalid,
    Required,
    NotSupported,
    Duplicate,
    Forbidden,
    TooLong,
    TooMany,
    NotFound,
}

#[derive(Clone, Debug, PartialEq)]
pub struct FieldError {
    pub fault: Fault,
    /// Such as `spec.ingress[0].ports[1].port`.
    pub path: String,
    /// What stood there, where that helps.
    pub value: Option<Value>,
    pub detail: String,
}

impl FieldError {
    pub fn new(fault: Fault, path: impl Into<String>, value: &Value, detail: &str) -> Self {
        let value = Some(value.clone());
        FieldError { fault, path: path.into(), value, detail: detail.to_owned() }
    }

    pub fn invalid(path: impl Into<String>, value: &Value, detail: impl Into<String>) -> Self {
        FieldError::new(Fault::Invalid, path, value, &detail.into())
    }

    /// The value has another type than `expected` (JSON Schema's words).
    pub fn wrong_type(path: impl Into<String>, value: &Value, expected: &str) -> Self {
        let path = path.into();
        let found = json_type(value);
        let detail = format!("{path} in body must be of type {expected}: \"{found}\"");
        let shown = Value::String(found.to_owned());
        FieldError { fault: Fault::TypeInvalid, path, value: Some(shown), detail }
    }

    pub fn required(path: impl Into<String>, detail: &str) -> Self {
        let (path, detail) = (path.into(), detail.to_owned());
        FieldError { fault: Fault::Required, path, value: None, detail }
    }

    pub fn not_supported(path: impl Into<String>, value: &Value, allowed: &[&str]) -> Self {
        let words: Vec<String> = allowed.iter().map(|word| format!("\"{word}\"")).collect();
        let detail = format!("supported values: {}", words.join(", "));
        FieldError::new(Fault::NotSupported, path, value, &detail)
    }

    pub fn duplicate(path: impl Into<String>, value: &Value) -> Self {
        FieldError::new(Fault::Duplicate, path, value, "")
    }

    pub fn forbidden(path: impl Into<String>, detail: impl Into<String>) -> Self {
        let (path, detail) = (path.into(), detail.into());
        FieldError { fault: Fault::Forbidden, path, value: None, detail }
    }

    pub fn too_long(path: impl Into<String>, bytes_max: usize) -> Self {
        let detail = format!("may not be more than {bytes_max} bytes");
        FieldError { fault: Fault::TooLong, path: path.into(), value: None, detail }
    }

    pub fn too_many(path: impl Into<String>, count: usize, count_max: usize) -> Self {
        let detail = format!("must have at most {count_max} items");
        FieldError::new(Fault::TooMany, path, &Value::from(count), &detail)
    }

    pub fn not_found(path: impl Into<String>, value: &Value) -> Self {
        FieldError::new(Fault::NotFound, path, value, "")
    }

    /// The error without its path, as in the causes of a Status.
    pub fn body(&self) -> String {
        let mut text = self.fault.title().to_owned();
        if let Some(value) = &self.value {
            text.push_str(": ");
            text.push_str(&shown(value));
        }
        if !self.detail.is_empty() {
            text.push_str(": ");
            text.push_str(&self.detail);
        }
        text
    }
}

impl fmt::Display for FieldError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path, self.body())
    }
}

impl Fault {
    /// Machine word, as in `causes[].reason`.
    pub fn reason(self) -> &'static str {
        match self {
            Fault::Invalid => "FieldValueInvalid",
            Fault::TypeInvalid => "FieldValueTypeInvalid",
            Fault::Required => "FieldValueRequired",
            Fault::NotSupported => "FieldValueNotSupported",
            Fault::Duplicate => "FieldValueDuplicate",
            Fault::Forbidden => "FieldValueForbidden",
            Fault::TooLong => "FieldValueTooLong",
            Fault::TooMany => "FieldValueTooMany",
            Fault::NotFound => "FieldValueNotFound",
        }
    }

    fn title(self) -> &'static str {
        match self {
            Fault::Invalid | Fault::TypeInvalid => "Invalid value",
            Fault::Required => "Required value",
            Fault::NotSupported => "Unsupported value",
            Fault::Duplicate => "Duplicate value",
            Fault::Forbidden => "Forbidden",
            Fault::TooLong => "Too long",
            Fault::TooMany => "Too many",
            Fault::NotFound => "Not found",
        }
    }
}

/// Path of `key` under `path`; the path of a root is empty.
pub fn child(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}

pub fn item(path: &str, index: usize) -> String {
    format!("{path}[{index}]")
}

/// Path of a map entry whose key may hold dots: `metadata.labels[a.b/c]`.
pub fn entry(path: &str, key: &str) -> String {
    format!("{path}[{key}]")
}

fn shown(value: &Value) -> String {
    let text = value.to_string();
    let count = text.chars().count();
    if count <= VALUE_CHARS_MAX {
        return text;
    }
    let head: String = text.chars().take(VALUE_CHARS_MAX / 2).collect();
    format!("{head}... ({count} characters)")
}

fn json_type(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(n) if n.is_f64() => "number",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}
