//! `authorization.k8s.io/v1`: "may I?", asked by `kubectl auth can-i` and by tools before they act.
//!
//! Whoever gets this far is an admin, and an admin may do everything.

use axum::body::Body;
use axum::http::{Method, Request, StatusCode};
use bulkhead_apimachinery::status::Status;
use serde_json::{Value, json};

use super::accept::Accepted;
use super::answer::{Answer, value};
use super::body;

pub async fn answer(review: &str, request: Request<Body>, accepted: Accepted) -> Answer {
    let (kind, status): (&str, Value) = match review {
        "selfsubjectaccessreviews" => ("SelfSubjectAccessReview", json!({"allowed": true})),
        "selfsubjectrulesreviews" => (
            "SelfSubjectRulesReview",
            json!({
                "resourceRules": [{"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}],
                "nonResourceRules": [{"verbs": ["*"], "nonResourceURLs": ["*"]}],
                "incomplete": false,
            }),
        ),
        _ => return Err(Status::no_such_path()),
    };
    if request.method() != Method::POST {
        return Err(Status::method_not_allowed());
    }
    let mut asked = body::object(request).await?;
    if let Some(asked) = asked.as_object_mut() {
        asked.insert("apiVersion".to_owned(), json!("authorization.k8s.io/v1"));
        asked.insert("kind".to_owned(), json!(kind));
        asked.insert("status".to_owned(), status);
    }
    Ok(value(StatusCode::CREATED, accepted.encoding, &asked))
}
