//! Workloads' interfaces whose names say nothing: network plugins call them as they like.

use std::collections::BTreeSet;

use super::Worker;
use crate::netlink::Heard;

impl Worker {
    /// Takes interfaces for workloads' because the host routes the address of a workload of this node to
    /// them, and their other ends are in other network namespaces.
    pub(super) fn adopt(&mut self) {
        let strangers = self.strangers();
        if !strangers.is_empty() {
            self.known.extend(strangers);
            self.try_to_look(Heard::default());
        }
    }

    fn strangers(&self) -> BTreeSet<u32> {
        let endpoints = self.program.iter().flat_map(|program| program.endpoints.iter());
        let waiting = endpoints.filter(|(id, endpoint)| {
            let is_bound = self.bindings.get(*id).is_some_and(|bound| !bound.is_empty());
            !is_bound && endpoint.interface.is_none()
        });
        let addresses = waiting.flat_map(|(_, endpoint)| endpoint.addresses.keys());
        let pairs = addresses.filter_map(|address| self.kept.pair_behind(*address));
        pairs.filter(|ifindex| !self.attached.contains(ifindex)).collect()
    }
}
