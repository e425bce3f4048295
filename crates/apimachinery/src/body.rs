//! Reading a request body: JSON or YAML bytes to one value, with the place of what cannot be read.

use serde_json::Value;

use crate::status::Status;

#[cfg(test)]
mod tests;

/// Deepest nesting that is read; no kind comes near.
pub const DEPTH_MAX: usize = 100;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    Json,
    Yaml,
}

/// Reads one document. Duplicate keys: the last one counts in JSON, an error in YAML.
pub fn parse(bytes: &[u8], format: Format) -> Result<Value, Status> {
    let value: Value = match format {
        Format::Json => serde_json::from_slice(bytes)
            .map_err(|error| Status::bad_request(format!("the body is not JSON: {error}")))?,
        Format::Yaml => serde_saphyr::from_slice(bytes)
            .map_err(|error| Status::bad_request(format!("the body is not YAML: {error}")))?,
    };
    if depth_exceeds(&value, DEPTH_MAX) {
        let message = format!("the body is nested deeper than {DEPTH_MAX} levels");
        return Err(Status::bad_request(message));
    }
    Ok(value)
}

/// Like [`parse`], for an object: the body must be a mapping.
pub fn parse_object(bytes: &[u8], format: Format) -> Result<Value, Status> {
    let value = parse(bytes, format)?;
    if !value.is_object() {
        return Err(Status::bad_request("the body is not an object: expected `{...}`"));
    }
    Ok(value)
}

/// Whether `value` nests deeper than `levels`.
pub(crate) fn depth_exceeds(value: &Value, levels: usize) -> bool {
    if levels == 0 {
        return true;
    }
    match value {
        Value::Array(items) => items.iter().any(|item| depth_exceeds(item, levels - 1)),
        Value::Object(fields) => fields.values().any(|item| depth_exceeds(item, levels - 1)),
        _ => false,
    }
}
