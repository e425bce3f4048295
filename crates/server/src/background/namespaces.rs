//! Namespaces: a terminating one is emptied and then removed; a living one has a `default`
//! service account.

use bulkhead_api::object::Kind;
use bulkhead_apimachinery::status::Status;
use bulkhead_apimachinery::{kinds, meta};
use bulkhead_store::{Event, Key, ListRequest, Scope, Stored};

use super::follow::{Follower, Seen};
use crate::objects::{DeleteOptions, Objects, namespace_key};
use crate::state::AppState;

pub async fn run(state: AppState) -> anyhow::Result<()> {
    let mut follower = Follower::new(&state, Scope::Everything);
    while let Some(seen) = follower.next().await {
        let names = match seen {
            Seen::State(all) => {
                let namespaces = all.iter().filter(|stored| is_namespace(&stored.key));
                namespaces.map(|stored| stored.key.name.clone()).collect()
            }
            Seen::Events(events) => concerned(&events),
        };
        for name in names {
            reconcile(&state.objects, &name).await;
        }
    }
    Ok(())
}

/// Namespaces that changed, and those that something was taken out of.
fn concerned(events: &[std::sync::Arc<Event>]) -> Vec<String> {
    let mut names: Vec<String> = events
        .iter()
        .filter_map(|event| match &event.key {
            key if is_namespace(key) => Some(key.name.clone()),
            key if event.is_deletion() && !key.namespace.is_empty() => Some(key.namespace.clone()),
            _ => None,
        })
        .collect();
    names.sort();
    names.dedup();
    names
}

async fn reconcile(objects: &Objects, name: &str) {
    let Some(namespace) = objects.store().get(&namespace_key(name)) else { return };
    let outcome = if meta::is_deleting(&namespace.value) {
        empty(objects, name).await
    } else {
        objects.ensure_default_account(name).await
    };
    if let Err(error) = outcome {
        tracing::warn!(namespace = name, %error, "a namespace could not be reconciled");
    }
}

/// Deletes what is left in the namespace; when nothing is, the namespace itself.
async fn empty(objects: &Objects, name: &str) -> Result<(), Status> {
    let keys = keys_in(objects, name);
    if keys.is_empty() {
        return objects.remove_empty_namespace(name).await;
    }
    objects.delete_all(keys, &DeleteOptions::default()).await
}

fn keys_in(objects: &Objects, name: &str) -> Vec<Key> {
    let inside = |stored: &Stored| stored.key.namespace == name;
    let request = ListRequest { keep: &inside, ..ListRequest::all(Scope::Everything) };
    // Without a revision there is nothing that could have expired.
    let items = objects.store().list(&request).map(|page| page.items).unwrap_or_default();
    items.iter().map(|stored| stored.key.clone()).collect()
}

fn is_namespace(key: &Key) -> bool {
    key.resource == kinds::by_id(Kind::Namespace).plural
}
