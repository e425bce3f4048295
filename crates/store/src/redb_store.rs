//! The embedded back end: redb on disk, everything in memory, one committer thread.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};
use std::thread::JoinHandle;

use tokio::sync::{mpsc, oneshot, watch};

use crate::cache::Cache;
use crate::committer::{Committer, Request};
use crate::disk::Disk;
use crate::error::{CommitError, Expired, OpenError};
use crate::event::{Event, Stored};
use crate::key::{Key, ResourceVersion, Scope};
use crate::limits::{Limits, QUEUE_BATCHES_MAX};
use crate::store::{BoxFuture, ListRequest, Page, Store};
use crate::watch::{EventSource, Watch};
use crate::write::{Batch, Committed};

/// Dropping it waits for the transaction in progress and closes the file.
pub struct RedbStore {
    shared: Arc<Shared>,
    revisions: watch::Receiver<ResourceVersion>,
    requests: Option<mpsc::Sender<Request>>,
    committer: Option<JoinHandle<()>>,
    writable: Arc<AtomicBool>,
}

struct Shared(Arc<RwLock<Cache>>);

impl Shared {
    fn cache(&self) -> RwLockReadGuard<'_, Cache> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }
}

impl EventSource for Shared {
    fn read_after(
        &self,
        from: ResourceVersion,
        scope: &Scope,
        n_max: usize,
    ) -> Result<(Vec<Arc<Event>>, ResourceVersion), Expired> {
        self.cache().read_after(from, scope, n_max)
    }
}

impl RedbStore {
    /// Opens the file, or makes it.
    pub fn open(path: &Path, limits: Limits) -> Result<Self, OpenError> {
        Self::start(Disk::open(path)?, limits)
    }

    /// The same without a file, for tests and for trying things out.
    pub fn in_memory(limits: Limits) -> Result<Self, OpenError> {
        Self::start(Disk::in_memory()?, limits)
    }

    fn start(disk: Disk, limits: Limits) -> Result<Self, OpenError> {
        let cache = disk.load()?;
        let (revision_sender, revisions) = watch::channel(cache.revision());
        let cache = Arc::new(RwLock::new(cache));
        let writable = Arc::new(AtomicBool::new(true));
        let (requests, queue) = mpsc::channel(QUEUE_BATCHES_MAX);
        let committer = Committer {
            disk,
            cache: Arc::clone(&cache),
            limits,
            revisions: revision_sender,
            writable: Arc::clone(&writable),
        };
        let committer = std::thread::Builder::new()
            .name("store-committer".to_owned())
            .spawn(move || committer.run(queue))
            .map_err(|source| OpenError::Thread { source })?;
        Ok(Self {
            shared: Arc::new(Shared(cache)),
            revisions,
            requests: Some(requests),
            committer: Some(committer),
            writable,
        })
    }
}

impl Drop for RedbStore {
    fn drop(&mut self) {
        drop(self.requests.take());
        if let Some(committer) = self.committer.take() {
            // It ends once the queue is empty; a panic there has been reported already.
            drop(committer.join());
        }
    }
}

impl Store for RedbStore {
    fn revision(&self) -> ResourceVersion {
        *self.revisions.borrow()
    }

    fn revisions(&self) -> watch::Receiver<ResourceVersion> {
        self.revisions.clone()
    }

    fn is_writable(&self) -> bool {
        self.writable.load(Ordering::Acquire)
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
        Ok(Watch::new(source, self.revisions.clone(), from, scope))
    }

    fn commit(&self, batch: Batch) -> BoxFuture<'_, Result<Committed, CommitError>> {
        Box::pin(async move {
            let closed = || CommitError::Unavailable { reason: "it is closed".to_owned() };
            let requests = self.requests.as_ref().ok_or_else(closed)?;
            let (answer, answered) = oneshot::channel();
            requests.send(Request { batch, answer }).await.map_err(|_| closed())?;
            answered.await.map_err(|_| closed())?
        })
    }
}
