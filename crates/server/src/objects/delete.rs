//! Deletion: preconditions, finalizers, and what happens to dependents.

use std::sync::Arc;

use bulkhead_api::object::Kind;
use bulkhead_apimachinery::meta::{self, Deletion};
use bulkhead_apimachinery::status::{Reason, Status};
use bulkhead_apimachinery::write::{self, Subresource};
use bulkhead_store::{Batch, Key, Stored, Write};
use futures::StreamExt;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::options::Draw;
use super::{
    ATTEMPTS_MAX, Attempt, Objects, Place, SERVER_MANAGER, WriteOptions, contended, namespace,
};

/// Finalizers by which the garbage collector is asked to act before an object goes.
pub const FINALIZER_FOREGROUND: &str = "foregroundDeletion";
pub const FINALIZER_ORPHAN: &str = "orphan";

/// Tiers that the policy model itself speaks of.
const BUILT_IN_TIERS: &[&str] = &["default", "kube-admin", "kube-baseline"];

/// Deletions of one collection that wait for the disk together.
const DELETES_AT_A_TIME: usize = 64;

/// What happens to the objects that an object owns.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Propagation {
    /// The owner goes at once, its dependents soon after.
    #[default]
    Background,
    /// Dependents first.
    Foreground,
    /// Dependents stay, without an owner.
    Orphan,
}

#[derive(Clone, Debug, Default)]
pub struct DeleteOptions {
    pub dry_run: bool,
    pub propagation: Propagation,
    /// Only this very object, not a later one of the same name.
    pub uid: Option<String>,
    pub resource_version: Option<String>,
}

#[derive(Clone, Debug)]
pub enum Deleted {
    /// It is gone; this was its last state.
    Gone(Arc<Stored>),
    /// It is marked and goes when its finalizers have done their work.
    Pending(Arc<Stored>),
}

impl Objects {
    pub async fn delete(
        &self,
        place: Place<'_>,
        options: &DeleteOptions,
    ) -> Result<Deleted, Status> {
        for _ in 0..ATTEMPTS_MAX {
            if let Attempt::Done(deleted) = self.try_delete(place, options).await? {
                return Ok(deleted);
            }
        }
        Err(contended(place.resource, place.name))
    }

    /// Deletes them all, the disk permitting at the same time. What is gone meanwhile is done; of
    /// what cannot be deleted the first reason is told, after the others have gone.
    pub async fn delete_all(&self, keys: Vec<Key>, options: &DeleteOptions) -> Result<(), Status> {
        let mut deletions = futures::stream::iter(keys)
            .map(|key| self.clone().delete_key(key, options.clone()))
            .buffer_unordered(DELETES_AT_A_TIME);
        let mut outcome = Ok(());
        while let Some(deletion) = deletions.next().await {
            match deletion {
                Err(error) if error.reason != Reason::NotFound && outcome.is_ok() => {
                    outcome = Err(error);
                }
                _ => {}
            }
        }
        outcome
    }

    async fn delete_key(self, key: Key, options: DeleteOptions) -> Result<(), Status> {
        match Place::of(&key) {
            Some(place) => self.delete(place, &options).await.map(|_| ()),
            None => Ok(()),
        }
    }

    async fn try_delete(
        &self,
        place: Place<'_>,
        options: &DeleteOptions,
    ) -> Result<Attempt<Deleted>, Status> {
        let live = self.find(place)?;
        check_deletable(place)?;
        let decided = decide(place, &live.value, options)?;
        let write = match &decided {
            Deletion::Waiting => return Ok(Attempt::Done(Deleted::Pending(live))),
            Deletion::Remove => Write::delete(place.key(), live.revision),
            Deletion::Mark(marked) => Write::replace(place.key(), live.revision, marked.clone()),
        };
        if options.dry_run {
            return Ok(Attempt::Done(match decided {
                Deletion::Mark(marked) => Deleted::Pending(Arc::new(self.unwritten(place, marked))),
                _ => Deleted::Gone(live),
            }));
        }
        let committed = match self.try_commit(Batch::from(write)).await? {
            Attempt::Done(committed) => committed,
            Attempt::Again => return Ok(Attempt::Again),
        };
        let state = committed.objects.into_iter().next().flatten().unwrap_or(live);
        Ok(Attempt::Done(match decided {
            Deletion::Remove => Deleted::Gone(state),
            Deletion::Mark(_) | Deletion::Waiting => Deleted::Pending(state),
        }))
    }

    /// Takes the last step of a namespace in which nothing is left.
    pub async fn remove_empty_namespace(&self, name: &str) -> Result<(), Status> {
        let live = self.store.get(&namespace::namespace_key(name));
        let Some(live) = live.filter(|live| meta::is_released(&live.value)) else { return Ok(()) };
        // If it moved meanwhile, that is an event of its own.
        self.try_commit(Write::delete(live.key.clone(), live.revision).into()).await.map(|_| ())
    }
}

fn decide(place: Place<'_>, live: &Value, options: &DeleteOptions) -> Result<Deletion, Status> {
    let finalizer = match options.propagation {
        Propagation::Background => None,
        Propagation::Foreground => Some(FINALIZER_FOREGROUND),
        Propagation::Orphan => Some(FINALIZER_ORPHAN),
    };
    let waiting = finalizer
        .filter(|_| !place.is_namespace() && !meta::is_deleting(live))
        .map(|finalizer| with_finalizer(live, finalizer));
    let preconditions = json!({
        "preconditions": {"uid": options.uid, "resourceVersion": options.resource_version},
    });
    let (draw, server) = (Draw::new()?, WriteOptions::by(SERVER_MANAGER));
    let request = draw.request(place, Subresource::None, &server);
    let decided = write::delete(&request, waiting.as_ref().unwrap_or(live), &preconditions)?;
    Ok(if place.is_namespace() { mark_namespace(live, request.now) } else { decided })
}

/// A namespace always waits: its content goes first.
fn mark_namespace(live: &Value, now: Timestamp) -> Deletion {
    if meta::is_deleting(live) {
        return Deletion::Waiting;
    }
    let mut marked = live.clone();
    meta::set(&mut marked, "deletionTimestamp", Some(json!(meta::time(now))));
    if let Some(object) = marked.as_object_mut() {
        object.insert("status".to_owned(), json!({"phase": "Terminating"}));
    }
    Deletion::Mark(marked)
}

fn with_finalizer(live: &Value, finalizer: &str) -> Value {
    let mut object = live.clone();
    let mut finalizers = object
        .pointer("/metadata/finalizers")
        .and_then(Value::as_array)
        .cloned()
        .unwrap_or_default();
    if !finalizers.iter().any(|own| own == finalizer) {
        finalizers.push(json!(finalizer));
    }
    meta::set(&mut object, "finalizers", Some(Value::Array(finalizers)));
    object
}

/// Some objects are part of the model and cannot be missing.
fn check_deletable(place: Place<'_>) -> Result<(), Status> {
    let why = match place.resource.id {
        Kind::Namespace if place.name == namespace::DEFAULT => "this namespace may not be deleted",
        Kind::Tier if BUILT_IN_TIERS.contains(&place.name) => "this tier may not be deleted",
        _ => return Ok(()),
    };
    Err(Status::forbidden(place.resource, place.name, why))
}
