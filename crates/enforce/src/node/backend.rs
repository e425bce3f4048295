//! What a back end is: something that keeps a node's tables in the kernel and judges packets by them.
//!
//! The worker knows when, a back end knows how. What it put into the kernel goes on judging when the
//! back end is dropped; only [`Backend::remove`] takes it away.

use std::collections::{BTreeMap, BTreeSet};
use std::os::fd::BorrowedFd;
use std::sync::Arc;
use std::time::Duration;

use bulkhead_types::Revision;
use bulkhead_wire::{FlowRecord, NodeProgram};
use tokio::sync::mpsc;

use crate::dns::DnsReport;
use crate::ebpf::Bindings;
use crate::netlink::Topology;
use crate::node::EnforceError;
use crate::node::bind::Held;

pub trait Backend {
    /// The revision that the kernel judges by, also where an earlier process brought it there.
    fn revision(&self) -> Revision;

    /// Closes interfaces at once, if it can without more. [`Backend::follow`] comes soon after.
    fn close_early(&mut self, _new: &BTreeMap<u32, &str>) {}

    /// Closes every interface of the topology that nothing judges yet, and forgets those that are
    /// gone. Returns the ones that it stands on; those of them that the program binds are opened by
    /// [`Backend::realize`].
    fn follow(&mut self, topology: &Topology) -> Result<BTreeSet<u32>, EnforceError>;

    /// Holds the kernel to the program. On an error the last good one stays.
    fn realize(
        &mut self,
        program: &Arc<NodeProgram>,
        bindings: &Bindings,
        topology: &Topology,
    ) -> Result<(), EnforceError>;

    /// Which interfaces endpoints of the program have in the kernel, also where an earlier process put
    /// them there.
    fn held(&self, _program: &NodeProgram) -> Held {
        Held::new()
    }

    /// Interfaces that an earlier process put under enforcement, whatever they are called now.
    fn inherited_interfaces(&self) -> BTreeSet<u32> {
        BTreeSet::new()
    }

    /// Mends what somebody else did to the kernel's side. Returns what was found lately, in sentences.
    fn mend(&mut self, _topology: &Topology) -> Result<Vec<String>, EnforceError> {
        Ok(Vec::new())
    }

    /// Becomes readable when [`Backend::mend`] may find something, if the kernel tells.
    fn alarm(&self) -> Option<BorrowedFd<'_>> {
        None
    }

    /// Whether some endpoint is judged on the interface.
    fn is_open(&self, ifindex: u32) -> bool;

    /// When [`Backend::settle`] wants to be called, if at all.
    fn settles_in(&self) -> Option<Duration>;

    /// Finishes what an update left for later.
    fn settle(&mut self);

    /// Becomes readable when there are events to drain.
    fn events(&self) -> BorrowedFd<'_>;

    /// Turns what the kernel told into records, and says whether there was anything. Called only once a
    /// program is enforced.
    fn drain(&mut self, sink: &mut Sink) -> bool;

    /// Becomes readable when resolvers have answered.
    fn answers(&self) -> BorrowedFd<'_>;

    /// Learns from what resolvers have answered, and sends it on. Says whether there may be more.
    fn hear(&mut self) -> bool;

    /// Tells the kernel that somebody hears. Called often while a program is enforced.
    fn beat(&mut self);

    /// What has become of answers, and what keeps names from being known, in sentences.
    fn dns(&self) -> (DnsReport, Vec<String>);

    /// A pass over the flows. Returns how many events the kernel has lost since the back end began.
    fn sweep(&mut self, sink: &mut Sink) -> Result<u64, EnforceError>;

    /// Takes everything out of the kernel: nothing is judged any more.
    fn remove(&mut self) -> Result<(), EnforceError>;
}

/// Where records go. What does not fit is counted.
#[derive(Debug)]
pub struct Sink {
    records: mpsc::Sender<FlowRecord>,
    n_lost: u64,
}

impl Sink {
    pub fn new(records: mpsc::Sender<FlowRecord>) -> Self {
        Self { records, n_lost: 0 }
    }

    pub fn push(&mut self, record: Option<FlowRecord>) {
        if let Some(record) = record
            && self.records.try_send(record).is_err()
        {
            self.n_lost += 1;
        }
    }

    pub fn n_lost(&self) -> u64 {
        self.n_lost
    }
}
