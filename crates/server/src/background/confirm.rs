//! Takes changes back that nobody confirmed in time.

use std::collections::BTreeMap;
use std::time::Duration;

use bulkhead_store::{Key, Scope, Stored};
use jiff::Timestamp;

use super::follow::{Follower, Seen};
use crate::confirm::{self, Before};
use crate::objects::{DeleteOptions, Objects, Place};
use crate::state::AppState;

/// The clock may be set meanwhile: it is read again after this long at most.
const LOOK_MAX: Duration = Duration::from_secs(10);
/// A change that could not be taken back is tried again after this long.
const RETRY: Duration = Duration::from_secs(1);

pub async fn run(state: AppState) -> anyhow::Result<()> {
    let mut follower = Follower::new(&state, Scope::Everything);
    let mut pending: BTreeMap<Key, Timestamp> = BTreeMap::new();
    loop {
        let wait = pending.values().min().map_or(LOOK_MAX, |by| until(*by).min(LOOK_MAX));
        tokio::select! {
            seen = follower.next() => match seen {
                Some(seen) => note(&mut pending, seen),
                None => return Ok(()),
            },
            () = tokio::time::sleep(wait), if !pending.is_empty() => {
                take_back_what_is_due(&state.objects, &mut pending).await;
            }
        }
    }
}

fn until(by: Timestamp) -> Duration {
    Duration::try_from(by.duration_since(Timestamp::now())).unwrap_or_default()
}

fn note(pending: &mut BTreeMap<Key, Timestamp>, seen: Seen) {
    let mut put = |key: &Key, stored: Option<&Stored>| {
        match stored.and_then(|stored| confirm::deadline(&stored.value)) {
            Some(by) => pending.insert(key.clone(), by),
            None => pending.remove(key),
        };
    };
    match seen {
        Seen::State(all) => {
            for stored in &all {
                put(&stored.key, Some(stored));
            }
        }
        Seen::Events(events) => {
            for event in events {
                put(&event.key, event.new.as_deref());
            }
        }
    }
}

async fn take_back_what_is_due(objects: &Objects, pending: &mut BTreeMap<Key, Timestamp>) {
    let now = Timestamp::now();
    let due: Vec<Key> =
        pending.iter().filter(|(_, by)| **by <= now).map(|(key, _)| key.clone()).collect();
    for key in due {
        if let Err(error) = take_back(objects, &key, now).await {
            tracing::error!(?key, %error, "an unconfirmed change could not be taken back");
            let again = now.checked_add(RETRY).unwrap_or(now);
            pending.insert(key, again);
        } else {
            pending.remove(&key);
        }
    }
}

async fn take_back(
    objects: &Objects,
    key: &Key,
    now: Timestamp,
) -> Result<(), bulkhead_apimachinery::status::Status> {
    let (Some(stored), Some(place)) = (objects.store().get(key), Place::of(key)) else {
        return Ok(());
    };
    // It may have been confirmed, or changed again, just now.
    if confirm::deadline(&stored.value).is_none_or(|by| by > now) {
        return Ok(());
    }
    match confirm::before(&stored.value) {
        None => return Ok(()),
        Some(Before::Nothing) => {
            objects.delete(place, &DeleteOptions::default()).await?;
        }
        Some(Before::Was(content)) => {
            objects.edit(place, |object| confirm::take_back(object, &content, now)).await?;
        }
    }
    tracing::warn!(?key, "a change was not confirmed in time and is taken back");
    Ok(())
}
