//! Ways in from outside as connections: an Ingress, HTTPRoute or published Service to the workloads
//! behind it.
//!
//! Whoever runs the way in sends its traffic on from somewhere outside, so what the workload lets in
//! from anywhere outside to that port is what comes through.

use std::collections::BTreeMap;
use std::sync::Arc;

use bulkhead_api::entry::{self, Entry};
use bulkhead_api::service::Services;
use bulkhead_policy::reach::{Connection, End, Extent, Pods, Traffic};

use super::Asked;

impl Asked {
    /// What comes in through each, by workload. A way in that leads nowhere is left out.
    pub fn entries(&mut self) -> Vec<Connection> {
        let objects = std::mem::take(&mut self.objects);
        let services = Services::of(&objects);
        let (entries, _) = entry::entries(&objects);
        let mut found: BTreeMap<(Arc<str>, String), Traffic> = BTreeMap::new();
        for entry in &entries {
            for target in entry.targets(&services).unwrap_or_default() {
                let Some(endpoint) = self.engine.endpoint_at(target.address) else { continue };
                let workload = self.owners.name_of(&endpoint.id);
                let slots = self.reach.slots_of(&endpoint.id).to_vec();
                let wanted = Traffic::to_port(target.protocol, target.port);
                for slot in slots {
                    let allowed = self.reach.let_in(slot).and(&wanted);
                    let known = found.entry((name(entry), workload.clone())).or_default();
                    *known = known.or(&allowed);
                }
            }
        }
        drop(services);
        self.objects = objects;
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
