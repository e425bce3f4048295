//! Questions that are answered and forgotten: "may I?" of `authorization.k8s.io` and "who am I?" of
//! `authentication.k8s.io`, as `kubectl auth can-i` and `kubectl auth whoami` ask them.
//!
//! Whoever gets this far is an admin, and an admin may do everything.

use axum::body::Body;
use axum::http::{Method, Request, StatusCode};
use bulkhead_apimachinery::status::Status;
use serde_json::{Value, json};

use super::accept::Accepted;
use super::answer::{Answer, value};
use super::body;
use crate::auth::Identity;

pub async fn answer(
    group: &str,
    review: &str,
    request: Request<Body>,
    accepted: Accepted,
) -> Answer {
    let identity = request.extensions().get::<Identity>().cloned();
    let (kind, status) = judge(review, identity.as_ref()).ok_or_else(Status::no_such_path)?;
    if request.method() != Method::POST {
        return Err(Status::method_not_allowed());
    }
    let mut asked = body::object(request).await?;
    if let Some(asked) = asked.as_object_mut() {
        asked.insert("apiVersion".to_owned(), json!(format!("{group}/v1")));
        asked.insert("kind".to_owned(), json!(kind));
        asked.insert("status".to_owned(), status);
    }
    Ok(value(StatusCode::CREATED, accepted.encoding, &asked))
}

/// The kind of the review, and its answer.
fn judge(review: &str, identity: Option<&Identity>) -> Option<(&'static str, Value)> {
    Some(match review {
        "selfsubjectaccessreviews" => ("SelfSubjectAccessReview", json!({"allowed": true})),
        "selfsubjectrulesreviews" => {
            let status = json!({
                "resourceRules": [{"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}],
                "nonResourceRules": [{"verbs": ["*"], "nonResourceURLs": ["*"]}],
                "incomplete": false,
            });
            ("SelfSubjectRulesReview", status)
        }
        "selfsubjectreviews" => {
            let identity = identity?;
            let user = json!({"username": identity.user, "groups": identity.groups});
            ("SelfSubjectReview", json!({"userInfo": user}))
        }
        _ => return None,
    })
}
