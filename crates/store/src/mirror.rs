//! A store of somebody else's objects: in memory only, fed from outside, closed to writers.
//!
//! INVARIANT(batches-are-whole): changes that come together are seen together, by lists and by
//! watches; a watch gets all that is pending at once, however much it is.
//!
//! Revisions are the mirror's own. The objects keep the `metadata.resourceVersion` of where they come
//! from. History is kept as far as the one reader that follows it has not read, and beyond that as any
//! store's; a change of everything never outruns its reader.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

use serde_json::Value;
use tokio::sync::watch;

use crate::cache::Cache;
use crate::error::{CommitError, Expired};
use crate::event::{Event, Stored};
use crate::key::{Key, ResourceVersion, Scope};
use crate::limits::Limits;
use crate::store::{BoxFuture, ListRequest, Page, Store};
use crate::watch::{EventSource, Watch};
use crate::write::{Batch, Committed};

pub struct Mirror {
    shared: Arc<Shared>,
    revisions: watch::Sender<ResourceVersion>,
    limits: Limits,
}

struct Shared {
    cache: RwLock<Cache>,
    /// The follower has taken in everything up to here.
    read: AtomicU64,
}

/// What has become of one object.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    Put(Key, Value),
    Remove(Key),
}

impl Mirror {
    /// Empty, with revisions from `first` on.
    pub fn new(first: ResourceVersion, limits: Limits) -> Self {
        let cache = Cache::new(Default::default(), Default::default(), first, first);
        let shared = Shared { cache: RwLock::new(cache), read: AtomicU64::new(first.0) };
        let revisions = watch::channel(first).0;
        Self { shared: Arc::new(shared), revisions, limits }
    }

    /// Takes the changes over, all at once. Of several changes of one object the last counts; what
    /// changes nothing is passed over.
    pub fn replay(&self, changes: Vec<Change>) -> ResourceVersion {
        let states: BTreeMap<Key, Option<Value>> = changes
            .into_iter()
            .map(|change| match change {
                Change::Put(key, value) => (key, Some(value)),
                Change::Remove(key) => (key, None),
            })
            .collect();
        let mut cache = self.shared.cache.write().unwrap_or_else(PoisonError::into_inner);
        let mut revision = cache.revision();
        let mut events: Vec<Arc<Event>> = Vec::new();
        for (key, value) in states {
            let old = cache.get(&key).cloned();
            if old.as_ref().map(|old| &old.value) == value.as_ref() {
                continue;
            }
            revision = revision.next();
            let new = value.map(|value| {
                let n_bytes = value.to_string().len();
                Arc::new(Stored { key: key.clone(), revision, value, n_bytes })
            });
            events.push(Arc::new(Event { revision, key, old, new }));
        }
        let read = ResourceVersion(self.shared.read.load(Ordering::Acquire));
        let compacted = cache.compaction_with(&events, self.limits).min(read);
        cache.publish(events, compacted);
        // Before the lock is given back: who sees the objects sees the revision too.
        self.revisions.send_replace(revision);
        revision
    }
}

impl Shared {
    fn cache(&self) -> RwLockReadGuard<'_, Cache> {
        self.cache.read().unwrap_or_else(PoisonError::into_inner)
    }
}

impl EventSource for Shared {
    fn read_after(
        &self,
        from: ResourceVersion,
        scope: &Scope,
        _: usize,
    ) -> Result<(Vec<Arc<Event>>, ResourceVersion), Expired> {
        self.read.fetch_max(from.0, Ordering::AcqRel);
        self.cache().read_after(from, scope, usize::MAX)
    }
}

impl Store for Mirror {
    fn revision(&self) -> ResourceVersion {
        *self.revisions.borrow()
    }

    fn revisions(&self) -> watch::Receiver<ResourceVersion> {
        self.revisions.subscribe()
    }

    fn is_writable(&self) -> bool {
        false
    }

    fn get(&self, key: &Key) -> Option<Arc<Stored>> {
        self.shared.cache().get(key).cloned()
    }

    fn list(&self, request: &ListRequest<'_>) -> Result<Page, Expired> {
        self.shared.cache().list(request)
    }

    fn watch(&self, from: ResourceVersion, scope: Scope) -> Result<Watch, Expired> {
        self.shared.cache().check_reachable(from)?;
        let source: Arc<dyn EventSource> = Arc::clone(&self.shared) as _;
        Ok(Watch::new(source, self.revisions.subscribe(), from, scope))
    }

    fn commit(&self, _: Batch) -> BoxFuture<'_, Result<Committed, CommitError>> {
        let reason = "it mirrors another API server, which takes them".to_owned();
        Box::pin(async move { Err(CommitError::Unavailable { reason }) })
    }
}

#[cfg(test)]
mod tests;
