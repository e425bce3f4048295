//! Flow records as they come in: whose they are, who stood behind their addresses, and into the log.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use bulkhead_types::{Direction, EndpointId};
use bulkhead_wire::{FlowBatch, FlowReceipt, FlowRecord, Peer};

use crate::controller::directory::Directory;
use crate::flows::{FlowLog, KeptFlow};

pub struct Ingest {
    directory: Arc<Directory>,
    log: Arc<FlowLog>,
    /// The last batch of each node: (boot, sequence).
    last: Mutex<HashMap<String, (u64, u64)>>,
}

#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum IngestError {
    #[error(
        "record {index} is node `{named}`'s, not `{node}`'s: a node reports its own flows only"
    )]
    OtherNode { index: usize, named: String, node: String },
}

impl Ingest {
    pub fn new(directory: Arc<Directory>, log: Arc<FlowLog>) -> Self {
        Self { directory, log, last: Mutex::default() }
    }

    /// Takes a batch whole or not at all; one that was taken before is only confirmed.
    pub fn take(&self, node: &str, batch: FlowBatch) -> Result<FlowReceipt, IngestError> {
        let receipt = FlowReceipt { sequence: batch.sequence };
        let other = batch.records.iter().position(|record| *record.node != *node);
        if let Some((index, record)) = other.and_then(|i| Some((i, batch.records.get(i)?))) {
            let named = record.node.to_string();
            return Err(IngestError::OtherNode { index, named, node: node.to_owned() });
        }
        // Held to the end: two copies of one batch must not pass side by side.
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let previous = last.get(node).copied();
        if previous.is_some_and(|(boot, seen)| boot == batch.boot && batch.sequence <= seen) {
            return Ok(receipt);
        }
        let records: Vec<KeptFlow> =
            batch.records.into_iter().filter_map(|record| self.enrich(node, record)).collect();
        self.log.extend(records);
        last.insert(node.to_owned(), (batch.boot, batch.sequence));
        Ok(receipt)
    }

    /// Names both ends. `None` for a record in the name of another node's workload.
    fn enrich(&self, node: &str, mut record: FlowRecord) -> Option<KeptFlow> {
        let local = match record.direction {
            Direction::Ingress => record.packet.dst,
            Direction::Egress => record.packet.src,
        };
        let own = self.directory.find(local).filter(|found| found.peer.id == record.reporter);
        if let Some(elsewhere) = own.and_then(|own| own.node.clone()).filter(|at| at != node) {
            tracing::warn!(
                %node, reporter = %record.reporter, %elsewhere,
                "a node reports a flow of another node's workload: not taken"
            );
            return None;
        }
        let reporter = &record.reporter;
        let src = self.end(record.src.take(), record.packet.src, local, reporter);
        let dst = self.end(record.dst.take(), record.packet.dst, local, reporter);
        Some(KeptFlow { record, src, dst })
    }

    /// The node knows its own workload best; for the other end the directory does.
    fn end(
        &self,
        said: Option<Arc<Peer>>,
        address: IpAddr,
        local: IpAddr,
        reporter: &Arc<EndpointId>,
    ) -> Option<Arc<Peer>> {
        let found = self.directory.find(address).map(|resident| Arc::clone(&resident.peer));
        if address != local {
            return found;
        }
        match (found, said) {
            // Shared, so that the log does not hold a copy of the labels for every flow.
            (Some(found), None) if &found.id == reporter => Some(found),
            (Some(found), Some(said)) if found == said => Some(found),
            (_, Some(said)) => Some(said),
            (_, None) => {
                Some(Arc::new(Peer { id: Arc::clone(reporter), labels: Default::default() }))
            }
        }
    }
}

#[cfg(test)]
mod tests;
