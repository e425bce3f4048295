//! Create, update, patch and delete: from requests to the front door and back.

use axum::body::Body;
use axum::http::header::{USER_AGENT, WARNING};
use axum::http::{HeaderMap, HeaderValue, Request, StatusCode};
use axum::response::Response;
use bulkhead_apimachinery::body::{Format, parse};
use bulkhead_apimachinery::meta;
use bulkhead_apimachinery::patch::PatchType;
use bulkhead_apimachinery::status::{self, Status};
use bulkhead_apimachinery::write::{FieldValidation, Subresource};
use bulkhead_store::{ListRequest, Stored};
use serde_json::Value;

use super::accept::Accepted;
use super::answer::{Answer, expired, value};
use super::options::Options;
use super::path::Target;
use super::selection::Selection;
use super::{body, path, read, show};
use crate::objects::{DeleteOptions, Deleted, Patch, Place, Propagation, WriteOptions, Written};
use crate::state::AppState;

/// Warnings that are sent with one answer; headers are not the place for more.
const WARNINGS_MAX: usize = 16;

pub async fn create(
    state: &AppState,
    target: &Target,
    options: &Options,
    accepted: Accepted,
    request: Request<Body>,
) -> Answer {
    let write = write_options(options, request.headers())?;
    let object = body::object(request).await?;
    let namespace = target.namespace.as_deref().unwrap_or_default();
    let written = state.objects.create(target.resource, namespace, object, &write).await?;
    Ok(answer(target, &written, options, accepted))
}

pub async fn update(
    state: &AppState,
    target: &Target,
    name: &str,
    options: &Options,
    accepted: Accepted,
    request: Request<Body>,
) -> Answer {
    let write = write_options(options, request.headers())?;
    let object = body::object(request).await?;
    let place = place(target, name);
    let written = state.objects.update(place, subresource(target), &object, &write).await?;
    Ok(answer(target, &written, options, accepted))
}

pub async fn patch(
    state: &AppState,
    target: &Target,
    name: &str,
    options: &Options,
    accepted: Accepted,
    request: Request<Body>,
) -> Answer {
    let write = write_options(options, request.headers())?;
    let unsupported = || Status::unsupported_media_type(PatchType::accepted(target.resource));
    let kind = PatchType::from_content_type(body::media_type(request.headers()))
        .ok_or_else(unsupported)?;
    if kind == PatchType::Apply && options.field_manager.is_none() {
        return Err(Status::bad_request("fieldManager is required for apply patch"));
    }
    let (_, bytes) = body::read(request).await?;
    let format = if kind == PatchType::Apply { Format::Yaml } else { Format::Json };
    let patch = Patch { kind, body: parse(&bytes, format)? };
    let place = place(target, name);
    let written = state.objects.patch(place, subresource(target), &patch, &write).await?;
    Ok(answer(target, &written, options, accepted))
}

pub async fn delete(
    state: &AppState,
    target: &Target,
    name: &str,
    options: &Options,
    accepted: Accepted,
    request: Request<Body>,
) -> Answer {
    let delete = delete_options(options, body::optional_object(request).await?)?;
    let deleted = state.objects.delete(place(target, name), &delete).await?;
    Ok(match deleted {
        Deleted::Gone(last) => {
            let uid = meta::text(&last.value, "uid");
            let done = status::deleted(target.resource, name, uid);
            value(StatusCode::OK, accepted.encoding, &done)
        }
        Deleted::Pending(marked) => read::shown(target, &marked, options, accepted, StatusCode::OK),
    })
}

/// Deletes what the selectors match, and answers with the list of it.
pub async fn delete_collection(
    state: &AppState,
    target: &Target,
    options: &Options,
    accepted: Accepted,
    request: Request<Body>,
) -> Answer {
    let delete = delete_options(options, body::optional_object(request).await?)?;
    let selection = Selection::parse(target.resource, options)?;
    let keep = |stored: &Stored| selection.matches(&stored.value);
    let request = ListRequest { keep: &keep, ..ListRequest::all(target.scope()) };
    let page = state.store.list(&request).map_err(expired)?;
    let keys = page.items.iter().map(|stored| stored.key.clone()).collect();
    state.objects.delete_all(keys, &delete).await?;
    let list = show::List {
        resource: target.resource,
        revision: state.store.revision(),
        continuation: None,
        n_remaining: None,
        items: &page.items,
    };
    let shown = list.show(accepted.form, show::Include::from_options(options));
    Ok(value(StatusCode::OK, accepted.encoding, &shown))
}

fn place<'a>(target: &'a Target, name: &'a str) -> Place<'a> {
    let namespace = target.namespace.as_deref().unwrap_or_default();
    Place { resource: target.resource, namespace, name }
}

fn subresource(target: &Target) -> Subresource {
    match target.subresource {
        Some(path::Subresource::Status) => Subresource::Status,
        Some(path::Subresource::Finalize) | None => Subresource::None,
    }
}

fn answer(target: &Target, written: &Written, options: &Options, accepted: Accepted) -> Response {
    let code = if written.is_new { StatusCode::CREATED } else { StatusCode::OK };
    let mut response = read::shown(target, &written.stored, options, accepted, code);
    for warning in written.warnings.iter().take(WARNINGS_MAX) {
        let quoted = warning.replace('\\', "\\\\").replace('"', "\\\"");
        if let Ok(header) = HeaderValue::from_str(&format!("299 - \"{quoted}\"")) {
            response.headers_mut().append(WARNING, header);
        }
    }
    response
}

fn write_options(options: &Options, headers: &HeaderMap) -> Result<WriteOptions, Status> {
    let field_validation =
        FieldValidation::parse(options.field_validation.as_deref().unwrap_or_default())?;
    let manager = match &options.field_manager {
        Some(manager) => manager.clone(),
        None => {
            let agent = headers.get(USER_AGENT).and_then(|agent| agent.to_str().ok());
            let agent = agent.and_then(|agent| agent.split('/').next()).unwrap_or_default();
            if agent.is_empty() { "unknown".to_owned() } else { agent.to_owned() }
        }
    };
    if manager.chars().count() > MANAGER_CHARS_MAX || manager.chars().any(char::is_control) {
        return Err(Status::bad_request(format!(
            "fieldManager: must have at most {MANAGER_CHARS_MAX} printable characters"
        )));
    }
    let force = options.force.unwrap_or(false);
    Ok(WriteOptions { dry_run: options.dry_run, manager, field_validation, force })
}

const MANAGER_CHARS_MAX: usize = 128;

/// The body counts; what it leaves out may stand in the query.
fn delete_options(options: &Options, body: Option<Value>) -> Result<DeleteOptions, Status> {
    let body = body.unwrap_or_default();
    let text = |pointer: &str| body.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
    let flag = |pointer: &str| body.pointer(pointer).and_then(Value::as_bool);
    let orphan = flag("/orphanDependents").or(options.orphan_dependents);
    let policy = text("/propagationPolicy").or_else(|| options.propagation_policy.clone());
    let propagation = match (policy.as_deref(), orphan) {
        (None, Some(true)) | (Some("Orphan"), _) => Propagation::Orphan,
        (None, _) | (Some("Background"), _) => Propagation::Background,
        (Some("Foreground"), _) => Propagation::Foreground,
        (Some(other), _) => {
            return Err(Status::bad_request(format!(
                "propagationPolicy: unsupported value `{other}`: supported: Background, \
                 Foreground, Orphan"
            )));
        }
    };
    let dry_run = match body.get("dryRun").and_then(Value::as_array).map(Vec::as_slice) {
        None | Some([]) => options.dry_run,
        Some(stages) if stages.iter().all(|stage| stage == "All") => true,
        Some(_) => return Err(Status::bad_request("dryRun: supported values: All")),
    };
    Ok(DeleteOptions {
        dry_run,
        propagation,
        uid: text("/preconditions/uid"),
        resource_version: text("/preconditions/resourceVersion"),
    })
}
