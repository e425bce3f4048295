//! Ways in from outside as connections: an Ingress, HTTPRoute or published Service to the workloads
//! behind it.
//!
//! Whoever runs the way in sends its traffic on from somewhere outside, so what the workload lets in
//! from anywhere outside to that port is what comes through.

use std::collections::BTreeMap;
use std::sync::Arc;

use bulkhead_api::Object;
use bulkhead_api::entry::{self, Entry};
use bulkhead_api::service::Services;
use bulkhead_types::EndpointId;

use super::Reach;
use super::matrix::{Connection, End, Extent, Pods};
use super::traffic::Traffic;
use crate::engine::Engine;

impl Reach {
    /// What comes in through each, by workload. A way in that leads nowhere is left out.
    pub(super) fn entries(
        &mut self,
        engine: &Engine,
        objects: &[Object],
        name_of: &dyn Fn(&EndpointId) -> String,
    ) -> Vec<Connection> {
        let (entries, _) = entry::entries(objects);
        if entries.is_empty() {
            return Vec::new();
        }
        let services = Services::of(objects);
        let mut found: BTreeMap<(Arc<str>, String), Traffic> = BTreeMap::new();
        for entry in &entries {
            for target in entry.targets(&services).unwrap_or_default() {
                let Some(endpoint) = engine.endpoint_at(target.address) else { continue };
                let workload = name_of(&endpoint.id);
                let wanted = Traffic::to_port(target.protocol, target.port);
                for slot in self.slots_of(&endpoint.id).to_vec() {
                    let allowed = self.let_in(slot).and(&wanted);
                    let known = found.entry((name(entry), workload.clone())).or_default();
                    *known = known.or(&allowed);
                }
            }
        }
        let some = found.into_iter().filter(|(_, allowed)| !allowed.is_empty());
        some.map(|((entry, workload), allowed)| Connection {
            src: End::Entry(entry),
            dst: End::Workload(workload.into()),
            extent: Extent { pods: Pods::All, is_v4: None, requests: None },
            allowed: Arc::new(allowed),
        })
        .collect()
    }
}

fn name(entry: &Entry) -> Arc<str> {
    let object = &entry.object;
    format!("{}/{}[{}]", object.namespace, object.name, object.kind.api().1).into()
}
