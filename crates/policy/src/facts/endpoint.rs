//! Pods and Workloads as endpoints.

use std::net::IpAddr;

use bulkhead_api::Object;
use bulkhead_api::workload::Workload;
use bulkhead_types::{EndpointId, EndpointKind, Labels, Protocol};
use k8s_openapi::api::core::v1::{Container, Pod, PodSpec};

use super::own_labels;
use crate::lower::{Diagnostic, Notes};

/// Something that policy is enforced on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    pub id: EndpointId,
    /// Without reserved keys; see [`super::Inventory::labels_of`] for what selectors see.
    pub labels: Labels,
    pub service_account: String,
    /// Where policy is enforced; `None` until it is scheduled.
    pub node: Option<String>,
    /// Sorted, without duplicates. Empty for what has finished or not begun.
    pub addresses: Vec<IpAddr>,
    /// Sorted, without duplicates. One name may stand for several.
    pub ports: Vec<NamedPort>,
    /// Host-side interface, where the object names it.
    pub interface: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NamedPort {
    pub name: String,
    pub protocol: Protocol,
    pub port: u16,
}

const DEFAULT_ACCOUNT: &str = "default";

impl Endpoint {
    /// The endpoint that the object is. The outer `None`: the kind of object never is one; the inner:
    /// this one is not.
    pub fn read(object: &Object) -> Option<(EndpointId, Option<Self>, Vec<Diagnostic>)> {
        let key = object.key();
        let mut notes = Notes::new(key.clone());
        let (kind, endpoint) = match object {
            Object::Pod(pod) => (EndpointKind::Pod, Self::from_pod(pod, &mut notes)),
            Object::Workload(workload) => {
                (EndpointKind::Workload, Some(Self::from_workload(workload, &mut notes)))
            }
            _ => return None,
        };
        let id = EndpointId { kind, namespace: key.namespace, name: key.name };
        Some((id, endpoint, notes.into_vec()))
    }

    /// `None` for a pod on the host's own network: it has no interface of its own to judge.
    pub fn from_pod(pod: &Pod, notes: &mut Notes) -> Option<Self> {
        let none = PodSpec::default();
        let spec = pod.spec.as_ref().unwrap_or(&none);
        if spec.host_network == Some(true) {
            return None;
        }
        let metadata = &pod.metadata;
        let namespace = metadata.namespace.as_deref().unwrap_or("default");
        let name = metadata.name.clone().unwrap_or_default();
        Some(Self {
            id: EndpointId::pod(namespace, name),
            labels: own_labels(metadata.labels.as_ref()),
            service_account: account(spec.service_account_name.as_deref()),
            node: node(spec.node_name.as_deref()),
            addresses: pod_addresses(pod, notes),
            ports: pod_ports(spec, notes),
            interface: None,
        })
    }

    pub fn from_workload(workload: &Workload, notes: &mut Notes) -> Self {
        let (metadata, spec) = (&workload.metadata, &workload.spec);
        let namespace = metadata.namespace.as_deref().unwrap_or("default");
        let name = metadata.name.clone().unwrap_or_default();
        let mut ports = Vec::new();
        for (position, port) in spec.ports.iter().enumerate() {
            let field = format!("spec.ports[{position}]");
            let Some(name) = &port.name else { continue };
            ports.extend(named_port(name, port.protocol.as_deref(), port.port, &field, notes));
        }
        Self {
            id: EndpointId::workload(namespace, name),
            labels: own_labels(metadata.labels.as_ref()),
            service_account: account(spec.service_account_name.as_deref()),
            node: node(spec.node_name.as_deref()),
            addresses: addresses(&spec.addresses, "spec.addresses", notes),
            ports: sorted(ports),
            interface: spec.interface.clone().filter(|name| !name.is_empty()),
        }
    }
}

fn account(written: Option<&str>) -> String {
    written.filter(|name| !name.is_empty()).unwrap_or(DEFAULT_ACCOUNT).to_owned()
}

fn node(written: Option<&str>) -> Option<String> {
    written.filter(|name| !name.is_empty()).map(str::to_owned)
}

/// A finished pod has given its addresses back, whatever its status still says.
fn pod_addresses(pod: &Pod, notes: &mut Notes) -> Vec<IpAddr> {
    let Some(status) = &pod.status else { return Vec::new() };
    if matches!(status.phase.as_deref(), Some("Succeeded" | "Failed")) {
        return Vec::new();
    }
    let listed = status.pod_ips.iter().flatten().map(|ip| ip.ip.clone());
    let texts: Vec<String> = listed.chain(status.pod_ip.clone()).collect();
    addresses(&texts, "status.podIPs", notes)
}

pub(super) fn addresses(texts: &[String], field: &str, notes: &mut Notes) -> Vec<IpAddr> {
    let mut addresses = Vec::with_capacity(texts.len());
    for (position, text) in texts.iter().enumerate().filter(|(_, text)| !text.is_empty()) {
        match text.parse::<IpAddr>() {
            Ok(address) => addresses.push(address),
            Err(_) => {
                let field = format!("{field}[{position}]");
                let message = format!("`{text}` is not an IP address");
                notes.reading("the address is left out", |n| n.error(field, message));
            }
        }
    }
    sorted(addresses)
}

/// Sidecars, which are init containers that keep running, listen like containers.
fn pod_ports(spec: &PodSpec, notes: &mut Notes) -> Vec<NamedPort> {
    let is_sidecar = |c: &&Container| c.restart_policy.as_deref() == Some("Always");
    let sidecars = spec.init_containers.iter().flatten().filter(is_sidecar);
    let mut ports = Vec::new();
    for container in spec.containers.iter().chain(sidecars) {
        for port in container.ports.iter().flatten() {
            let Some(name) = &port.name else { continue };
            let field = format!("spec.containers[{}].ports[{name}]", container.name);
            let protocol = port.protocol.as_deref();
            ports.extend(named_port(name, protocol, port.container_port, &field, notes));
        }
    }
    sorted(ports)
}

fn named_port(
    name: &str,
    protocol: Option<&str>,
    number: i32,
    field: &str,
    notes: &mut Notes,
) -> Option<NamedPort> {
    let text = protocol.unwrap_or("TCP");
    let protocol = text.parse::<Protocol>().ok().filter(|p| p.has_ports());
    let port = u16::try_from(number).ok().filter(|n| *n > 0);
    let (Some(protocol), Some(port)) = (protocol, port) else {
        let message = format!("`{text}` `{number}` is not a TCP, UDP or SCTP port");
        notes.reading("the port's name is unknown", |n| n.error(field, message));
        return None;
    };
    Some(NamedPort { name: name.to_owned(), protocol, port })
}

pub(super) fn sorted<T: Ord>(mut list: Vec<T>) -> Vec<T> {
    list.sort_unstable();
    list.dedup();
    list
}
