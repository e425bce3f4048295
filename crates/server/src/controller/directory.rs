//! Who stands behind an address, now and a little while ago: a flow record may arrive after its
//! workload has gone, and must still name it.

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use bulkhead_api::{Object, ObjectKey, addressing};
use bulkhead_types::EndpointId;
use bulkhead_wire::Peer;

/// How long a gone address is remembered, and how many at most.
pub const GONE_KEPT: Duration = Duration::from_secs(300);
pub const GONE_KEPT_MAX: usize = 16_384;

#[derive(Debug, Default)]
pub struct Directory(RwLock<Entries>);

#[derive(Debug, Default)]
struct Entries {
    now: HashMap<IpAddr, Arc<Resident>>,
    by_object: HashMap<ObjectKey, Arc<Resident>>,
    gone: HashMap<IpAddr, (Instant, Arc<Resident>)>,
    gone_order: VecDeque<(Instant, IpAddr)>,
}

/// Somebody with addresses.
#[derive(Debug, PartialEq, Eq)]
pub struct Resident {
    pub peer: Arc<Peer>,
    pub node: Option<String>,
    addresses: Vec<IpAddr>,
}

impl Directory {
    /// Called by the controller only.
    pub fn upsert(&self, object: &Object, now: Instant) {
        let key = object.key();
        // A finished pod's addresses may be another's already, and one in its node's network has none.
        if matches!(object, Object::Pod(pod) if !addressing::has_own_network(pod)) {
            return self.remove(&key, now);
        }
        let Some(resident) = resident(object) else { return };
        let mut entries = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if entries.by_object.get(&key).is_some_and(|known| **known == resident) {
            return;
        }
        entries.remove(&key, now);
        let resident = Arc::new(resident);
        for address in &resident.addresses {
            entries.now.insert(*address, Arc::clone(&resident));
        }
        entries.by_object.insert(key, resident);
    }

    pub fn remove(&self, key: &ObjectKey, now: Instant) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).remove(key, now);
    }

    /// Who has the address now.
    pub fn holder(&self, address: IpAddr) -> Option<EndpointId> {
        let entries = self.0.read().unwrap_or_else(PoisonError::into_inner);
        entries.now.get(&address).map(|resident| EndpointId::clone(&resident.peer.id))
    }

    /// Who has the address, or had it last.
    pub fn find(&self, address: IpAddr) -> Option<Arc<Resident>> {
        let entries = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let gone = || entries.gone.get(&address).map(|(_, resident)| resident);
        entries.now.get(&address).or_else(gone).cloned()
    }
}

impl Entries {
    fn remove(&mut self, key: &ObjectKey, now: Instant) {
        let Some(resident) = self.by_object.remove(key) else { return };
        for address in &resident.addresses {
            // Another object may have taken the address over already.
            if self.now.get(address).is_some_and(|holder| Arc::ptr_eq(holder, &resident)) {
                self.now.remove(address);
            }
            self.gone.insert(*address, (now, Arc::clone(&resident)));
            self.gone_order.push_back((now, *address));
        }
        while let Some((since, address)) = self.gone_order.front().copied() {
            let is_old = now.saturating_duration_since(since) > GONE_KEPT;
            if !is_old && self.gone_order.len() <= GONE_KEPT_MAX {
                break;
            }
            self.gone_order.pop_front();
            // A later departure from the same address has an entry of its own behind.
            if self.gone.get(&address).is_some_and(|(at, _)| *at == since) {
                self.gone.remove(&address);
            }
        }
    }
}

fn resident(object: &Object) -> Option<Resident> {
    let (id, node): (fn(String, String) -> EndpointId, _) = match object {
        Object::Pod(pod) => {
            (EndpointId::pod, pod.spec.as_ref().and_then(|spec| spec.node_name.clone()))
        }
        Object::Workload(workload) => (EndpointId::workload, workload.spec.node_name.clone()),
        _ => return None,
    };
    let key = object.key();
    let labels = object.metadata().labels.clone().unwrap_or_default();
    let id = Arc::new(id(key.namespace, key.name));
    let peer = Peer { id, labels: Arc::new(labels.into_iter().collect()) };
    Some(Resident { peer: Arc::new(peer), node, addresses: addressing::addresses(object) })
}

#[cfg(test)]
mod tests;
