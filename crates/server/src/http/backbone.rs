//! Routes beside the objects: flows, join tokens, how far enforcement has come.

use std::collections::BTreeSet;
use std::time::Instant;

use axum::body::{Body, Bytes};
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use bulkhead_api::flow::FlowGap;
use bulkhead_api::{enforcement, flow, reach};
use bulkhead_apimachinery::status::{Reason, Status};
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::json;
use tokio::sync::mpsc;
use tokio_stream::StreamExt;
use tokio_stream::wrappers::ReceiverStream;

use crate::backbone::Backbone;
use crate::controller::reachability::ReachRefused;
use crate::flows::filter::FlowQuery;
use crate::flows::{Chunk, show};
use crate::join::TokenError;
use crate::status::conditions::{self, Moment};

const JOIN_TOKENS_PATH: &str = "/apis/bulkhead.dev/v1/jointokens";
/// Flows that a follower reads at a time.
const CHUNK_MAX: usize = 256;
/// Chunks that wait for a slow follower; what it then misses it is told.
const CHUNKS_QUEUED_MAX: usize = 4;

/// The caller has been found to be an admin already.
pub fn routes<S: Clone + Send + Sync + 'static>(backbone: Backbone) -> Router<S> {
    Router::new()
        .route(flow::PATH, get(flows))
        .route(JOIN_TOKENS_PATH, post(new_join_token))
        .route(enforcement::PATH, get(how_far))
        .route(enforcement::POLICIES_PATH, get(policies))
        .route(reach::PATH, get(connections))
        .route(reach::CHANGES_PATH, get(reach_changes))
        .with_state(backbone)
}

async fn how_far(State(backbone): State<Backbone>) -> Response {
    Json(backbone.registry.enforcement()).into_response()
}

async fn policies(State(backbone): State<Backbone>) -> Response {
    let (server_start, now) = (backbone.started, Instant::now());
    let moment = Moment { now, clock: Timestamp::now(), server_start };
    Json(conditions::report(&backbone.registry.snapshot(), &moment)).into_response()
}

/// `?workload=NAME` may be repeated.
async fn connections(
    State(backbone): State<Backbone>,
    Query(pairs): Query<Vec<(String, String)>>,
) -> Response {
    let mut workloads = BTreeSet::new();
    for (key, value) in pairs {
        if key != "workload" {
            return failure(
                Reason::BadRequest,
                format!("unknown parameter `{key}`: use `workload`"),
            );
        }
        workloads.insert(value);
    }
    match backbone.programs.reach(workloads).await {
        Ok(Ok(report)) => Json(report).into_response(),
        Ok(Err(refused @ ReachRefused::Unknown(_))) => failure(Reason::NotFound, refused),
        Ok(Err(refused @ ReachRefused::TooMany(_))) => failure(Reason::BadRequest, refused),
        Ok(Err(refused @ ReachRefused::Behind)) => failure(Reason::ServiceUnavailable, refused),
        Err(gone) => failure(Reason::ServiceUnavailable, gone),
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Since {
    #[serde(default)]
    since: u64,
}

async fn reach_changes(State(backbone): State<Backbone>, Query(asked): Query<Since>) -> Response {
    match backbone.programs.reach_changes(asked.since).await {
        Ok(changes) => Json(changes).into_response(),
        Err(gone) => failure(Reason::ServiceUnavailable, gone),
    }
}

async fn flows(
    State(backbone): State<Backbone>,
    Query(pairs): Query<Vec<(String, String)>>,
) -> Response {
    let query = match FlowQuery::parse(&pairs) {
        Ok(query) => query,
        Err(error) => return failure(Reason::BadRequest, error),
    };
    let (sender, receiver) = mpsc::channel(CHUNKS_QUEUED_MAX);
    tokio::spawn(tell(backbone, query, sender));
    let body = Body::from_stream(ReceiverStream::new(receiver).map(Ok::<_, std::io::Error>));
    ([(CONTENT_TYPE, "application/x-ndjson")], body).into_response()
}

/// Ends when the reader is gone.
async fn tell(backbone: Backbone, query: FlowQuery, lines: mpsc::Sender<Bytes>) {
    let log = &backbone.flows;
    let kept = log.all();
    let wanted: Vec<_> = kept.flows.iter().filter(|flow| query.matches(flow)).collect();
    let n_skipped = query.limit.map_or(0, |limit| wanted.len().saturating_sub(limit));
    for part in wanted.get(n_skipped..).unwrap_or_default().chunks(CHUNK_MAX) {
        let text = part.iter().map(|flow| line(&show::flow(flow))).collect::<String>();
        if lines.send(text.into()).await.is_err() {
            return;
        }
    }
    let next = kept.next;
    drop(kept);
    if query.follow {
        follow(&backbone, &query, &lines, next).await;
    }
}

async fn follow(
    backbone: &Backbone,
    query: &FlowQuery,
    lines: &mpsc::Sender<Bytes>,
    mut next: u64,
) {
    let log = &backbone.flows;
    loop {
        tokio::select! {
            () = log.wait_for(next) => {}
            () = lines.closed() => return,
            () = backbone.shutdown.wait() => return,
        }
        let Chunk { missed, flows, next: after } = log.read(next, CHUNK_MAX);
        next = after;
        let gap = (missed > 0).then(|| line(&FlowGap { missed }));
        let wanted = flows.iter().filter(|flow| query.matches(flow));
        let text: String =
            gap.into_iter().chain(wanted.map(|flow| line(&show::flow(flow)))).collect();
        if !text.is_empty() && lines.send(text.into()).await.is_err() {
            return;
        }
    }
}

fn line(value: &impl serde::Serialize) -> String {
    serde_json::to_string(value).map(|text| text + "\n").unwrap_or_default()
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct JoinToken {
    #[serde(default)]
    api_version: Option<String>,
    #[serde(default)]
    kind: Option<String>,
    #[serde(default, rename = "metadata")]
    _metadata: Option<serde_json::Value>,
    spec: JoinTokenSpec,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct JoinTokenSpec {
    node: String,
    #[serde(default)]
    ttl_seconds: Option<i64>,
}

async fn new_join_token(State(backbone): State<Backbone>, body: Bytes) -> Response {
    let asked: JoinToken = match serde_json::from_slice(&body) {
        Ok(asked) => asked,
        Err(error) => {
            return failure(Reason::BadRequest, format!("no join token can be read: {error}"));
        }
    };
    let is_ours = asked.api_version.as_deref().unwrap_or("bulkhead.dev/v1") == "bulkhead.dev/v1"
        && asked.kind.as_deref().unwrap_or("JoinToken") == "JoinToken";
    if !is_ours {
        return failure(Reason::BadRequest, "`apiVersion` and `kind` are no JoinToken's");
    }
    let JoinTokenSpec { node, ttl_seconds } = asked.spec;
    match backbone.join.new_token(&node, ttl_seconds, Timestamp::now()).await {
        Ok(made) => {
            let answer = json!({
                "apiVersion": "bulkhead.dev/v1",
                "kind": "JoinToken",
                "metadata": {"name": made.id},
                "spec": {"node": made.node},
                "status": {"token": made.token, "expires": made.expires.to_string()},
            });
            (StatusCode::CREATED, Json(answer)).into_response()
        }
        Err(error @ (TokenError::Node { .. } | TokenError::Ttl { .. })) => {
            failure(Reason::Invalid, error)
        }
        Err(error @ TokenError::TooMany) => failure(Reason::TooManyRequests, error),
        Err(error @ (TokenError::Random | TokenError::Store(_))) => {
            failure(Reason::ServiceUnavailable, error)
        }
    }
}

fn failure(reason: Reason, message: impl std::fmt::Display) -> Response {
    let status = Status::new(reason, message.to_string());
    let code = StatusCode::from_u16(status.code()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    (code, Json(status.to_value())).into_response()
}
