//! The object database: one revision counter, durable commits, consistent lists and watches.
//!
//! ```text
//!  commit ─▶ queue ─▶ committer: plan ─▶ one redb transaction, fsync ─▶ cache ─▶ answers, watches
//!                                                                        │
//!  get · list (now, or at an earlier revision) · watch  ◀── read only ───┘
//! ```
//!
//! Invariants:
//! * A commit is answered only after its transaction is on disk; a batch is there whole or not at all.
//! * Every write takes the next [`ResourceVersion`]; revisions have no gaps and never go back.
//! * Readers see committed states only, and never wait for the disk.
//! * The store decides nothing: what may be written is the caller's business, guarded by [`Expect`].
//!
//! [`Mirror`] is the same contract over objects that another API server keeps: read only, never on disk.

mod cache;
mod committer;
mod disk;
mod error;
mod event;
mod key;
pub mod limits;
mod mirror;
mod plan;
mod redb_store;
mod store;
mod watch;
mod write;

pub use error::{CommitError, Expired, OpenError};
pub use event::{Event, Stored};
pub use key::{Key, ResourceVersion, Scope};
pub use limits::Limits;
pub use mirror::{Change, Mirror};
pub use redb_store::RedbStore;
pub use store::{BoxFuture, ListRequest, Page, Store};
pub use watch::{EventSource, Watch};
pub use write::{Batch, Committed, Expect, Write};
