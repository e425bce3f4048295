//! The loop that reconcilers share: the whole state first, then every change of it.

use std::sync::Arc;

use bulkhead_store::{Event, ListRequest, Scope, Store, Stored, Watch};

use crate::shutdown::Shutdown;
use crate::state::AppState;

/// What a follower sees.
#[derive(Debug)]
pub enum Seen {
    /// Everything there is; also comes again after history has gone by.
    State(Vec<Arc<Stored>>),
    Events(Vec<Arc<Event>>),
}

/// Reads on until shutdown.
pub struct Follower {
    store: Arc<dyn Store>,
    scope: Scope,
    shutdown: Shutdown,
    watch: Option<Watch>,
}

impl Follower {
    pub fn new(state: &AppState, scope: Scope) -> Self {
        let (store, shutdown) = (Arc::clone(&state.store), state.shutdown.clone());
        Self { store, scope, shutdown, watch: None }
    }

    /// `None` when it is time to end.
    pub async fn next(&mut self) -> Option<Seen> {
        loop {
            let Some(watch) = &mut self.watch else {
                let Ok(page) = self.store.list(&ListRequest::all(self.scope.clone())) else {
                    continue;
                };
                self.watch = self.store.watch(page.revision, self.scope.clone()).ok();
                return Some(Seen::State(page.items));
            };
            let next = tokio::select! {
                next = watch.next() => next?,
                () = self.shutdown.wait() => return None,
            };
            match next {
                Ok(events) => return Some(Seen::Events(events)),
                Err(_) => self.watch = None,
            }
        }
    }
}
