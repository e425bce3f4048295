//! Admitting a body: is it the kind, the name and the namespace that the path speaks of, and does it
//! hold only what the schema knows?

use serde_json::Value;

use super::{FieldValidation, Request, Subresource};
use crate::meta;
use crate::status::Status;

/// The pruned object and what to warn about.
pub(super) fn admit(
    request: &Request<'_>,
    mut object: Value,
) -> Result<(Value, Vec<String>), Status> {
    if !object.is_object() {
        return Err(Status::bad_request("the body is not an object: expected `{...}`"));
    }
    kind(request, &mut object)?;
    let unknown = request.prune(&mut object);
    let mut warnings: Vec<String> =
        unknown.iter().map(|path| format!("unknown field \"{path}\"")).collect();
    match request.field_validation {
        FieldValidation::Strict if !warnings.is_empty() => {
            let resource = request.resource;
            return Err(Status::bad_request(format!(
                "{} in version \"{}\" cannot be handled as a {}: strict decoding error: {}",
                resource.kind,
                resource.version,
                resource.kind,
                warnings.join(", ")
            )));
        }
        FieldValidation::Ignore => warnings.clear(),
        _ => {}
    }
    place(request, &mut object)?;
    Ok((object, warnings))
}

/// `apiVersion` and `kind` of the body, which may be left out, must be those of the path.
fn kind(request: &Request<'_>, object: &mut Value) -> Result<(), Status> {
    let resource = request.resource;
    let expected = [("apiVersion", resource.api_version()), ("kind", resource.kind.to_owned())];
    for (field, expected) in expected {
        let found = object.get(field).and_then(Value::as_str).unwrap_or_default().to_owned();
        if !found.is_empty() && found != expected {
            let what = if field == "kind" { "kind" } else { "API version" };
            return Err(Status::bad_request(format!(
                "the {what} in the data ({found}) does not match the expected {what} ({expected})"
            )));
        }
        super::put(object, field, Some(Value::from(expected)));
    }
    Ok(())
}

/// `metadata.name` and `namespace` are filled in from the path, and must not differ from it.
fn place(request: &Request<'_>, object: &mut Value) -> Result<(), Status> {
    if object.get("metadata").is_some_and(|metadata| !metadata.is_object()) {
        return Ok(());
    }
    let places = [("namespace", request.namespace), ("name", request.name)];
    for (field, expected) in places {
        let found = meta::text(object, field).to_owned();
        if expected.is_empty() || found == expected {
            continue;
        }
        if found.is_empty() {
            meta::set(object, field, Some(Value::from(expected)));
            continue;
        }
        return Err(Status::bad_request(match field {
            "namespace" => {
                "the namespace of the provided object does not match the namespace sent \
                            on the request"
                    .to_owned()
            }
            _ => format!(
                "the name of the object ({found}) does not match the name on the URL ({expected})"
            ),
        }));
    }
    Ok(())
}

/// Makes a name from `generateName`, with five letters from the fresh uid.
pub(super) fn generate_name(request: &Request<'_>, object: &mut Value) {
    const SUFFIX: usize = 5;
    const PREFIX_MAX: usize = 248;
    let prefix = meta::text(object, "generateName").to_owned();
    if !meta::name(object).is_empty() || prefix.is_empty() {
        return;
    }
    let letters: String = request.uid.chars().filter(char::is_ascii_alphanumeric).collect();
    let skip = letters.len().saturating_sub(SUFFIX);
    let suffix: String = letters.chars().skip(skip).collect();
    let head: String = prefix.chars().take(PREFIX_MAX).collect();
    meta::set(object, "name", Some(Value::from(format!("{head}{}", suffix.to_lowercase()))));
}

/// `live` with the books that the client sent, if it sent any: clients may rewrite ownership (as
/// kubectl does when it moves from client-side to server-side apply), and `[{}]` clears it.
pub(super) fn books_to_start_from(live: &Value, given: Option<Value>) -> Value {
    let mut base = live.clone();
    let Some(Value::Array(entries)) = given else { return base };
    let blank = |entry: &Value| entry.as_object().is_some_and(serde_json::Map::is_empty);
    match entries.as_slice() {
        [] => {}
        [only] if blank(only) => meta::set(&mut base, "managedFields", None),
        _ => meta::set(&mut base, "managedFields", Some(Value::Array(entries))),
    }
    base
}

impl Request<'_> {
    /// Whether this write goes to a subresource.
    pub fn is_status(&self) -> bool {
        self.subresource == Subresource::Status
    }
}
