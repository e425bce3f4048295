//! When a policy ends to apply.

use serde_json::Value;

use crate::field::FieldError;

const ANNOTATION: &str = "bulkhead.dev/expires";

/// `spec.expires` or the annotation; not two different moments.
pub(super) fn check(object: &Value, errors: &mut Vec<FieldError>) {
    let annotation =
        object.pointer("/metadata/annotations").and_then(|annotations| annotations.get(ANNOTATION));
    let places = [
        ("spec.expires".to_owned(), object.pointer("/spec/expires")),
        (format!("metadata.annotations[{ANNOTATION}]"), annotation),
    ];
    let mut moments = Vec::new();
    for (path, value) in places {
        let Some(value) = value else { continue };
        match value.as_str().map(str::parse::<jiff::Timestamp>) {
            Some(Ok(moment)) => moments.push(moment),
            _ => {
                let rule = "must be a moment as in RFC 3339, such as 2026-12-31T18:00:00Z";
                errors.push(FieldError::invalid(path, value, rule));
            }
        }
    }
    if let [first, second] = moments.as_slice()
        && first != second
    {
        let rule = format!("differs from the annotation `{ANNOTATION}`: give one of the two");
        let given = object.pointer("/spec/expires").cloned().unwrap_or_default();
        errors.push(FieldError::invalid("spec.expires", &given, rule));
    }
}
