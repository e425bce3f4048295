//! Request bodies: bounded in size and time.

use std::time::Duration;

use axum::body::Body;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, Request};
use bulkhead_apimachinery::body::{Format, parse_object};
use bulkhead_apimachinery::protobuf;
use bulkhead_apimachinery::status::{Reason, Status};
use http_body_util::BodyExt;
use serde_json::Value;

/// Twice what an object may have, as upstream: patches and YAML are longer than what they mean.
pub const BODY_BYTES_MAX: usize = 3 * 1024 * 1024;
/// A body that is too long is read on so far and thrown away: many clients look at the answer only
/// when they have sent everything.
const BODY_DISCARDED_MAX: usize = 64 * 1024 * 1024;
/// A client must have sent its body in this time.
const BODY_MAX: Duration = Duration::from_secs(30);

pub async fn read(request: Request<Body>) -> Result<(HeaderMap, Vec<u8>), Status> {
    let (parts, body) = request.into_parts();
    match tokio::time::timeout(BODY_MAX, collect(body)).await {
        Ok(bytes) => Ok((parts.headers, bytes?)),
        Err(_) => {
            let message = format!("the body did not arrive within {} s", BODY_MAX.as_secs());
            Err(Status::new(Reason::Timeout, message))
        }
    }
}

async fn collect(mut body: Body) -> Result<Vec<u8>, Status> {
    let (mut bytes, mut n_bytes) = (Vec::new(), 0_usize);
    while let Some(frame) = body.frame().await {
        let frame = frame
            .map_err(|error| Status::bad_request(format!("the body cannot be read: {error}")))?;
        let Ok(data) = frame.into_data() else { continue };
        n_bytes = n_bytes.saturating_add(data.len());
        match n_bytes {
            n if n <= BODY_BYTES_MAX => bytes.extend_from_slice(&data),
            n if n <= BODY_DISCARDED_MAX => bytes = Vec::new(),
            _ => break,
        }
    }
    if n_bytes > BODY_BYTES_MAX {
        return Err(Status::too_large(BODY_BYTES_MAX));
    }
    Ok(bytes)
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
