//! The recent flows, in memory: a ring that anybody can read from any place in it.
//!
//! INVARIANT(flow-order): every flow has a number one above the flow before. A reader remembers the
//! number it wants next, so it can tell how many it missed; nothing is buffered for it.

pub mod filter;
pub mod show;

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bulkhead_wire::{FlowRecord, Peer};
use tokio::sync::watch;

/// Flows that are kept; beyond them the oldest goes.
pub const FLOWS_KEPT_MAX: usize = 16_384;

/// A record with both ends named as far as they are known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptFlow {
    /// Its own `src` and `dst` are unset: they are in this struct.
    pub record: FlowRecord,
    pub src: Option<Arc<Peer>>,
    pub dst: Option<Arc<Peer>>,
}

pub struct FlowLog {
    ring: Mutex<Ring>,
    /// Number of the flow that comes next.
    next: watch::Sender<u64>,
    kept_max: usize,
}

#[derive(Debug, Default)]
struct Ring {
    flows: VecDeque<Arc<KeptFlow>>,
    /// Number of the first.
    first: u64,
}

/// What a reader gets.
#[derive(Debug, PartialEq, Eq)]
pub struct Chunk {
    /// Flows that went before they were read.
    pub missed: u64,
    pub flows: Vec<Arc<KeptFlow>>,
    /// Where to read on.
    pub next: u64,
}

impl Default for FlowLog {
    fn default() -> Self {
        Self::with_capacity(FLOWS_KEPT_MAX)
    }
}

impl FlowLog {
    pub fn with_capacity(kept_max: usize) -> Self {
        Self { ring: Mutex::default(), next: watch::channel(0).0, kept_max }
    }

    pub fn extend(&self, flows: Vec<KeptFlow>) {
        if flows.is_empty() {
            return;
        }
        let mut ring = self.lock();
        for flow in flows {
            if ring.flows.len() >= self.kept_max {
                ring.flows.pop_front();
                ring.first += 1;
            }
            ring.flows.push_back(Arc::new(flow));
        }
        let next = ring.next();
        drop(ring);
        self.next.send_replace(next);
    }

    /// Everything that is kept.
    pub fn all(&self) -> Chunk {
        let ring = self.lock();
        Chunk { missed: 0, flows: ring.flows.iter().cloned().collect(), next: ring.next() }
    }

    /// At most `n_max` flows from number `from` on.
    pub fn read(&self, from: u64, n_max: usize) -> Chunk {
        let ring = self.lock();
        let missed = ring.first.saturating_sub(from);
        let skipped = usize::try_from(from.saturating_sub(ring.first)).unwrap_or(usize::MAX);
        let flows: Vec<_> = ring.flows.iter().skip(skipped).take(n_max).cloned().collect();
        let next = from.max(ring.first) + flows.len() as u64;
        Chunk { missed, flows, next }
    }

    /// Returns when flow number `from` is there.
    pub async fn wait_for(&self, from: u64) {
        // The sender lives as long as we do.
        drop(self.next.subscribe().wait_for(|next| *next > from).await);
    }

    fn lock(&self) -> MutexGuard<'_, Ring> {
        self.ring.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Ring {
    fn next(&self) -> u64 {
        self.first + self.flows.len() as u64
    }
}

#[cfg(test)]
pub mod tests;
