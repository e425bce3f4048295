//! One write from body to object: everything between the request and the store.
//!
//! Each function takes what is stored now and what was sent, and gives the object to store or the
//! answer that says why not. Nothing here knows HTTP or the store; the caller sets
//! `metadata.resourceVersion` when it commits, under the precondition that `live` is still current.
//!
//! INVARIANT(whole): what is returned has passed the same pruning, defaulting, validation and
//! book-keeping, whatever door it came through.

use jiff::Timestamp;
use serde_json::{Map, Value};

use crate::apply::{self, Author};
use crate::field::FieldError;
use crate::kinds::Resource;
use crate::patch::{self, PatchType};
use crate::status::{Reason, Status};
use crate::{defaulting, meta, strict, validate};

mod body;
#[cfg(test)]
mod tests;

/// What the query and the path say about a write.
#[derive(Clone, Debug)]
pub struct Request<'a> {
    pub resource: &'static Resource,
    /// Empty for kinds without namespaces.
    pub namespace: &'a str,
    /// Empty when the body names the object.
    pub name: &'a str,
    pub subresource: Subresource,
    /// `fieldManager` of the query, or the client's name.
    pub manager: &'a str,
    /// Apply takes over fields of other managers.
    pub force: bool,
    pub field_validation: FieldValidation,
    pub now: Timestamp,
    /// Fresh uid, used if an object is made.
    pub uid: &'a str,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Subresource {
    #[default]
    None,
    /// Writes `status` and nothing else.
    Status,
}

/// What becomes of unknown fields.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FieldValidation {
    Ignore,
    #[default]
    Warn,
    Strict,
}

impl FieldValidation {
    /// Reads the query parameter; empty is the default.
    pub fn parse(text: &str) -> Result<Self, Status> {
        match text {
            "" | "Warn" => Ok(FieldValidation::Warn),
            "Ignore" => Ok(FieldValidation::Ignore),
            "Strict" => Ok(FieldValidation::Strict),
            _ => Err(Status::bad_request(format!(
                "fieldValidation: Unsupported value: {text:?}: supported values: \"Ignore\", \
                 \"Strict\", \"Warn\""
            ))),
        }
    }
}

/// The outcome of a write.
#[derive(Clone, Debug, PartialEq)]
pub struct Written {
    pub object: Value,
    /// One `Warning` header each.
    pub warnings: Vec<String>,
    /// False: `object` is `live`, and nothing needs to be stored.
    pub changed: bool,
}

/// POST of a new object.
pub fn create(request: &Request<'_>, body: Value) -> Result<Written, Status> {
    let (mut object, mut warnings) = body::admit(request, body)?;
    if !meta::text(&object, "resourceVersion").is_empty() {
        let message = "resourceVersion should not be set on objects to be created";
        return Err(Status::bad_request(message));
    }
    body::generate_name(request, &mut object);
    if request.resource.has_status {
        remove(&mut object, "status");
    }
    object = begin(request, object)?;
    let object = apply::record_update(request.resource, &empty(), object, request.author());
    warnings.extend(validate::warnings(request.resource, &object));
    Ok(Written { object, warnings, changed: true })
}

/// PUT of a whole object over `live`.
pub fn replace(request: &Request<'_>, live: &Value, body: Value) -> Result<Written, Status> {
    let (object, warnings) = body::admit(request, body)?;
    succeed(request, live, object, warnings)
}

/// PATCH of `live` in one of the three patch formats.
pub fn patch(
    request: &Request<'_>,
    live: &Value,
    patch_type: PatchType,
    body: &Value,
) -> Result<Written, Status> {
    let altered = patch::patch(request.resource, live, patch_type, body)
        .map_err(|status| about_if_invalid(status, request))?;
    let (object, warnings) = body::admit(request, altered)?;
    succeed(request, live, object, warnings)
}

/// PATCH by server-side apply; makes the object when there is none.
pub fn apply(request: &Request<'_>, live: Option<&Value>, body: Value) -> Result<Written, Status> {
    if request.manager.is_empty() {
        let message = "PatchOptions.meta.k8s.io \"\" is invalid: fieldManager: Required value: is \
                       required for apply patch";
        return Err(Status::new(Reason::Invalid, message));
    }
    let (mut config, warnings) = body::admit(request, body)?;
    if config.pointer("/metadata/managedFields").is_some() {
        return Err(Status::bad_request("metadata.managedFields must be nil"));
    }
    let resource = request.resource;
    let errors = validate::structure(resource, &config);
    if !errors.is_empty() {
        return Err(request.invalid(&config, &errors));
    }
    match request.subresource {
        Subresource::Status => keep_only_status(&mut config),
        Subresource::None if resource.has_status => remove(&mut config, "status"),
        Subresource::None => {}
    }
    let Some(live) = live else {
        return begin_applied(request, config, warnings);
    };
    precondition(request, live, &config)?;
    let sent_revision = meta::text(&config, "resourceVersion").to_owned();
    if !sent_revision.is_empty() {
        meta::set(&mut config, "resourceVersion", None);
    }
    let object = apply::apply(resource, live, &config, request.author(), request.force)?;
    let object = complete(request, live, object)?;
    finish(request, live, object, warnings)
}

/// What a deletion does, under the preconditions of its body (`DeleteOptions`, or null).
pub fn delete(
    request: &Request<'_>,
    live: &Value,
    options: &Value,
) -> Result<meta::Deletion, Status> {
    for field in ["uid", "resourceVersion"] {
        let wanted =
            options.get("preconditions").and_then(|p| p.get(field)).and_then(Value::as_str);
        let found = meta::text(live, field);
        if let Some(wanted) = wanted.filter(|wanted| *wanted != found) {
            let label = if field == "uid" { "UID" } else { "ResourceVersion" };
            let why = format!(
                "Precondition failed: {label} in precondition: {wanted}, {label} in object meta: {found}"
            );
            return Err(Status::conflict_because(request.resource, meta::name(live), &why));
        }
    }
    Ok(meta::delete(live, request.now))
}

fn begin_applied(
    request: &Request<'_>,
    config: Value,
    mut warnings: Vec<String>,
) -> Result<Written, Status> {
    if request.subresource == Subresource::Status {
        return Err(Status::not_found(request.resource, request.name));
    }
    if !meta::text(&config, "resourceVersion").is_empty() || !meta::text(&config, "uid").is_empty()
    {
        return Err(Status::not_found(request.resource, request.name));
    }
    let resource = request.resource;
    let object = apply::apply(resource, &empty(), &config, request.author(), request.force)?;
    let (mut bare, _) = apply::managed::split(&object);
    bare = begin(request, bare)?;
    if let Some(books) = object.pointer("/metadata/managedFields") {
        meta::set(&mut bare, "managedFields", Some(books.clone()));
    }
    warnings.extend(validate::warnings(resource, &bare));
    Ok(Written { object: bare, warnings, changed: true })
}

/// A new object: checked, completed, stamped.
fn begin(request: &Request<'_>, mut object: Value) -> Result<Value, Status> {
    let resource = request.resource;
    let errors = validate::structure(resource, &object);
    if !errors.is_empty() {
        return Err(request.invalid(&object, &errors));
    }
    meta::set(&mut object, "managedFields", None);
    defaulting::complete(resource, &mut object);
    meta::stamp_new(resource, &mut object, request.uid, request.now);
    let errors = validate::meaning(resource, &object);
    if !errors.is_empty() {
        return Err(request.invalid(&object, &errors));
    }
    Ok(object)
}

/// `object` follows `live` by update or patch.
fn succeed(
    request: &Request<'_>,
    live: &Value,
    mut object: Value,
    warnings: Vec<String>,
) -> Result<Written, Status> {
    precondition(request, live, &object)?;
    let errors = validate::structure(request.resource, &object);
    if !errors.is_empty() {
        return Err(request.invalid(&object, &errors));
    }
    restrict(request, live, &mut object);
    let given = object.pointer("/metadata/managedFields").cloned();
    meta::set(&mut object, "managedFields", None);
    let object = complete(request, live, object)?;
    let base = body::books_to_start_from(live, given);
    let object = apply::record_update(request.resource, &base, object, request.author());
    finish(request, live, object, warnings)
}

/// Keeps what this door may not change: the status here, all but the status there.
fn restrict(request: &Request<'_>, live: &Value, object: &mut Value) {
    match request.subresource {
        Subresource::Status => {
            let status = object.get("status").cloned();
            let books = object.pointer("/metadata/managedFields").cloned();
            *object = live.clone();
            put(object, "status", status);
            meta::set(object, "managedFields", books);
        }
        Subresource::None if request.resource.has_status => {
            put(object, "status", live.get("status").cloned());
        }
        Subresource::None => {}
    }
}

/// Defaults, identity and rules for the successor of `live`.
fn complete(request: &Request<'_>, live: &Value, mut object: Value) -> Result<Value, Status> {
    let resource = request.resource;
    defaulting::complete(resource, &mut object);
    for field in ["name", "namespace"] {
        if meta::text(&object, field).is_empty() {
            let kept = live.get("metadata").and_then(|m| m.get(field)).cloned();
            meta::set(&mut object, field, kept);
        }
    }
    meta::carry_over(resource, live, &mut object);
    let errors = validate::update(resource, live, &object);
    if !errors.is_empty() {
        return Err(request.invalid(&object, &errors));
    }
    if let Some(error) = finalizers_added_too_late(live, &object) {
        return Err(request.invalid(&object, &[error]));
    }
    Ok(object)
}

fn finish(
    request: &Request<'_>,
    live: &Value,
    object: Value,
    mut warnings: Vec<String>,
) -> Result<Written, Status> {
    if request.subresource == Subresource::None {
        warnings.extend(validate::warnings(request.resource, &object));
    }
    if meta::is_same(live, &object) {
        return Ok(Written { object: live.clone(), warnings, changed: false });
    }
    Ok(Written { object, warnings, changed: true })
}

/// Somebody who sends a revision or uid means that one.
fn precondition(request: &Request<'_>, live: &Value, object: &Value) -> Result<(), Status> {
    let sent = |field| meta::text(object, field);
    let (revision, uid) = (sent("resourceVersion"), sent("uid"));
    let name = meta::name(live);
    if !uid.is_empty() && uid != meta::text(live, "uid") {
        let found = meta::text(live, "uid");
        let why =
            format!("Precondition failed: UID in precondition: {uid}, UID in object meta: {found}");
        return Err(Status::conflict_because(request.resource, name, &why));
    }
    if !revision.is_empty() && revision != meta::text(live, "resourceVersion") {
        return Err(Status::conflict(request.resource, name));
    }
    Ok(())
}

fn finalizers_added_too_late(live: &Value, object: &Value) -> Option<FieldError> {
    if !meta::is_deleting(live) {
        return None;
    }
    let list = |object: &Value| {
        object
            .pointer("/metadata/finalizers")
            .and_then(Value::as_array)
            .cloned()
            .unwrap_or_default()
    };
    let before = list(live);
    let added: Vec<Value> = list(object).into_iter().filter(|f| !before.contains(f)).collect();
    if added.is_empty() {
        return None;
    }
    let rule = format!(
        "no new finalizers can be added if the object is being deleted, found new finalizers {}",
        Value::Array(added)
    );
    Some(FieldError::forbidden("metadata.finalizers", rule))
}

fn about_if_invalid(status: Status, request: &Request<'_>) -> Status {
    if status.reason == Reason::Invalid {
        return status.about(request.resource, request.name);
    }
    status
}

fn keep_only_status(config: &mut Value) {
    let status = config.get("status").cloned();
    let name = meta::name(config).to_owned();
    let kept = |field: &str| config.get(field).cloned();
    let (api_version, kind) = (kept("apiVersion"), kept("kind"));
    let mut only = Map::new();
    only.extend(api_version.map(|v| ("apiVersion".to_owned(), v)));
    only.extend(kind.map(|v| ("kind".to_owned(), v)));
    only.insert("metadata".to_owned(), serde_json::json!({ "name": name }));
    only.extend(status.map(|v| ("status".to_owned(), v)));
    *config = Value::Object(only);
}

fn empty() -> Value {
    Value::Object(Map::new())
}

fn remove(object: &mut Value, field: &str) {
    put(object, field, None);
}

fn put(object: &mut Value, field: &str, value: Option<Value>) {
    let Some(fields) = object.as_object_mut() else { return };
    match value {
        Some(value) => {
            fields.insert(field.to_owned(), value);
        }
        None => {
            fields.shift_remove(field);
        }
    }
}

impl Request<'_> {
    fn author(&self) -> Author<'_> {
        let subresource = match self.subresource {
            Subresource::None => "",
            Subresource::Status => "status",
        };
        Author { manager: self.manager, subresource, now: self.now }
    }

    fn invalid(&self, object: &Value, errors: &[FieldError]) -> Status {
        let name = if self.name.is_empty() { meta::name(object) } else { self.name };
        Status::invalid(self.resource, name, errors)
    }

    fn prune(&self, object: &mut Value) -> Vec<String> {
        strict::prune(self.resource.schema().slot(), object)
    }
}
