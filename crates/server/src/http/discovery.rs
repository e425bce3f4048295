//! What is served, for clients that ask: discovery and OpenAPI documents.

use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::Response;
use bulkhead_apimachinery::discovery::{self, Aggregated};
use bulkhead_apimachinery::status::Status;
use serde_json::Value;

use super::accept::{Accepted, clauses};
use super::answer::{Answer, bytes, failure, value};
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
        (Place::Objects(_) | Place::Review(_), _) => None,
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

pub async fn openapi_v2(_headers: HeaderMap) -> Response {
    failure(&Status::no_such_path())
}

pub async fn openapi_v3_index() -> Response {
    failure(&Status::no_such_path())
}

pub async fn openapi_v3() -> Response {
    failure(&Status::no_such_path())
}
