//! The redb file: current objects, and an undo log.
//!
//! An event on disk is the key and the state *before* the change; the state after it is the one
//! before the next event of that key, or the current object. So a write costs the object twice, and
//! history is rebuilt by walking the log backwards from the current objects.

use std::collections::{BTreeMap, VecDeque};
use std::path::Path;
use std::sync::Arc;

use redb::{Database, Durability, ReadableDatabase, ReadableTable, TableDefinition};
use serde_json::Value;

use crate::cache::Cache;
use crate::error::OpenError;
use crate::event::{Event, Stored, resource_version};
use crate::key::{Key, ResourceVersion};
use crate::limits::DISK_CACHE_BYTES;

const FORMAT: u64 = 1;
/// Encoded key -> object as JSON.
const OBJECTS: TableDefinition<&str, &[u8]> = TableDefinition::new("objects");
/// Revision -> encoded key and the state before as JSON.
const LOG: TableDefinition<u64, (&str, Option<&[u8]>)> = TableDefinition::new("log");
const COUNTERS: TableDefinition<&str, u64> = TableDefinition::new("counters");
const COUNTER_FORMAT: &str = "format";
const COUNTER_REVISION: &str = "revision";
const COUNTER_COMPACTED: &str = "compacted";
/// Lists of an empty store need a revision that is not 0, which means "any" in the API.
const FIRST: ResourceVersion = ResourceVersion(1);

pub(crate) struct Disk {
    db: Database,
}

impl Disk {
    pub(crate) fn open(path: &Path) -> Result<Self, OpenError> {
        let is_new = !path.exists();
        let db = Database::builder().set_cache_size(DISK_CACHE_BYTES).create(path).map_err(
            |source| OpenError::Database { path: path.to_owned(), source: Box::new(source) },
        )?;
        if is_new && let Some(folder) = path.parent() {
            // The file's name must survive a power cut as well as its content.
            std::fs::File::open(folder)
                .and_then(|folder| folder.sync_all())
                .map_err(|source| OpenError::Sync { path: folder.to_owned(), source })?;
        }
        Self { db }.prepare()
    }

    pub(crate) fn in_memory() -> Result<Self, OpenError> {
        let backend = redb::backends::InMemoryBackend::new();
        Self { db: Database::builder().create_with_backend(backend)? }.prepare()
    }

    fn prepare(self) -> Result<Self, OpenError> {
        let transaction = self.db.begin_write()?;
        {
            let mut counters = transaction.open_table(COUNTERS)?;
            transaction.open_table(OBJECTS)?;
            transaction.open_table(LOG)?;
            let found = counters.get(COUNTER_FORMAT)?.map(|found| found.value());
            match found {
                None => {
                    counters.insert(COUNTER_FORMAT, FORMAT)?;
                    counters.insert(COUNTER_REVISION, FIRST.0)?;
                    counters.insert(COUNTER_COMPACTED, FIRST.0)?;
                }
                Some(FORMAT) => {}
                Some(found) => return Err(OpenError::Format { found, expected: FORMAT }),
            }
        }
        transaction.commit()?;
        Ok(self)
    }

    /// Rebuilds the cache; anything that does not fit together is an error, never a guess.
    pub(crate) fn load(&self) -> Result<Cache, OpenError> {
        let transaction = self.db.begin_read()?;
        let counters = transaction.open_table(COUNTERS)?;
        let counter = |name: &str| -> Result<ResourceVersion, OpenError> {
            let found = counters.get(name)?.ok_or_else(|| damaged(name))?;
            Ok(ResourceVersion(found.value()))
        };
        let (revision, compacted) = (counter(COUNTER_REVISION)?, counter(COUNTER_COMPACTED)?);

        let mut objects = BTreeMap::new();
        for row in transaction.open_table(OBJECTS)?.iter()? {
            let (key, bytes) = row?;
            let stored = decode(key.value(), bytes.value())?;
            if stored.revision > revision {
                return Err(damaged(&stored.key.to_string()));
            }
            objects.insert(stored.key.clone(), stored);
        }

        let mut log = VecDeque::new();
        let mut after: BTreeMap<Key, Option<Arc<Stored>>> = BTreeMap::new();
        let mut expected = revision;
        for row in transaction.open_table(LOG)?.iter()?.rev() {
            let (at, entry) = row?;
            let place = || format!("log revision {}", at.value());
            if at.value() != expected.0 {
                return Err(damaged(&place()));
            }
            expected = ResourceVersion(expected.0 - 1);
            let (key_text, old) = entry.value();
            let key = Key::decode(key_text).ok_or_else(|| damaged(&place()))?;
            let old = old.map(|bytes| decode(key_text, bytes)).transpose()?;
            let new = match after.insert(key.clone(), old.clone()) {
                Some(new) => new,
                None => objects.get(&key).cloned(),
            };
            let revision = ResourceVersion(at.value());
            if new.as_ref().is_some_and(|new| new.revision != revision) {
                return Err(damaged(&place()));
            }
            log.push_front(Arc::new(Event { revision, key, old, new }));
        }
        if expected != compacted {
            return Err(damaged(&format!("log revision {expected}")));
        }
        Ok(Cache::new(objects, log, revision, compacted))
    }

    /// One durable transaction: returns after the fsync.
    pub(crate) fn write(
        &self,
        events: &[Arc<Event>],
        compacted: ResourceVersion,
    ) -> Result<(), redb::Error> {
        let Some(last) = events.last() else { return Ok(()) };
        let mut transaction = self.db.begin_write()?;
        transaction.set_durability(Durability::Immediate)?;
        {
            let mut objects = transaction.open_table(OBJECTS)?;
            let mut log = transaction.open_table(LOG)?;
            let mut counters = transaction.open_table(COUNTERS)?;
            for event in events {
                let key = event.key.encode();
                let old = event.old.as_ref().map(|old| old.value.to_string());
                log.insert(event.revision.0, (key.as_str(), old.as_deref().map(str::as_bytes)))?;
                match &event.new {
                    Some(new) => {
                        objects.insert(key.as_str(), new.value.to_string().as_bytes())?;
                    }
                    None => {
                        objects.remove(key.as_str())?;
                    }
                }
            }
            log.retain_in(..=compacted.0, |_, _| false)?;
            counters.insert(COUNTER_REVISION, last.revision.0)?;
            counters.insert(COUNTER_COMPACTED, compacted.0)?;
        }
        transaction.commit()?;
        Ok(())
    }
}

fn decode(key: &str, bytes: &[u8]) -> Result<Arc<Stored>, OpenError> {
    let read = || {
        let key = Key::decode(key)?;
        let value: Value = serde_json::from_slice(bytes).ok()?;
        let revision = resource_version(&value)?;
        Some(Arc::new(Stored { key, revision, value, n_bytes: bytes.len() }))
    };
    read().ok_or_else(|| damaged(key))
}

fn damaged(place: &str) -> OpenError {
    OpenError::Damaged { place: place.replace('\0', "/") }
}
