//! The front door: every write of an object, whoever asks for it.
//!
//! The rules are `apimachinery`'s, as pure functions; this is where they meet the store. A write
//! reads the live object, decides what shall stand in its place, and commits on the condition that
//! nothing moved in between; if something did, it decides again.

use std::sync::Arc;

use bulkhead_api::object::Kind;
use bulkhead_apimachinery::kinds::{self, Resource};
use bulkhead_apimachinery::status::{Reason, Status};
use bulkhead_store::{Batch, CommitError, Committed, Key, Store, Stored};
use serde_json::Value;

mod create;
mod delete;
mod namespace;
mod options;
mod update;

pub use delete::{DeleteOptions, Deleted, FINALIZER_FOREGROUND, FINALIZER_ORPHAN, Propagation};
pub use namespace::namespace_key;
pub use options::{Patch, WriteOptions};

/// The field manager of what the server writes on its own.
pub const SERVER_MANAGER: &str = "bulkhead-server";

/// How often a write that names no revision is decided anew before its caller is told to retry.
const ATTEMPTS_MAX: usize = 20;

/// Cheap to clone.
#[derive(Clone)]
pub struct Objects {
    store: Arc<dyn Store>,
}

/// Which object a write is about.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    pub resource: &'static Resource,
    /// Empty for cluster-scoped kinds.
    pub namespace: &'a str,
    pub name: &'a str,
}

impl Place<'_> {
    pub fn key(&self) -> Key {
        Key::new(self.resource.qualified_plural(), self.namespace, self.name)
    }

    /// The place of a stored object; `None` for what this version does not serve.
    pub fn of(key: &Key) -> Option<Place<'_>> {
        let resource = kinds::all().iter().find(|r| r.qualified_plural() == key.resource)?;
        Some(Place { resource, namespace: &key.namespace, name: &key.name })
    }

    fn is_namespace(&self) -> bool {
        self.resource.id == Kind::Namespace
    }

    fn not_found(&self) -> Status {
        Status::not_found(self.resource, self.name)
    }
}

/// What a write has led to.
#[derive(Clone, Debug)]
pub struct Written {
    pub stored: Arc<Stored>,
    pub is_new: bool,
    /// For people: unknown fields that were dropped, and the like.
    pub warnings: Vec<String>,
}

/// Somebody else came first: decide again.
enum Attempt<T> {
    Done(T),
    Again,
}

impl Objects {
    pub fn new(store: Arc<dyn Store>) -> Self {
        Self { store }
    }

    pub fn store(&self) -> &dyn Store {
        self.store.as_ref()
    }

    fn find(&self, place: Place<'_>) -> Result<Arc<Stored>, Status> {
        self.store.get(&place.key()).ok_or_else(|| place.not_found())
    }

    /// An object as a dry run leaves it: not in the store, and at no revision of its own.
    fn unwritten(&self, place: Place<'_>, value: Value) -> Stored {
        let n_bytes = value.to_string().len();
        Stored { key: place.key(), revision: self.store.revision(), value, n_bytes }
    }

    /// Commits; when one of the conditions no longer holds, the caller decides again.
    async fn try_commit(&self, batch: Batch) -> Result<Attempt<Committed>, Status> {
        match self.store.commit(batch).await {
            Ok(committed) => Ok(Attempt::Done(committed)),
            Err(
                CommitError::Moved { .. } | CommitError::Absent { .. } | CommitError::Exists { .. },
            ) => Ok(Attempt::Again),
            Err(error @ CommitError::TooLarge { .. }) => {
                Err(Status::new(Reason::RequestEntityTooLarge, error.to_string()))
            }
            Err(error @ CommitError::Malformed { .. }) => Err(Status::internal(error)),
            Err(error @ CommitError::Unavailable { .. }) => {
                Err(Status::new(Reason::ServiceUnavailable, error.to_string()))
            }
        }
    }
}

/// Too many others wrote the same object at the same time.
fn contended(resource: &Resource, name: &str) -> Status {
    let mut status = Status::conflict(resource, name);
    status.retry_after_s = Some(1);
    status
}
