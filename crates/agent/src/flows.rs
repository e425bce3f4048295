//! Flow records on their way to the server: kept while it is away, bounded, losses counted. Those that a
//! Log rule has matched are events on the node as well.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bulkhead_wire::limits::FLOWS_PER_BATCH_MAX;
use bulkhead_wire::{FlowBatch, FlowRecord};
use tokio::sync::{Notify, mpsc};
use tokio::time::Instant;

use crate::log_events::LogEvents;
use crate::rpc::{RpcError, Server};

/// Records that wait for the server; beyond them the oldest goes.
pub const FLOWS_KEPT_MAX: usize = 16_384;
/// A first record waits so long for company.
const LINGER: Duration = Duration::from_millis(50);
/// How often it is told that log events are over the rate.
const SUPPRESSED_EVERY: Duration = Duration::from_secs(10);

#[derive(Debug, Default)]
pub struct FlowQueue {
    waiting: Mutex<Waiting>,
    arrived: Notify,
    log_events_suppressed: AtomicU64,
}

#[derive(Debug, Default)]
struct Waiting {
    records: VecDeque<FlowRecord>,
    n_lost: u64,
}

impl FlowQueue {
    pub fn push(&self, record: FlowRecord) {
        let mut waiting = self.lock();
        if waiting.records.len() >= FLOWS_KEPT_MAX {
            waiting.records.pop_front();
            waiting.n_lost += 1;
        }
        waiting.records.push_back(record);
        drop(waiting);
        self.arrived.notify_one();
    }

    /// Records that had to go because the server was away for too long.
    pub fn n_lost(&self) -> u64 {
        self.lock().n_lost
    }

    /// Log events that were over the rate.
    pub fn n_log_events_suppressed(&self) -> u64 {
        self.log_events_suppressed.load(Ordering::Relaxed)
    }

    pub fn is_empty(&self) -> bool {
        self.lock().records.is_empty()
    }

    fn take(&self) -> Vec<FlowRecord> {
        let mut waiting = self.lock();
        let n = waiting.records.len().min(FLOWS_PER_BATCH_MAX);
        let taken = waiting.records.drain(..n).collect();
        if waiting.records.is_empty() {
            // A burst must not hold its memory for ever.
            waiting.records.shrink_to(FLOWS_PER_BATCH_MAX);
        }
        taken
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Moves what the kernel side sees into the queue until it ends.
pub async fn collect(
    mut records: mpsc::Receiver<FlowRecord>,
    queue: &FlowQueue,
    events: &mut LogEvents,
) {
    let mut told_at = Instant::now();
    loop {
        let tell_at = told_at + SUPPRESSED_EVERY;
        tokio::select! {
            biased;
            () = tokio::time::sleep_until(tell_at), if events.has_suppressed() => {
                events.tell_suppressed();
                told_at = Instant::now();
            }
            record = records.recv() => {
                let Some(record) = record else { return };
                let n_suppressed = events.note(&record, Instant::now());
                queue.log_events_suppressed.fetch_add(n_suppressed, Ordering::Relaxed);
                queue.push(record);
            }
        }
    }
}

/// Sends batches in order. One that was not answered is sent again as it was, on the next connection,
/// so the server can tell a repetition from news.
#[derive(Debug)]
pub struct Shipper {
    boot: u64,
    unanswered: Option<FlowBatch>,
    sequence: u64,
}

impl Shipper {
    pub fn new(boot: u64) -> Self {
        Self { boot, unanswered: None, sequence: 0 }
    }

    /// Sends until the connection fails.
    pub async fn ship(&mut self, server: &Server, queue: &FlowQueue) -> RpcError {
        loop {
            if let Err(error) = self.ship_some(server, queue).await {
                return error;
            }
            if queue.is_empty() {
                queue.arrived.notified().await;
                tokio::time::sleep(LINGER).await;
            }
        }
    }

    /// Sends what waits, one batch.
    pub async fn ship_some(&mut self, server: &Server, queue: &FlowQueue) -> Result<(), RpcError> {
        let batch = match self.unanswered.take() {
            Some(batch) => batch,
            None => {
                let records = queue.take();
                if records.is_empty() {
                    return Ok(());
                }
                self.sequence += 1;
                FlowBatch { boot: self.boot, sequence: self.sequence, records }
            }
        };
        // Kept aside first: dropping this future half-way must not lose the batch.
        let sent = self.unanswered.insert(batch);
        server.report_flows(sent).await?;
        self.unanswered = None;
        Ok(())
    }
}

#[cfg(test)]
mod tests;
