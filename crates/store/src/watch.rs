//! Watches: cursors over the shared log.
//!
//! A watch buffers nothing of its own. It remembers the last revision it has seen and reads on from
//! the log that all watches share; one that has fallen behind the end of the log is [`Expired`], so
//! a reader that never reads costs nothing.

use std::sync::Arc;

use tokio::sync::watch::Receiver;

use crate::error::Expired;
use crate::event::Event;
use crate::key::{ResourceVersion, Scope};
use crate::limits::WATCH_CHUNK_EVENTS;

/// Where a watch reads the log; what a back end has to bring.
pub trait EventSource: Send + Sync + 'static {
    /// About `n_max` events after `from` in order, and the revision they reach up to: more only
    /// where changes came together and are to be seen together. When nothing of `scope` happened the
    /// events are empty, yet the revision moves on.
    fn read_after(
        &self,
        from: ResourceVersion,
        scope: &Scope,
        n_max: usize,
    ) -> Result<(Vec<Arc<Event>>, ResourceVersion), Expired>;
}

/// A cursor over the log. Dropping it ends the watch.
pub struct Watch {
    source: Arc<dyn EventSource>,
    revisions: Receiver<ResourceVersion>,
    scope: Scope,
    seen: ResourceVersion,
}

impl Watch {
    pub fn new(
        source: Arc<dyn EventSource>,
        revisions: Receiver<ResourceVersion>,
        from: ResourceVersion,
        scope: Scope,
    ) -> Self {
        Self { source, revisions, scope, seen: from }
    }

    /// Everything up to this revision has been handed out.
    pub fn seen(&self) -> ResourceVersion {
        self.seen
    }

    /// The next events, at least one; waits for them. `None` when the store has closed.
    ///
    /// Safe to cancel: events that were not returned come again.
    pub async fn next(&mut self) -> Option<Result<Vec<Arc<Event>>, Expired>> {
        loop {
            let latest = *self.revisions.borrow_and_update();
            while self.seen < latest {
                match self.source.read_after(self.seen, &self.scope, WATCH_CHUNK_EVENTS) {
                    Err(expired) => return Some(Err(expired)),
                    Ok((events, reached)) => {
                        self.seen = reached;
                        if !events.is_empty() {
                            return Some(Ok(events));
                        }
                    }
                }
            }
            self.revisions.changed().await.ok()?;
        }
    }
}
