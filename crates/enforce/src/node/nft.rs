//! The nftables back end as the worker sees it.

use std::collections::BTreeSet;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::time::Duration;

use bulkhead_types::Revision;
use bulkhead_wire::NodeProgram;

use crate::ebpf::Bindings;
use crate::netlink::Topology;
use crate::nft::banks::locals;
use crate::nft::conntrack;
use crate::nft::socket::Socket;
use crate::nft::table::{Table, table_name};
use crate::node::backend::{Backend, Sink};
use crate::node::{EnforceError, NodeOptions};

/// Of the kernel's log: the group that denied packets are told to.
const LOG_GROUP: u16 = 0x4268;

pub struct Nft {
    table: Table,
    /// For questions about tracked flows.
    tracking: Socket,
    events: Socket,
    program: Option<(Arc<NodeProgram>, Bindings)>,
}

impl Nft {
    /// Closes the workloads' interfaces at once, where nothing of an earlier process judges them.
    pub fn open(options: &NodeOptions) -> Result<Self, EnforceError> {
        let mut nft = Self::beside(options)?;
        nft.table.close()?;
        Ok(nft)
    }

    /// Touches nothing until it has a program, because another back end judges.
    pub fn beside(options: &NodeOptions) -> Result<Self, EnforceError> {
        let name = table_name(&options.pin_dir);
        let table = Table::open(&name, &options.interface_prefixes, LOG_GROUP, options.sizes)?;
        Ok(Self { table, tracking: Socket::open()?, events: Socket::open()?, program: None })
    }

    /// Whether the kernel has what this back end takes: by a table that is never committed to.
    pub fn probe() -> Result<(), EnforceError> {
        Table::probe()
    }
}

impl Backend for Nft {
    fn revision(&self) -> Revision {
        self.table.revision()
    }

    /// The rules close interfaces by the prefix of their name, from their first packet on.
    fn follow(&mut self, topology: &Topology) -> Result<BTreeSet<u32>, EnforceError> {
        Ok(topology.interfaces.keys().copied().collect())
    }

    fn realize(
        &mut self,
        program: &Arc<NodeProgram>,
        bindings: &Bindings,
    ) -> Result<(), EnforceError> {
        let locals = locals(program, bindings);
        let newcomers = self.table.newcomers(&locals);
        if !newcomers.is_empty() {
            // While their interface is closed, so that nothing of the old can come back.
            conntrack::forget(&mut self.tracking, &newcomers)?;
        }
        self.table.enforce(program, locals)?;
        self.program = Some((Arc::clone(program), bindings.clone()));
        Ok(())
    }

    fn is_open(&self, ifindex: u32) -> bool {
        self.table.is_open(ifindex)
    }

    fn settles_in(&self) -> Option<Duration> {
        None
    }

    fn settle(&mut self) {}

    fn events(&self) -> BorrowedFd<'_> {
        self.events.as_fd()
    }

    fn drain(&mut self, _sink: &mut Sink) {
        self.events.take(|_| {});
    }

    fn sweep(&mut self, _sink: &mut Sink) -> Result<u64, EnforceError> {
        Ok(0)
    }

    fn remove(&mut self) -> Result<(), EnforceError> {
        Table::remove(self.table.name())
    }
}
