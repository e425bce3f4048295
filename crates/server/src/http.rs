//! The API port: who may come in, and which path leads where.
//!
//! Paths of objects are not routes of their own: one dispatcher reads group, version, resource,
//! namespace, name and subresource, and the registry of kinds says what exists.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::{Method, Request, StatusCode};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use bulkhead_apimachinery::status::{Reason, Status};
use rustls::ServerConfig;
use serde_json::json;
use tokio::net::TcpListener;

use self::accept::Accepted;
use self::answer::Answer;
use self::options::Options;
use self::path::{Place, Target};
use crate::auth::Identity;
use crate::state::AppState;

pub mod accept;
pub mod answer;
mod backbone;
pub mod body;
mod continuation;
mod discovery;
pub mod listener;
pub mod options;
pub mod path;
mod read;
mod review;
mod selection;
mod show;
pub mod watch;
mod write;

/// The version of the Kubernetes API that we speak; clients compare it with their own.
const KUBERNETES_VERSION: (u32, u32) = (1, 33);

/// Accepts until shutdown, then lets open requests finish.
pub async fn serve(
    listener: TcpListener,
    tls: Arc<ServerConfig>,
    state: AppState,
) -> anyhow::Result<()> {
    let shutdown = state.shutdown.clone();
    listener::serve(listener, tls, router(state), shutdown).await
}

/// Everything under the API port. Other parts of the server merge their routes here.
pub fn router(state: AppState) -> Router {
    Router::new()
        .route("/healthz", get(ready))
        .route("/readyz", get(ready))
        .route("/livez", get(live))
        .route("/version", get(version))
        .route(bulkhead_api::upstream::PATH, get(upstream))
        .route("/openapi/v2", get(discovery::openapi_v2))
        .route("/openapi/v3", get(discovery::openapi_v3_index))
        .route("/openapi/v3/{*path}", get(discovery::openapi_v3))
        .merge(backbone::routes(state.backbone.clone()))
        .fallback(dispatch)
        .layer(from_fn(require_admin))
        .with_state(state)
}

/// TLS lets in nobody without a certificate of ours; here nodes and others are turned away.
async fn require_admin(request: Request<Body>, next: Next) -> Response {
    match request.extensions().get::<Identity>() {
        Some(identity) if identity.is_admin() => next.run(request).await,
        Some(identity) => {
            let user = &identity.user;
            let message = format!("forbidden: User \"{user}\" has no access to this API");
            answer::failure(&Status::new(Reason::Forbidden, message))
        }
        None => answer::failure(&Status::new(Reason::Unauthorized, "Unauthorized")),
    }
}

async fn live() -> Response {
    answer::text(StatusCode::OK, "ok")
}

async fn ready(State(state): State<AppState>) -> Response {
    let waits_for = state.upstream.as_ref().and_then(|upstream| upstream.report().waits_for());
    if let Some(missing) = waits_for {
        let text = format!("not everything that the API server has is known yet: {missing}");
        return answer::failure(&Status::new(Reason::ServiceUnavailable, text));
    }
    if state.backbone.join.is_writable() {
        return answer::text(StatusCode::OK, "ok");
    }
    answer::text(StatusCode::INTERNAL_SERVER_ERROR, "the store takes no writes; see the log")
}

async fn upstream(State(state): State<AppState>) -> Response {
    match &state.upstream {
        Some(upstream) => axum::Json(upstream.report().state()).into_response(),
        None => {
            let message =
                "this server keeps its objects itself: it was started without --kubeconfig";
            answer::failure(&Status::new(Reason::NotFound, message))
        }
    }
}

async fn version() -> Response {
    let (major, minor) = KUBERNETES_VERSION;
    axum::Json(json!({
        "major": major.to_string(),
        "minor": minor.to_string(),
        "gitVersion": format!("v{major}.{minor}.0+bulkhead-{}", env!("CARGO_PKG_VERSION")),
        "gitCommit": "",
        "gitTreeState": "clean",
        "buildDate": "",
        "goVersion": "",
        "compiler": "rustc",
        "platform": format!("{}/{}", std::env::consts::OS, std::env::consts::ARCH),
    }))
    .into_response()
}

async fn dispatch(State(state): State<AppState>, request: Request<Body>) -> Response {
    match route(&state, request).await {
        Ok(response) => response,
        Err(status) => answer::failure(&status),
    }
}

async fn route(state: &AppState, request: Request<Body>) -> Answer {
    let place = Place::parse(request.uri().path()).ok_or_else(Status::no_such_path)?;
    let target = match place {
        Place::Objects(target) => match &state.upstream {
            Some(upstream) => return Err(upstream.elsewhere()),
            None => target,
        },
        Place::Review(group, review) => {
            let accepted = Accepted::from_headers(request.headers())?;
            return review::answer(group, &review, request, accepted).await;
        }
        other if request.method() == Method::GET => {
            return discovery::document(&other, request.headers());
        }
        _ => return Err(Status::method_not_allowed()),
    };
    let options = Options::parse(request.uri().query())?;
    let accepted = Accepted::from_headers(request.headers())?;
    objects(state, &target, &options, accepted, request).await
}

async fn objects(
    state: &AppState,
    target: &Target,
    options: &Options,
    accepted: Accepted,
    request: Request<Body>,
) -> Answer {
    match (request.method(), target.name.as_deref()) {
        (&Method::GET, Some(name)) => read::get(state, target, name, options, accepted).await,
        (&Method::GET, None) if options.watch => {
            let slot = Arc::clone(&state.watches).try_acquire_owned().map_err(|_| {
                let mut status = Status::new(Reason::TooManyRequests, "too many watches are open");
                status.retry_after_s = Some(1);
                status
            })?;
            watch::watch(state, target, options, accepted, slot)
        }
        (&Method::GET, None) => read::list(state, target, options, accepted).await,
        (&Method::POST, None) if target.namespace.is_some() || !target.resource.namespaced => {
            write::create(state, target, options, accepted, request).await
        }
        (&Method::PUT, Some(name)) => {
            write::update(state, target, name, options, accepted, request).await
        }
        (&Method::PATCH, Some(name)) => {
            write::patch(state, target, name, options, accepted, request).await
        }
        (&Method::DELETE, Some(name)) if target.subresource.is_none() => {
            write::delete(state, target, name, options, accepted, request).await
        }
        (&Method::DELETE, None) => {
            write::delete_collection(state, target, options, accepted, request).await
        }
        _ => Err(Status::method_not_allowed()),
    }
}
