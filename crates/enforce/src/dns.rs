//! What endpoints look up: which address each knows by which names, and how it is learned.
//!
//! ```text
//! resolver ─▶ bpf/src/dns.h ─(held)─▶ ear ─▶ Cache, Journal ─▶ kernel maps ─▶ frame ─▶ workload
//! ```
//!
//! INVARIANT(known-before-told): an answer reaches the workload only when the kernel holds every address
//! in it that its program tells apart, or when nobody is there to learn from it.

mod cache;
mod ear;
mod frame;
mod journal;
mod message;
mod stream;
mod tighter;

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::path::PathBuf;

use crate::limits::dns::{TTL_MAX_S, TTL_MIN_S};

pub use cache::{Answer, Cache, Forgotten, Full};
pub use ear::{Ear, Lesson};
pub use frame::pieces;
pub use journal::Journal;
pub use tighter::is_tighter;

/// How names are learned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DnsOptions {
    /// Whose answers count, as workloads see their addresses.
    pub resolvers: BTreeSet<IpAddr>,
    /// What was looked up is known for so long at least, whatever the answer says, and at most.
    pub ttl_min_s: u32,
    pub ttl_max_s: u32,
    /// Where what was learned outlives the process; it does not where `None`.
    pub journal: Option<PathBuf>,
}

impl Default for DnsOptions {
    fn default() -> Self {
        let (ttl_min_s, ttl_max_s) = (TTL_MIN_S, TTL_MAX_S);
        Self { resolvers: BTreeSet::new(), ttl_min_s, ttl_max_s, journal: None }
    }
}

/// What has become of answers since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DnsReport {
    /// Addresses that endpoints know by names now.
    pub n_addresses: u64,
    /// Messages that were learned from.
    pub n_learned: u64,
    /// Answers that went on untaught: broken, or of a stream whose beginning was not seen.
    pub n_unread: u64,
    /// Answers that nobody had asked for.
    pub n_unasked: u64,
    /// Answers that were kept back, because there was no room for what they said.
    pub n_withheld: u64,
    /// Answers that could not be sent on.
    pub n_unsent: u64,
    /// Answers that the kernel did not hold: no sign of an agent, no room, or of a shape it cannot hold.
    pub n_unheld: u64,
}
