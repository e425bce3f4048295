//! Addresses that the container runtimes of nodes have given out and the API does not have yet.
//!
//! A kubelet tells a pod's addresses only once the pod's network is there, and the network is not there
//! until policy is enforced on it. So nodes tell, and what they tell stands in until the API knows: for
//! pods and workloads of that very node, without addresses of their own, and never an address that
//! somebody else has.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use bulkhead_api::object::Kind;
use bulkhead_api::{Object, addressing};
use bulkhead_apimachinery::kinds;
use bulkhead_store::Key;
use bulkhead_types::{EndpointId, EndpointKind};
use k8s_openapi::api::core::v1::PodIP;

use super::directory::Directory;

/// Of one node.
pub type GivenOut = BTreeMap<EndpointId, BTreeSet<IpAddr>>;

#[derive(Debug, Default)]
pub struct Given(BTreeMap<String, GivenOut>);

impl Given {
    /// Takes a node's word, and says which objects it moves.
    pub fn replace(&mut self, node: String, now: GivenOut) -> Vec<Key> {
        let before = self.0.remove(&node).unwrap_or_default();
        let moved = before.keys().chain(now.keys()).filter(|id| before.get(*id) != now.get(*id));
        let moved: BTreeSet<EndpointId> = moved.cloned().collect();
        if !now.is_empty() {
            self.0.insert(node, now);
        }
        moved.iter().filter_map(key).collect()
    }

    /// Lends an object the addresses that its node has told of.
    pub fn lend(&self, object: &mut Object, directory: &Directory) {
        if self.0.is_empty() || !addressing::addresses(object).is_empty() {
            return;
        }
        let (name, node) = (object.key(), node_of(object));
        let id = match object {
            Object::Pod(_) => EndpointId::pod(name.namespace, name.name),
            Object::Workload(_) => EndpointId::workload(name.namespace, name.name),
            _ => return,
        };
        let given = node.and_then(|node| self.0.get(&node)?.get(&id));
        let free = given.into_iter().flatten().filter(|address| {
            let holder = directory.holder(**address).filter(|holder| *holder != id);
            if let Some(holder) = &holder {
                tracing::warn!(%id, %address, %holder, "a node gives out an address that is taken");
            }
            holder.is_none()
        });
        let texts: Vec<String> = free.map(IpAddr::to_string).collect();
        match object {
            Object::Workload(workload) => workload.spec.addresses = texts,
            Object::Pod(pod) if !texts.is_empty() && !is_over(pod) => {
                let status = pod.status.get_or_insert_default();
                status.pod_ips = Some(texts.into_iter().map(|ip| PodIP { ip }).collect());
            }
            _ => {}
        }
    }
}

fn is_over(pod: &k8s_openapi::api::core::v1::Pod) -> bool {
    let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
    matches!(phase, Some("Succeeded" | "Failed"))
}

fn node_of(object: &Object) -> Option<String> {
    match object {
        Object::Pod(pod) => {
            let spec = pod.spec.as_ref()?;
            spec.node_name.clone().filter(|_| spec.host_network != Some(true))
        }
        Object::Workload(workload) => workload.spec.node_name.clone(),
        _ => None,
    }
}

fn key(id: &EndpointId) -> Option<Key> {
    let kind = match id.kind {
        EndpointKind::Pod => Kind::Pod,
        EndpointKind::Workload => Kind::Workload,
        EndpointKind::Host => return None,
    };
    Some(Key::new(kinds::by_id(kind).qualified_plural(), &id.namespace, &id.name))
}

#[cfg(test)]
mod tests;
