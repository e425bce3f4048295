//! Garbage collection by `ownerReferences`.
//!
//! An object whose owners are all gone goes too. An owner that waits in foreground deletion goes
//! after its dependents; one that orphans them is first forgotten by them. Owners of kinds that we
//! do not serve are taken to exist: what cannot be looked up is never a reason to delete.

use std::collections::{BTreeSet, HashMap};

use bulkhead_apimachinery::meta::{self, Owner};
use bulkhead_apimachinery::{kinds, status::Status};
use bulkhead_store::{Key, Scope, Store, Stored};
use serde_json::{Value, json};

use super::follow::{Follower, Seen};
use crate::objects::{DeleteOptions, FINALIZER_FOREGROUND, FINALIZER_ORPHAN, Objects, Place};
use crate::state::AppState;

pub async fn run(state: AppState) -> anyhow::Result<()> {
    let mut follower = Follower::new(&state, Scope::Everything);
    let mut dependents = Dependents::default();
    while let Some(seen) = follower.next().await {
        for key in suspects(seen, &mut dependents) {
            if let Err(error) = examine(&state.objects, &dependents, &key).await {
                tracing::warn!(%key, %error, "garbage could not be collected");
            }
        }
    }
    Ok(())
}

/// Takes in what was seen, and says which objects may have to go because of it.
fn suspects(seen: Seen, dependents: &mut Dependents) -> BTreeSet<Key> {
    let mut suspects = BTreeSet::new();
    match seen {
        Seen::State(all) => {
            *dependents = Dependents::default();
            for stored in &all {
                dependents.add(stored);
                suspects.insert(stored.key.clone());
            }
        }
        Seen::Events(events) => {
            for event in &events {
                if let Some(old) = &event.old {
                    dependents.remove(old);
                    // The last dependent may have held up its owner.
                    suspects.extend(owner_keys(old));
                }
                if let Some(new) = &event.new {
                    dependents.add(new);
                }
                suspects.insert(event.key.clone());
                suspects.extend(event.state().into_iter().flat_map(|state| dependents.of(state)));
            }
        }
    }
    suspects
}

/// Who names whom as an owner, by the owner's uid.
#[derive(Debug, Default)]
struct Dependents(HashMap<String, BTreeSet<Key>>);

impl Dependents {
    fn add(&mut self, stored: &Stored) {
        for owner in meta::owners(&stored.value) {
            self.0.entry(owner.uid).or_default().insert(stored.key.clone());
        }
    }

    fn remove(&mut self, stored: &Stored) {
        for owner in meta::owners(&stored.value) {
            if let Some(keys) = self.0.get_mut(&owner.uid) {
                keys.remove(&stored.key);
                if keys.is_empty() {
                    self.0.remove(&owner.uid);
                }
            }
        }
    }

    fn of(&self, owner: &Stored) -> Vec<Key> {
        let keys = self.0.get(meta::text(&owner.value, "uid"));
        keys.into_iter().flatten().cloned().collect()
    }
}

async fn examine(objects: &Objects, dependents: &Dependents, key: &Key) -> Result<(), Status> {
    let (Some(stored), Some(place)) = (objects.store().get(key), Place::of(key)) else {
        return Ok(());
    };
    let object = &stored.value;
    if !meta::is_deleting(object) {
        if meta::is_orphaned(object, |owner| exists(objects.store(), key, owner)) {
            tracing::debug!(%key, "collected: its owners are gone");
            ignore_absent(objects.delete(place, &DeleteOptions::default()).await)?;
        }
        return Ok(());
    }
    let mut held_up = false;
    if has_finalizer(object, FINALIZER_ORPHAN) {
        for dependent in dependents.of(&stored) {
            disown(objects, &dependent, meta::text(object, "uid")).await?;
        }
    } else if has_finalizer(object, FINALIZER_FOREGROUND) {
        for dependent in dependents.of(&stored) {
            let Some(place) = Place::of(&dependent) else { continue };
            held_up |= blocks(objects.store(), &dependent, meta::text(object, "uid"));
            ignore_absent(objects.delete(place, &DeleteOptions::default()).await)?;
        }
    } else {
        return Ok(());
    }
    if !held_up {
        let done = [FINALIZER_ORPHAN, FINALIZER_FOREGROUND];
        let release = |object: &mut Value| {
            if let Some(list) = object.pointer_mut("/metadata/finalizers") {
                retain(list, |item| !done.iter().any(|finalizer| item == finalizer));
            }
        };
        ignore_absent(objects.edit(place, release).await)?;
    }
    Ok(())
}

/// Takes one owner off a dependent.
async fn disown(objects: &Objects, dependent: &Key, uid: &str) -> Result<(), Status> {
    let Some(place) = Place::of(dependent) else { return Ok(()) };
    let forget = |object: &mut Value| {
        if let Some(list) = object.pointer_mut("/metadata/ownerReferences") {
            retain(list, |owner| owner.get("uid") != Some(&json!(uid)));
        }
    };
    ignore_absent(objects.edit(place, forget).await)
}

fn retain(list: &mut Value, keep: impl Fn(&Value) -> bool) {
    if let Some(items) = list.as_array_mut() {
        items.retain(|item| keep(item));
    }
}

/// The dependent is still there and asks its owner to wait for it.
fn blocks(store: &dyn Store, dependent: &Key, uid: &str) -> bool {
    store.get(dependent).is_some_and(|stored| {
        meta::owners(&stored.value).iter().any(|owner| owner.uid == uid && owner.blocks_deletion)
    })
}

fn has_finalizer(object: &Value, finalizer: &str) -> bool {
    let list = object.pointer("/metadata/finalizers").and_then(Value::as_array);
    list.is_some_and(|list| list.iter().any(|own| own == finalizer))
}

/// An owner lives in the namespace of its dependent, or in none.
fn owner_key(dependent: &Key, owner: &Owner) -> Option<Key> {
    let resource = kinds::by_kind(&owner.api_version, &owner.kind)?;
    let namespace = if resource.namespaced { dependent.namespace.as_str() } else { "" };
    Some(Key::new(resource.qualified_plural(), namespace, owner.name.as_str()))
}

fn owner_keys(dependent: &Stored) -> Vec<Key> {
    let owners = meta::owners(&dependent.value);
    owners.iter().filter_map(|owner| owner_key(&dependent.key, owner)).collect()
}

fn exists(store: &dyn Store, dependent: &Key, owner: &Owner) -> bool {
    let Some(key) = owner_key(dependent, owner) else { return true };
    store.get(&key).is_some_and(|stored| meta::text(&stored.value, "uid") == owner.uid)
}

/// Somebody else was faster: what was to be done is done.
fn ignore_absent<T>(outcome: Result<T, Status>) -> Result<(), Status> {
    match outcome {
        Err(error) if error.code() != 404 => Err(error),
        _ => Ok(()),
    }
}
