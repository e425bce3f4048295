//! The one writer: drains the queue into one durable transaction at a time (group commit).
//!
//! While a transaction is being synced the next batches gather in the queue, so the cost of an
//! fsync is shared by all who wait for it, and nobody waits for a timer.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use tokio::sync::{mpsc, oneshot, watch};

use crate::cache::Cache;
use crate::disk::Disk;
use crate::error::CommitError;
use crate::key::ResourceVersion;
use crate::limits::{GROUP_WRITES_MAX, Limits};
use crate::plan::Plan;
use crate::write::{Batch, Committed};

pub(crate) type Answer = Result<Committed, CommitError>;

/// A batch and who waits for it.
pub(crate) struct Request {
    pub(crate) batch: Batch,
    pub(crate) answer: oneshot::Sender<Answer>,
}

pub(crate) struct Committer {
    pub(crate) disk: Disk,
    pub(crate) cache: Arc<RwLock<Cache>>,
    pub(crate) limits: Limits,
    pub(crate) revisions: watch::Sender<ResourceVersion>,
    pub(crate) writable: Arc<AtomicBool>,
}

impl Committer {
    /// Runs until every sender of `requests` is gone.
    pub(crate) fn run(self, mut requests: mpsc::Receiver<Request>) {
        let mut failure: Option<CommitError> = None;
        while let Some(first) = requests.blocking_recv() {
            if let Some(error) = &failure {
                answer(first.answer, Err(error.clone()));
                continue;
            }
            if let Err(error) = self.commit_group(first, &mut requests) {
                // The file may or may not hold the group. Going on could contradict it, so the
                // memory stays at the last state that is known to be durable.
                tracing::error!(%error, "the store became read-only");
                self.writable.store(false, Ordering::Release);
                failure = Some(error);
            }
        }
    }

    fn commit_group(
        &self,
        first: Request,
        requests: &mut mpsc::Receiver<Request>,
    ) -> Result<(), CommitError> {
        // Only this thread writes the cache: holding the read lock blocks no reader.
        let cache = self.cache.read().unwrap_or_else(PoisonError::into_inner);
        let mut plan = Plan::new(&cache);
        let mut waiting = Vec::new();
        let mut next = Some(first);
        while let Some(Request { batch, answer }) = next {
            waiting.push((answer, plan.add(batch)));
            let is_full = plan.n_writes() >= GROUP_WRITES_MAX;
            next = if is_full { None } else { requests.try_recv().ok() };
        }
        let events = plan.into_events();
        let compacted = cache.compaction_with(&events, self.limits);
        drop(cache);

        if let Err(error) = self.disk.write(&events, compacted) {
            let error = CommitError::Unavailable { reason: error.to_string() };
            for (sender, planned) in waiting {
                answer(sender, planned.and(Err(error.clone())));
            }
            return Err(error);
        }
        if let Some(last) = events.last().map(|event| event.revision) {
            self.cache.write().unwrap_or_else(PoisonError::into_inner).publish(events, compacted);
            self.revisions.send_replace(last);
        }
        for (sender, planned) in waiting {
            answer(sender, planned);
        }
        Ok(())
    }
}

fn answer(sender: oneshot::Sender<Answer>, result: Answer) {
    // A caller that has gone away needs no answer.
    drop(sender.send(result));
}
