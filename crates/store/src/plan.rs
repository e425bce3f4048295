//! From batches to events: decided here as values, written elsewhere.

use std::collections::HashMap;
use std::sync::Arc;

use crate::cache::Cache;
use crate::error::CommitError;
use crate::event::{Event, Stored, set_resource_version};
use crate::key::{Key, ResourceVersion};
use crate::limits::OBJECT_BYTES_MAX;
use crate::write::{Batch, Committed, Expect, Write};

/// The events of one durable transaction, on top of what the cache holds.
pub(crate) struct Plan<'a> {
    cache: &'a Cache,
    changed: HashMap<Key, Option<Arc<Stored>>>,
    events: Vec<Arc<Event>>,
    revision: ResourceVersion,
}

impl<'a> Plan<'a> {
    pub(crate) fn new(cache: &'a Cache) -> Self {
        let revision = cache.revision();
        Self { cache, changed: HashMap::new(), events: Vec::new(), revision }
    }

    /// Adds a batch; one that is refused leaves no trace.
    pub(crate) fn add(&mut self, batch: Batch) -> Result<Committed, CommitError> {
        for (key, expect) in &batch.guards {
            check(key, self.current(key), *expect)?;
        }
        let mut events: Vec<Arc<Event>> = Vec::new();
        let mut objects = Vec::with_capacity(batch.writes.len());
        let mut revision = self.revision;
        for write in batch.writes {
            let event = {
                // A batch that writes a key twice sees its own first write.
                let own = |key: &Key| events.iter().rev().find(|event| event.key == *key);
                let current = |key: &Key| match own(key) {
                    Some(event) => event.new.clone(),
                    None => self.current(key).cloned(),
                };
                decide(write, revision.next(), current)?
            };
            objects.push(event.as_ref().and_then(|event| event.state().cloned()));
            if let Some(event) = event {
                revision = event.revision;
                events.push(Arc::new(event));
            }
        }
        for event in &events {
            self.changed.insert(event.key.clone(), event.new.clone());
        }
        self.events.append(&mut events);
        self.revision = revision;
        Ok(Committed { revision, objects })
    }

    pub(crate) fn n_writes(&self) -> usize {
        self.events.len()
    }

    pub(crate) fn into_events(self) -> Vec<Arc<Event>> {
        self.events
    }

    fn current(&self, key: &Key) -> Option<&Arc<Stored>> {
        match self.changed.get(key) {
            Some(changed) => changed.as_ref(),
            None => self.cache.get(key),
        }
    }
}

/// The event of one write; none when there is nothing to delete.
fn decide(
    write: Write,
    revision: ResourceVersion,
    current: impl Fn(&Key) -> Option<Arc<Stored>>,
) -> Result<Option<Event>, CommitError> {
    match write {
        Write::Put { key, expect, mut value } => {
            let old = current(&key);
            check(&key, old.as_ref(), expect)?;
            if !set_resource_version(&mut value, revision) {
                return Err(CommitError::Malformed { key });
            }
            let n_bytes = value.to_string().len();
            if n_bytes > OBJECT_BYTES_MAX {
                return Err(CommitError::TooLarge { key, n_bytes });
            }
            let new = Arc::new(Stored { key: key.clone(), revision, value, n_bytes });
            Ok(Some(Event { revision, key, old, new: Some(new) }))
        }
        Write::Delete { key, expect } => {
            let old = current(&key);
            check(&key, old.as_ref(), expect)?;
            Ok(old.map(|old| Event { revision, key, old: Some(old), new: None }))
        }
    }
}

fn check(key: &Key, current: Option<&Arc<Stored>>, expect: Expect) -> Result<(), CommitError> {
    match (expect, current) {
        (Expect::Anything, _) | (Expect::Absent, None) | (Expect::Present, Some(_)) => Ok(()),
        (Expect::Absent, Some(_)) => Err(CommitError::Exists { key: key.clone() }),
        (Expect::Present | Expect::At(_), None) => Err(CommitError::Absent { key: key.clone() }),
        (Expect::At(expected), Some(stored)) if stored.revision == expected => Ok(()),
        (Expect::At(expected), Some(stored)) => {
            Err(CommitError::Moved { key: key.clone(), expected, found: stored.revision })
        }
    }
}
