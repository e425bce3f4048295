//! Answers: values and failures as responses.

use axum::body::Body;
use axum::http::header::{CONTENT_TYPE, RETRY_AFTER};
use axum::http::{HeaderValue, StatusCode};
use axum::response::Response;
use bulkhead_apimachinery::status::Status;
use bulkhead_store::Expired;
use serde::Serialize;

use super::accept::Encoding;

pub type Answer = Result<Response, Status>;

pub const JSON: HeaderValue = HeaderValue::from_static("application/json");
const YAML: HeaderValue = HeaderValue::from_static("application/yaml");

pub fn value(code: StatusCode, encoding: Encoding, value: &impl Serialize) -> Response {
    match encoding {
        Encoding::Json => match serde_json::to_vec(value) {
            Ok(text) => bytes(code, JSON, text),
            Err(error) => failure(&Status::internal(error)),
        },
        Encoding::Yaml => match serde_saphyr::to_string(value) {
            Ok(text) => bytes(code, YAML, text.into_bytes()),
            Err(error) => failure(&Status::internal(error)),
        },
    }
}

pub fn bytes(code: StatusCode, media_type: HeaderValue, body: impl Into<Body>) -> Response {
    let mut response = Response::new(body.into());
    *response.status_mut() = code;
    response.headers_mut().insert(CONTENT_TYPE, media_type);
    response
}

pub fn text(code: StatusCode, body: impl Into<Body>) -> Response {
    bytes(code, HeaderValue::from_static("text/plain; charset=utf-8"), body)
}

/// Failures are always JSON: a client that wanted a table can still read why it has none.
pub fn failure(status: &Status) -> Response {
    let code = StatusCode::from_u16(status.code()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = bytes(code, JSON, status.to_value().to_string());
    if let Some(seconds) = status.retry_after_s {
        response.headers_mut().insert(RETRY_AFTER, seconds.into());
    }
    response
}

/// The history that a list or watch wanted is gone.
pub fn expired(error: Expired) -> Status {
    Status::expired(error.to_string())
}
