//! What is served, for clients that ask: discovery and OpenAPI documents.

use axum::extract::Path;
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::Response;
use bulkhead_apimachinery::discovery::{self, Aggregated};
use bulkhead_apimachinery::openapi;
use bulkhead_apimachinery::status::Status;
use serde_json::{Value, json};

use super::accept::{Accepted, Encoding, clauses};
use super::answer::{Answer, JSON, bytes, failure, value};
use super::path::Place;

/// Discovery documents; newer clients ask for all of them at once.
pub fn document(place: &Place, headers: &HeaderMap) -> Answer {
    let aggregated = aggregated_form(headers);
    let document = match (place, aggregated) {
        (Place::CoreVersions, Some(form)) => {
            return aggregated_answer(form, &discovery::aggregated_core(form));
        }
        (Place::Groups, Some(form)) => {
            return aggregated_answer(form, &discovery::aggregated_groups(form));
        }
        (Place::CoreVersions, None) => Some(discovery::core_versions("")),
        (Place::Groups, None) => Some(discovery::groups()),
        (Place::Group(name), _) => discovery::group(name),
        (Place::GroupVersion(group, version), _) => discovery::resources(group, version),
        (Place::CustomKinds, _) => Some(json!({
            "kind": "CustomResourceDefinitionList",
            "apiVersion": "apiextensions.k8s.io/v1",
            "metadata": {},
            "items": [],
        })),
        (Place::Objects(_) | Place::Review(..), _) => None,
    };
    let document = document.ok_or_else(Status::no_such_path)?;
    let accepted = Accepted::from_headers(headers)?;
    Ok(value(StatusCode::OK, accepted.encoding, &document))
}

fn aggregated_form(headers: &HeaderMap) -> Option<Aggregated> {
    clauses(headers).find_map(|clause| {
        let has = |part: &str| clause.split(';').any(|own| own.trim() == part);
        let is_list = has("application/json")
            && has("g=apidiscovery.k8s.io")
            && has("as=APIGroupDiscoveryList");
        match (is_list, has("v=v2"), has("v=v2beta1")) {
            (true, true, _) => Some(Aggregated::V2),
            (true, _, true) => Some(Aggregated::V2Beta1),
            _ => None,
        }
    })
}

fn aggregated_answer(form: Aggregated, document: &Value) -> Answer {
    let media_type = HeaderValue::from_str(&form.content_type()).map_err(Status::internal)?;
    Ok(bytes(StatusCode::OK, media_type, document.to_string()))
}

/// One document for everything. kubectl before 1.27 reads its protobuf form only.
pub async fn openapi_v2(headers: HeaderMap) -> Response {
    let wants_protobuf = clauses(&headers).any(|clause| clause.contains(PROTOBUF_MARK));
    if wants_protobuf && let Ok(media_type) = HeaderValue::from_str(openapi::V2_PROTOBUF_TYPE) {
        return bytes(StatusCode::OK, media_type, openapi::v2_protobuf());
    }
    bytes(StatusCode::OK, JSON, openapi::v2_json())
}

/// Part of the media type under which clients ask for OpenAPI v2 as protobuf.
const PROTOBUF_MARK: &str = "proto-openapi.spec.v2@v1.0+protobuf";

pub async fn openapi_v3_index() -> Response {
    value(StatusCode::OK, Encoding::Json, &openapi::v3_index())
}

pub async fn openapi_v3(Path(path): Path<String>) -> Response {
    match openapi::v3_document(&path) {
        Some(document) => bytes(StatusCode::OK, JSON, document),
        None => failure(&Status::no_such_path()),
    }
}
