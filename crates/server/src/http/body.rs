//! Request bodies: bounded in size and time.

use std::time::Duration;

use axum::body::Body;
use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use axum::http::{HeaderMap, Request};
use bulkhead_apimachinery::body::{Format, parse_object};
use bulkhead_apimachinery::protobuf;
use bulkhead_apimachinery::status::{Reason, Status};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde_json::Value;

/// Twice what an object may have, as upstream: patches and YAML are longer than what they mean.
pub const BODY_BYTES_MAX: usize = 3 * 1024 * 1024;
/// A client must have sent its body in this time.
const BODY_MAX: Duration = Duration::from_secs(30);

pub async fn read(request: Request<Body>) -> Result<(HeaderMap, Vec<u8>), Status> {
    let (parts, body) = request.into_parts();
    let declared = parts.headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok());
    let declared = declared.and_then(|value| value.parse::<usize>().ok());
    if declared.is_some_and(|n_bytes| n_bytes > BODY_BYTES_MAX) {
        return Err(Status::too_large(BODY_BYTES_MAX));
    }
    let collected = tokio::time::timeout(BODY_MAX, Limited::new(body, BODY_BYTES_MAX).collect());
    match collected.await {
        Ok(Ok(collected)) => Ok((parts.headers, collected.to_bytes().into())),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(Status::too_large(BODY_BYTES_MAX)),
        Ok(Err(error)) => Err(Status::bad_request(format!("the body cannot be read: {error}"))),
        Err(_) => {
            let message = format!("the body did not arrive within {} s", BODY_MAX.as_secs());
            Err(Status::new(Reason::Timeout, message))
        }
    }
}

/// The media type of the body, without parameters; empty when none is named.
pub fn media_type(headers: &HeaderMap) -> &str {
    let value = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    value.split(';').next().unwrap_or_default().trim()
}

/// Reads a whole object. No media type means JSON.
fn parse(headers: &HeaderMap, bytes: &[u8]) -> Result<Value, Status> {
    match media_type(headers) {
        "" | "application/json" | "*/*" => parse_object(bytes, Format::Json),
        "application/yaml" | "application/x-yaml" => parse_object(bytes, Format::Yaml),
        // What kubectl's typed commands send, such as `create namespace`.
        protobuf::MEDIA_TYPE => protobuf::parse_object(bytes),
        _ => Err(Status::unsupported_media_type(&["application/json", "application/yaml"])),
    }
}

/// Reads the body as one object.
pub async fn object(request: Request<Body>) -> Result<Value, Status> {
    let (headers, bytes) = read(request).await?;
    parse(&headers, &bytes)
}

/// The same where the body may be left out.
pub async fn optional_object(request: Request<Body>) -> Result<Option<Value>, Status> {
    let (headers, bytes) = read(request).await?;
    if bytes.is_empty() {
        return Ok(None);
    }
    parse(&headers, &bytes).map(Some)
}
