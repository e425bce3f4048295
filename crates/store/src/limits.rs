//! Every bound of the store, in one place.

/// Largest object as JSON, with what the server adds to it. etcd's own bound.
pub const OBJECT_BYTES_MAX: usize = 1536 * 1024;
/// Writes that one durable transaction may carry; more wait for the next.
pub const GROUP_WRITES_MAX: usize = 512;
/// Batches that may wait for the disk; a further writer waits before it may queue.
pub const QUEUE_BATCHES_MAX: usize = 1024;
/// Events a watcher takes from the log at a time.
pub const WATCH_CHUNK_EVENTS: usize = 256;
/// What redb may keep in memory: reads come from our own cache, so only its write path needs any.
pub const DISK_CACHE_BYTES: usize = 4 * 1024 * 1024;

/// How much history is kept for watches, paged lists and reads of an earlier revision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Events in the log; the oldest go first.
    pub log_events_max: usize,
    /// JSON bytes that the log holds on to, so that a few huge objects do not fill the memory.
    pub log_bytes_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { log_events_max: 10_000, log_bytes_max: 8 * 1024 * 1024 }
    }
}
