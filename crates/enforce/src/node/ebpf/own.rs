//! What a program wants at the node's own interfaces.

use std::collections::BTreeSet;
use std::sync::Arc;

use bulkhead_types::EndpointId;
use bulkhead_wire::NodeProgram;

use super::Ebpf;
use crate::ebpf::Ground;
use crate::ebpf::denies::{DenySet, deny_set};
use crate::netlink::Topology;
use crate::node::EnforceError;

impl Ebpf {
    /// The programs of early stages on the node's own interfaces, where a host endpoint has such
    /// stages: there before the host endpoint is, and gone only with the interface.
    pub(super) fn watch_wires(
        &mut self,
        program: &NodeProgram,
        ground: &Ground,
        topology: &Topology,
    ) -> Result<(), EnforceError> {
        for (ifindex, id) in &ground.hosts {
            let host = program.hosts.get(id);
            let is_early = host.is_some_and(|host| host.stages.keys().any(|(s, _)| s.is_early()));
            if let Some(link) = topology.links.get(ifindex).filter(|_| is_early) {
                self.kernel.attach_wire(*ifindex, &link.name)?;
            }
        }
        Ok(())
    }

    /// What the driver drops, worked out again only where the program's classes or hosts have moved.
    pub(super) fn deny_set(&mut self, program: &Arc<NodeProgram>, ground: &Ground) -> DenySet {
        let standing: BTreeSet<EndpointId> = ground.hosts.values().cloned().collect();
        let is_same = |(before, then, _): &(Arc<NodeProgram>, BTreeSet<EndpointId>, DenySet)| {
            before.classes.is_same(&program.classes)
                && before.entries.is_same(&program.entries)
                // Few, and made anew by who keeps the way to the server open.
                && before.hosts == program.hosts
                && *then == standing
        };
        let is_known = self.denied.as_ref().is_some_and(is_same);
        let set = match self.denied.take().filter(|_| is_known) {
            Some((_, _, mut set)) => {
                // The rest of it may have moved.
                if let Some(rest) = &mut set.rest {
                    let classes = rest.classes.clone();
                    *rest = Arc::new(NodeProgram { classes, ..NodeProgram::clone(program) });
                }
                set
            }
            None => deny_set(program, &standing),
        };
        self.denied = Some((Arc::clone(program), standing, set.clone()));
        set
    }

    /// The interfaces at which the host endpoint of the deny set stands; none where the driver takes
    /// no program: then the classes must do.
    pub(super) fn watch_drivers(
        &mut self,
        set: &DenySet,
        ground: &Ground,
        topology: &Topology,
    ) -> bool {
        let Some(host) = &set.host else {
            self.kernel.keep_drivers(&BTreeSet::new());
            return false;
        };
        let wanted: BTreeSet<u32> = ground
            .hosts
            .iter()
            .filter(|(at, id)| **at != 0 && *id == host)
            .map(|(at, _)| *at)
            .collect();
        for ifindex in &wanted {
            let Some(link) = topology.links.get(ifindex) else { continue };
            if let Err(error) = self.kernel.attach_driver(*ifindex, &link.name) {
                tracing::warn!(%error, interface = link.name, "no deny set in the driver");
                return false;
            }
        }
        self.kernel.keep_drivers(&wanted);
        !wanted.is_empty()
    }
}
