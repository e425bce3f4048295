//! Pods and Workloads as endpoints.

use std::net::IpAddr;

use bulkhead_api::Object;
use bulkhead_api::workload::Workload;
use bulkhead_types::{EndpointId, EndpointKind, Labels, Mac, Protocol};
use k8s_openapi::api::core::v1::{Container, Pod, PodSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::is_reserved;
use crate::lower::Notes;

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
    /// The only link address that it may send from, where the object names it.
    pub mac: Option<Mac>,
}

/// An endpoint in the words of its object.
#[derive(Debug)]
pub struct Described<'a> {
    pub kind: EndpointKind,
    pub namespace: &'a str,
    pub name: &'a str,
    /// Sorted, without reserved keys.
    pub labels: Vec<(&'a str, &'a str)>,
    pub service_account: &'a str,
    pub node: Option<&'a str>,
    /// As [`Endpoint::addresses`].
    pub addresses: Vec<IpAddr>,
    /// As [`Endpoint::ports`].
    pub ports: Vec<NamedPort<&'a str>>,
    pub interface: Option<&'a str>,
    pub mac: Option<Mac>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NamedPort<N = String> {
    pub name: N,
    pub protocol: Protocol,
    pub port: u16,
}

const DEFAULT_ACCOUNT: &str = "default";

impl<'a> Described<'a> {
    /// `None` for what is not judged by itself: objects of other kinds, and pods on the host's own
    /// network, which have no interface of their own.
    pub fn read(object: &'a Object, notes: &mut Notes) -> Option<Self> {
        match object {
            Object::Pod(pod) => Self::of_pod(pod, notes),
            Object::Workload(workload) => Some(Self::of_workload(workload, notes)),
            _ => None,
        }
    }

    fn of_pod(pod: &'a Pod, notes: &mut Notes) -> Option<Self> {
        let spec = pod.spec.as_ref();
        if spec.is_some_and(|spec| spec.host_network == Some(true)) {
            return None;
        }
        let account = spec.and_then(|spec| spec.service_account_name.as_deref());
        Some(Self {
            kind: EndpointKind::Pod,
            namespace: pod.metadata.namespace.as_deref().unwrap_or("default"),
            name: pod.metadata.name.as_deref().unwrap_or_default(),
            labels: labels(&pod.metadata),
            service_account: written(account).unwrap_or(DEFAULT_ACCOUNT),
            node: written(spec.and_then(|spec| spec.node_name.as_deref())),
            addresses: pod_addresses(pod, notes),
            ports: spec.map(|spec| pod_ports(spec, notes)).unwrap_or_default(),
            interface: None,
            mac: None,
        })
    }

    fn of_workload(workload: &'a Workload, notes: &mut Notes) -> Self {
        let (metadata, spec) = (&workload.metadata, &workload.spec);
        let mut ports = Vec::new();
        for (position, port) in spec.ports.iter().enumerate() {
            let field = || format!("spec.ports[{position}]");
            let Some(name) = &port.name else { continue };
            ports.extend(named_port(name, port.protocol.as_deref(), port.port, field, notes));
        }
        let addresses = spec.addresses.iter().map(String::as_str);
        Self {
            kind: EndpointKind::Workload,
            namespace: metadata.namespace.as_deref().unwrap_or("default"),
            name: metadata.name.as_deref().unwrap_or_default(),
            labels: labels(metadata),
            service_account: written(spec.service_account_name.as_deref())
                .unwrap_or(DEFAULT_ACCOUNT),
            node: written(spec.node_name.as_deref()),
            addresses: self::addresses(addresses, "spec.addresses", notes),
            ports: sorted(ports),
            interface: written(spec.interface.as_deref()),
            mac: written(spec.mac.as_deref()).and_then(|text| mac(text, notes)),
        }
    }

    pub fn to_endpoint(&self) -> Endpoint {
        let owned = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
        Endpoint {
            id: EndpointId {
                kind: self.kind,
                namespace: self.namespace.to_owned(),
                name: self.name.to_owned(),
            },
            labels: self.labels.iter().map(owned).collect(),
            service_account: self.service_account.to_owned(),
            node: self.node.map(str::to_owned),
            addresses: self.addresses.clone(),
            ports: self.ports.iter().map(NamedPort::to_owned).collect(),
            interface: self.interface.map(str::to_owned),
            mac: self.mac,
        }
    }
}

impl NamedPort<&str> {
    pub fn to_owned(&self) -> NamedPort {
        NamedPort { name: self.name.to_owned(), protocol: self.protocol, port: self.port }
    }
}

impl NamedPort {
    pub fn as_ref(&self) -> NamedPort<&str> {
        NamedPort { name: &self.name, protocol: self.protocol, port: self.port }
    }
}

/// Where the text says something.
fn written(text: Option<&str>) -> Option<&str> {
    text.filter(|text| !text.is_empty())
}

fn labels(metadata: &ObjectMeta) -> Vec<(&str, &str)> {
    let written = metadata.labels.iter().flatten();
    let own = written.filter(|(key, _)| !is_reserved(key));
    own.map(|(key, value)| (key.as_str(), value.as_str())).collect()
}

/// A finished pod has given its addresses back, whatever its status still says.
fn pod_addresses(pod: &Pod, notes: &mut Notes) -> Vec<IpAddr> {
    let Some(status) = &pod.status else { return Vec::new() };
    if matches!(status.phase.as_deref(), Some("Succeeded" | "Failed")) {
        return Vec::new();
    }
    let listed = status.pod_ips.iter().flatten().map(|ip| ip.ip.as_str());
    addresses(listed.chain(status.pod_ip.as_deref()), "status.podIPs", notes)
}

pub(super) fn addresses<'a>(
    texts: impl Iterator<Item = &'a str>,
    field: &str,
    notes: &mut Notes,
) -> Vec<IpAddr> {
    let mut addresses = Vec::new();
    for (position, text) in texts.enumerate().filter(|(_, text)| !text.is_empty()) {
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

fn mac(text: &str, notes: &mut Notes) -> Option<Mac> {
    let mac = text.parse();
    if let Err(error) = &mac {
        let message = format!("`{text}` is {error}");
        notes.reading("any link address may be used", |n| n.error("spec.mac", message));
    }
    mac.ok()
}

/// Sidecars, which are init containers that keep running, listen like containers.
fn pod_ports<'a>(spec: &'a PodSpec, notes: &mut Notes) -> Vec<NamedPort<&'a str>> {
    let is_sidecar = |c: &&Container| c.restart_policy.as_deref() == Some("Always");
    let sidecars = spec.init_containers.iter().flatten().filter(is_sidecar);
    let mut ports = Vec::new();
    for container in spec.containers.iter().chain(sidecars) {
        for port in container.ports.iter().flatten() {
            let Some(name) = &port.name else { continue };
            let field = || format!("spec.containers[{}].ports[{name}]", container.name);
            let protocol = port.protocol.as_deref();
            ports.extend(named_port(name, protocol, port.container_port, field, notes));
        }
    }
    sorted(ports)
}

fn named_port<'a>(
    name: &'a str,
    protocol: Option<&str>,
    number: i32,
    field: impl FnOnce() -> String,
    notes: &mut Notes,
) -> Option<NamedPort<&'a str>> {
    let text = protocol.unwrap_or("TCP");
    let protocol = text.parse::<Protocol>().ok().filter(|p| p.has_ports());
    let port = u16::try_from(number).ok().filter(|n| *n > 0);
    let (Some(protocol), Some(port)) = (protocol, port) else {
        let message = format!("`{text}` `{number}` is not a TCP, UDP or SCTP port");
        notes.reading("the port's name is unknown", |n| n.error(field(), message));
        return None;
    };
    Some(NamedPort { name, protocol, port })
}

pub(super) fn sorted<T: Ord>(mut list: Vec<T>) -> Vec<T> {
    list.sort_unstable();
    list.dedup();
    list
}
