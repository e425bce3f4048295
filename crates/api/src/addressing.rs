//! Gives addresses to the workloads of manifests that have none yet, the same ones everywhere.
//!
//! Manifests on disk name no pod addresses: a cluster's own machinery hands those out. Offline
//! evaluation and the lab must speak of the same world, so both take the addresses from here.
//!
//! Invariant: depends only on the set of objects, not on their order; never gives an address that
//! an object already has.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use k8s_openapi::api::core::v1::{Pod, PodIP};

use crate::object::{Object, ObjectKey};

/// Every pod and workload without an address gets one of each family, in the order of namespace,
/// name and kind: `10.65.a.b` and `fd65::a:b` (`a` and `b` in decimal in the one, in hex in the
/// other). Pods that are done, and pods in their node's network, get none.
pub fn assign(objects: &mut [Object]) {
    let mut used: BTreeSet<IpAddr> = objects.iter().flat_map(addresses).collect();
    let mut waiting: Vec<(ObjectKey, &mut Object)> = objects
        .iter_mut()
        .filter(|object| is_waiting(object))
        .map(|object| (object.key(), object))
        .collect();
    waiting.sort_by(|(a, _), (b, _)| {
        (&a.namespace, &a.name, a.kind).cmp(&(&b.namespace, &b.name, b.kind))
    });
    let mut free = (1u32..).filter(|n| !matches!(n & 0xff, 0 | 0xff)).map(pair);
    for (_, object) in waiting {
        let next = free
            .find(|(v4, v6)| !used.contains(&IpAddr::V4(*v4)) && !used.contains(&IpAddr::V6(*v6)));
        if let Some((v4, v6)) = next {
            used.extend([IpAddr::V4(v4), IpAddr::V6(v6)]);
            give(object, v4, v6);
        }
    }
}

/// The addresses that an object has: a pod's from its status, a workload's from its spec. Text that
/// is no address is passed over.
pub fn addresses(object: &Object) -> Vec<IpAddr> {
    let texts: Vec<&str> = match object {
        Object::Pod(pod) => pod_texts(pod),
        Object::Workload(workload) => workload.spec.addresses.iter().map(String::as_str).collect(),
        _ => Vec::new(),
    };
    let mut addresses: Vec<IpAddr> = Vec::new();
    for address in texts.iter().filter_map(|text| text.parse().ok()) {
        if !addresses.contains(&address) {
            addresses.push(address);
        }
    }
    addresses
}

/// Whether a pod is an endpoint: still running, and in a network of its own.
pub fn has_own_network(pod: &Pod) -> bool {
    let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
    let is_host = pod.spec.as_ref().and_then(|spec| spec.host_network) == Some(true);
    !is_host && !matches!(phase, Some("Succeeded" | "Failed"))
}

fn pod_texts(pod: &Pod) -> Vec<&str> {
    let Some(status) = &pod.status else { return Vec::new() };
    let listed = status.pod_ips.iter().flatten().map(|entry| entry.ip.as_str());
    listed.chain(status.pod_ip.as_deref()).collect()
}

fn is_waiting(object: &Object) -> bool {
    match object {
        Object::Pod(pod) => has_own_network(pod) && pod_texts(pod).is_empty(),
        Object::Workload(workload) => workload.spec.addresses.is_empty(),
        _ => false,
    }
}

/// The `n`th pair. Past 65,535 the second byte of the IPv4 address counts on.
fn pair(n: u32) -> (Ipv4Addr, Ipv6Addr) {
    let v4 = Ipv4Addr::from(0x0a41_0000u32.wrapping_add(n));
    let low = u128::from(n & 0xff) | (u128::from(n >> 8) << 16);
    (v4, Ipv6Addr::from((0xfd65u128 << 112) | low))
}

fn give(object: &mut Object, v4: Ipv4Addr, v6: Ipv6Addr) {
    match object {
        Object::Pod(pod) => {
            let status = pod.status.get_or_insert_default();
            status.pod_ip = Some(v4.to_string());
            let entries = [v4.to_string(), v6.to_string()];
            status.pod_ips = Some(entries.into_iter().map(|ip| PodIP { ip }).collect());
        }
        Object::Workload(workload) => {
            workload.spec.addresses = vec![v4.to_string(), v6.to_string()];
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests;
