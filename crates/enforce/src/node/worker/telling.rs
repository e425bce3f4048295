//! What the worker tells of the node.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use bulkhead_types::EndpointId;

use super::Worker;

impl Worker {
    pub(super) fn report(&mut self) {
        let is_bound =
            |id: &EndpointId| self.bindings.get(id).is_some_and(|bound| !bound.is_empty());
        let endpoints = self.program.iter().flat_map(|program| program.endpoints.keys());
        let (attached, waiting) = endpoints.cloned().partition(is_bound);
        let interfaces = self.kept.topology.interfaces.iter();
        let closed_interfaces = interfaces
            .filter(|(ifindex, _)| !self.backend.is_open(**ifindex))
            .map(|(_, name)| name.clone())
            .collect();
        let mut judged: BTreeMap<u32, BTreeSet<IpAddr>> = BTreeMap::new();
        for (address, place) in self.bindings.values().flatten() {
            if self.given.contains_key(&place.ifindex) {
                judged.entry(place.ifindex).or_default().insert(*address);
            }
        }
        self.reports.send_modify(|report| {
            report.judged = judged;
            report.attached = attached;
            report.waiting = waiting;
            report.closed_interfaces = closed_interfaces;
            report.doubts.clone_from(&self.doubts);
        });
    }

    pub(super) fn sweep(&mut self) {
        let n_lost_events = match self.backend.sweep(&mut self.sink) {
            Ok(n_lost_events) => n_lost_events,
            Err(error) => return tracing::warn!(%error, "the flow table could not be swept"),
        };
        let n_lost = self.sink.n_lost() + n_lost_events;
        let (dns, warnings) = self.backend.dns();
        self.reports.send_if_modified(|report| {
            let now = (n_lost, dns, warnings);
            let old = (report.lost_records, report.dns, std::mem::take(&mut report.warnings));
            let is_new = now != old;
            (report.lost_records, report.dns, report.warnings) = now;
            is_new
        });
    }
}
