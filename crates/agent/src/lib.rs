//! `bulkhead-agent`: holds one node to its latest program and reports what it saw.
//!
//! ```text
//!  server ──programs, deltas──▶ session ──desired──▶ keeper ──▶ enforce (kernel)
//!         ◀──acks, status────── session ◀─realized── keeper ──▶ saved (disk)
//!         ◀──flow batches────── flows   ◀─────────── records of the kernel
//! ```
//!
//! Architecture Invariants:
//! * Enforcement needs nobody: it starts from disk, goes on without the server, and stays pinned when
//!   the agent ends.
//! * A program is never replaced by an older one, and a refused one leaves the last good one in place.
//! * Nothing here knows a policy or an API object; the server is trusted only by its certificate.

pub mod alone;
pub mod boot;
pub mod config;
pub mod enforcer;
pub mod files;
pub mod flows;
pub mod given;
pub mod identity;
pub mod join;
pub mod keeper;
pub mod local;
pub mod log_events;
pub mod place;
pub mod rpc;
pub mod run;
pub mod saved;
pub mod session;
pub mod tls;
pub mod way;

pub use run::run;
