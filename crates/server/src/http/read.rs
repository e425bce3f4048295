//! Get and list.

use std::sync::Arc;
use std::time::Duration;

use axum::http::StatusCode;
use axum::response::Response;
use bulkhead_apimachinery::status::{Reason, Status};
use bulkhead_store::{ListRequest, Page, ResourceVersion, Store, Stored};

use super::accept::Accepted;
use super::answer::{Answer, expired, value};
use super::continuation::Continuation;
use super::options::{Options, Version};
use super::path::Target;
use super::selection::Selection;
use super::show;
use crate::state::AppState;

/// How long a read waits for a revision that the store has not reached.
const AHEAD_MAX: Duration = Duration::from_secs(3);
/// Objects in one answer. A client that asks for more, or for all, gets pages.
pub const PAGE_ITEMS_MAX: usize = 50_000;

pub async fn get(
    state: &AppState,
    target: &Target,
    name: &str,
    options: &Options,
    accepted: Accepted,
) -> Answer {
    if let Version::From(revision) | Version::NotOlderThan(revision) = options.version {
        wait_for(state.store.as_ref(), revision).await?;
    }
    let stored = find(state.store.as_ref(), target, name)?;
    Ok(shown(target, &stored, options, accepted, StatusCode::OK))
}

/// The object, or the Status that says it is not there.
pub fn find(store: &dyn Store, target: &Target, name: &str) -> Result<Arc<Stored>, Status> {
    store.get(&target.key(name)).ok_or_else(|| Status::not_found(target.resource, name))
}

/// One object in the form that the client accepts.
pub fn shown(
    target: &Target,
    stored: &Stored,
    options: &Options,
    accepted: Accepted,
    code: StatusCode,
) -> Response {
    let include = show::Include::from_options(options);
    let shown = show::object(target.resource, &stored.value, accepted.form, include);
    value(code, accepted.encoding, &shown)
}

pub async fn list(
    state: &AppState,
    target: &Target,
    options: &Options,
    accepted: Accepted,
) -> Answer {
    let selection = Selection::parse(target.resource, options)?;
    let page = page(state.store.as_ref(), target, options, &selection).await?;
    let continuation = page
        .items
        .last()
        .filter(|_| page.n_remaining > 0)
        .map(|last| Continuation { revision: page.revision, after: last.key.clone() }.encode());
    let list = show::List {
        resource: target.resource,
        revision: page.revision,
        continuation,
        // Upstream does not count what a selector would still drop.
        n_remaining: (page.n_remaining > 0 && selection.is_all()).then_some(page.n_remaining),
        items: &page.items,
    };
    let shown = list.show(accepted.form, show::Include::from_options(options));
    Ok(value(StatusCode::OK, accepted.encoding, &shown))
}

async fn page(
    store: &dyn Store,
    target: &Target,
    options: &Options,
    selection: &Selection,
) -> Result<Page, Status> {
    let limit = options.limit.unwrap_or(PAGE_ITEMS_MAX).min(PAGE_ITEMS_MAX);
    let (at, after) = match (&options.continue_token, options.version) {
        (Some(_), Version::From(_) | Version::Exact(_) | Version::NotOlderThan(_)) => {
            let message = "specifying resource version is not allowed when using continue";
            return Err(Status::bad_request(message));
        }
        (Some(token), _) => {
            let token = Continuation::decode(token, target.resource.qualified_plural())?;
            (Some(token.revision), Some(token.after))
        }
        (None, Version::Latest | Version::Any) => (None, None),
        (None, Version::NotOlderThan(revision)) => {
            wait_for(store, revision).await?;
            (None, None)
        }
        // As upstream: with a limit an unmatched version means that very version.
        (None, Version::From(revision)) => {
            wait_for(store, revision).await?;
            (options.limit.map(|_| revision), None)
        }
        (None, Version::Exact(revision)) => {
            wait_for(store, revision).await?;
            (Some(revision), None)
        }
    };
    if at.is_some_and(|at| at > store.revision()) {
        return Err(Status::bad_request("continue key is not valid: from the future"));
    }
    let keep = |stored: &Stored| selection.matches(&stored.value);
    let request = ListRequest { scope: target.scope(), at, after, limit, keep: &keep };
    store.list(&request).map_err(|error| match options.continue_token {
        Some(_) => Status::expired(
            "The provided continue parameter is too old to display a consistent list result. You \
             must start a new list without the continue parameter.",
        ),
        None => expired(error),
    })
}

/// Waits until readers see `revision`.
pub async fn wait_for(store: &dyn Store, revision: ResourceVersion) -> Result<(), Status> {
    let mut revisions = store.revisions();
    let reached = revisions.wait_for(|now| *now >= revision);
    match tokio::time::timeout(AHEAD_MAX, reached).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(_)) => Err(Status::new(Reason::ServiceUnavailable, "the store has closed")),
        Err(_) => {
            let message =
                format!("Too large resource version: {revision}, current: {}", store.revision());
            let mut status = Status::new(Reason::Timeout, message);
            status.retry_after_s = Some(1);
            Err(status)
        }
    }
}
