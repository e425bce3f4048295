//! What can go wrong, by operation.

use std::path::PathBuf;

use crate::key::{Key, ResourceVersion};
use crate::limits::OBJECT_BYTES_MAX;

/// Why a batch was not written. Only `Unavailable` leaves it open whether it was.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CommitError {
    #[error("`{key}` exists already")]
    Exists { key: Key },
    #[error("`{key}` does not exist")]
    Absent { key: Key },
    #[error("`{key}` is at revision {found}, not {expected}")]
    Moved { key: Key, expected: ResourceVersion, found: ResourceVersion },
    #[error("`{key}` has {n_bytes} bytes as JSON, more than {OBJECT_BYTES_MAX}")]
    TooLarge { key: Key, n_bytes: usize },
    #[error("`{key}` has no metadata object")]
    Malformed { key: Key },
    /// The disk failed; the store takes no more writes until it is opened again.
    #[error("the store takes no writes: {reason}")]
    Unavailable { reason: String },
}

/// The history asked for has been compacted away.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("too old resource version: {asked} ({oldest})")]
pub struct Expired {
    pub asked: ResourceVersion,
    pub oldest: ResourceVersion,
}

#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("`{path}` cannot be opened as a database: {source}")]
    Database { path: PathBuf, source: Box<redb::DatabaseError> },
    #[error("the database cannot be read: {source}")]
    Read { source: Box<redb::Error> },
    #[error("the database has format {found}, this version reads format {expected}")]
    Format { found: u64, expected: u64 },
    #[error("the database is damaged at `{place}`")]
    Damaged { place: String },
    #[error("the committer thread cannot be started: {source}")]
    Thread { source: std::io::Error },
    #[error("`{path}` cannot be synced: {source}")]
    Sync { path: PathBuf, source: std::io::Error },
}

impl<E: Into<redb::Error>> From<E> for OpenError {
    fn from(source: E) -> Self {
        Self::Read { source: Box::new(source.into()) }
    }
}
