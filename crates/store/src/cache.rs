//! All current objects and the recent log, in memory.
//!
//! INVARIANT (log-undoes): taking back the events after a revision, newest first, turns the current
//! objects into those of that revision. Lists at an earlier revision and the reload after a restart
//! both lean on it, so no state is stored twice.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Bound;
use std::sync::Arc;

use crate::error::Expired;
use crate::event::{Event, Stored};
use crate::key::{Key, ResourceVersion, Scope};
use crate::limits::Limits;
use crate::store::{ListRequest, Page};

#[derive(Debug, Default)]
pub(crate) struct Cache {
    objects: BTreeMap<Key, Arc<Stored>>,
    /// Revisions `compacted + 1 ..= revision`, one event each.
    log: VecDeque<Arc<Event>>,
    log_bytes: usize,
    revision: ResourceVersion,
    compacted: ResourceVersion,
}

impl Cache {
    /// `log` must hold exactly the events between `compacted` and `revision`.
    pub(crate) fn new(
        objects: BTreeMap<Key, Arc<Stored>>,
        log: VecDeque<Arc<Event>>,
        revision: ResourceVersion,
        compacted: ResourceVersion,
    ) -> Self {
        let log_bytes = log.iter().map(|event| event.n_bytes()).sum();
        Self { objects, log, log_bytes, revision, compacted }
    }

    pub(crate) fn revision(&self) -> ResourceVersion {
        self.revision
    }

    pub(crate) fn get(&self, key: &Key) -> Option<&Arc<Stored>> {
        self.objects.get(key)
    }

    /// How far the log has to be cut once `more` events are in it.
    pub(crate) fn compaction_with(&self, more: &[Arc<Event>], limits: Limits) -> ResourceVersion {
        let mut n_events = self.log.len() + more.len();
        let mut n_bytes = self.log_bytes + more.iter().map(|event| event.n_bytes()).sum::<usize>();
        let mut compacted = self.compacted;
        for event in self.log.iter().chain(more) {
            if n_events <= limits.log_events_max && n_bytes <= limits.log_bytes_max {
                break;
            }
            n_events -= 1;
            n_bytes -= event.n_bytes();
            compacted = event.revision;
        }
        compacted
    }

    /// Takes in events that are on disk.
    pub(crate) fn publish(&mut self, events: Vec<Arc<Event>>, compacted: ResourceVersion) {
        for event in events {
            match &event.new {
                Some(new) => self.objects.insert(event.key.clone(), Arc::clone(new)),
                None => self.objects.remove(&event.key),
            };
            self.revision = event.revision;
            self.log_bytes += event.n_bytes();
            self.log.push_back(event);
        }
        while let Some(event) = self.log.pop_front_if(|event| event.revision <= compacted) {
            self.log_bytes -= event.n_bytes();
        }
        self.compacted = self.compacted.max(compacted);
    }

    pub(crate) fn list(&self, request: &ListRequest<'_>) -> Result<Page, Expired> {
        let at = request.at.unwrap_or(self.revision);
        let undone = self.undone(at, &request.scope)?;
        let start = match &request.after {
            Some(key) => Bound::Excluded(key.clone()),
            None => Bound::Included(request.scope.start()),
        };
        let mut current = self
            .objects
            .range((start.clone(), Bound::Unbounded))
            .take_while(|(key, _)| request.scope.covers(key))
            .filter(|(key, _)| !undone.contains_key(key))
            .map(|(_, stored)| stored)
            .peekable();
        let mut earlier = undone
            .range::<Key, _>((start.as_ref(), Bound::Unbounded))
            .filter_map(|(_, old)| *old)
            .peekable();
        let mut page = Page { revision: at, items: Vec::new(), n_remaining: 0 };
        loop {
            let stored = match (current.peek(), earlier.peek()) {
                (Some(a), Some(b)) if b.key < a.key => earlier.next(),
                (Some(_), _) => current.next(),
                (None, _) => earlier.next(),
            };
            let Some(stored) = stored else { return Ok(page) };
            if !(request.keep)(stored) {
                continue;
            }
            if page.items.len() < request.limit {
                page.items.push(Arc::clone(stored));
            } else {
                page.n_remaining += 1;
            }
        }
    }

    /// For each key of `scope` that changed after `at`, its state at that revision.
    fn undone(
        &self,
        at: ResourceVersion,
        scope: &Scope,
    ) -> Result<BTreeMap<&Key, Option<&Arc<Stored>>>, Expired> {
        Ok(self
            .log_after(at)?
            .rev()
            .filter(|event| scope.covers(&event.key))
            .map(|event| (&event.key, event.old.as_ref()))
            .collect())
    }

    pub(crate) fn check_reachable(&self, from: ResourceVersion) -> Result<(), Expired> {
        self.log_after(from).map(|_| ())
    }

    /// At most `n_max` events of `scope` after `from`, and the revision they reach up to.
    pub(crate) fn read_after(
        &self,
        from: ResourceVersion,
        scope: &Scope,
        n_max: usize,
    ) -> Result<(Vec<Arc<Event>>, ResourceVersion), Expired> {
        let events: Vec<_> = self
            .log_after(from)?
            .filter(|event| scope.covers(&event.key))
            .take(n_max)
            .map(Arc::clone)
            .collect();
        let reached = match events.last() {
            Some(last) if events.len() == n_max => last.revision,
            _ => self.revision.max(from),
        };
        Ok((events, reached))
    }

    fn log_after(
        &self,
        from: ResourceVersion,
    ) -> Result<impl DoubleEndedIterator<Item = &Arc<Event>>, Expired> {
        if from < self.compacted {
            return Err(Expired { asked: from, oldest: self.compacted });
        }
        let n_before = usize::try_from(from.0 - self.compacted.0).unwrap_or(usize::MAX);
        Ok(self.log.range(n_before.min(self.log.len())..))
    }
}
