//! Services and EndpointSlices: which addresses and ports stand behind a service.
//!
//! Slices that name the service say it; a service without any is resolved by its selector to the
//! workloads of its namespace, as a cluster would.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use bulkhead_api::ObjectKey;
use bulkhead_types::{Labels, Protocol};
use k8s_openapi::api::core::v1::{Service, ServicePort};
use k8s_openapi::api::discovery::v1::{EndpointPort, EndpointSlice};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::Endpoint;
use crate::lower::Notes;
use crate::rule::ServiceRef;

/// By which a slice says whose it is.
const SERVICE_NAME: &str = "kubernetes.io/service-name";

#[derive(Clone, Debug, Default)]
pub struct Services {
    services: BTreeMap<ServiceRef, Backing>,
    slices: BTreeMap<ObjectKey, (ServiceRef, Backends)>,
    by_service: BTreeMap<ServiceRef, BTreeSet<ObjectKey>>,
}

/// What stands behind a service.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Backends {
    pub addresses: BTreeSet<IpAddr>,
    pub ports: BTreeSet<(IpAddr, Protocol, u16)>,
}

/// How a service finds its workloads.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Backing {
    /// `None`: it finds none by itself.
    selector: Option<Labels>,
    targets: Vec<(Protocol, Target)>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Target {
    Number(u16),
    Name(String),
}

impl Services {
    pub fn put(&mut self, service: &Service, key: &ObjectKey, notes: &mut Notes) -> ServiceRef {
        let id = ServiceRef { namespace: key.namespace.clone(), name: key.name.clone() };
        self.services.insert(id.clone(), Backing::new(service, notes));
        id
    }

    pub fn remove(&mut self, key: &ObjectKey) -> ServiceRef {
        let id = ServiceRef { namespace: key.namespace.clone(), name: key.name.clone() };
        self.services.remove(&id);
        id
    }

    /// Gives the services that the slice was and is for.
    pub fn put_slice(
        &mut self,
        slice: &EndpointSlice,
        key: &ObjectKey,
        notes: &mut Notes,
    ) -> BTreeSet<ServiceRef> {
        let mut touched = self.remove_slice(key);
        let labels = slice.metadata.labels.as_ref();
        let Some(name) = labels.and_then(|labels| labels.get(SERVICE_NAME)) else { return touched };
        let id = ServiceRef { namespace: key.namespace.clone(), name: name.clone() };
        self.slices.insert(key.clone(), (id.clone(), Backends::of_slice(slice, notes)));
        self.by_service.entry(id.clone()).or_default().insert(key.clone());
        touched.insert(id);
        touched
    }

    pub fn remove_slice(&mut self, key: &ObjectKey) -> BTreeSet<ServiceRef> {
        let Some((id, _)) = self.slices.remove(key) else { return BTreeSet::new() };
        if let Some(keys) = self.by_service.get_mut(&id) {
            keys.remove(key);
            if keys.is_empty() {
                self.by_service.remove(&id);
            }
        }
        BTreeSet::from([id])
    }

    /// Whether the service's backends depend on the workloads of its namespace.
    pub fn follows_workloads(&self, id: &ServiceRef) -> bool {
        !self.by_service.contains_key(id)
            && self.services.get(id).is_some_and(|backing| backing.selector.is_some())
    }

    /// `workloads` are those of the service's namespace.
    pub fn backends<'a>(
        &self,
        id: &ServiceRef,
        workloads: impl Iterator<Item = &'a Endpoint>,
    ) -> Backends {
        let mut backends = Backends::default();
        if let Some(keys) = self.by_service.get(id) {
            for (_, slice) in keys.iter().filter_map(|key| self.slices.get(key)) {
                backends.addresses.extend(&slice.addresses);
                backends.ports.extend(&slice.ports);
            }
            return backends;
        }
        let Some(backing) = self.services.get(id) else { return backends };
        let Some(selector) = &backing.selector else { return backends };
        let is_selected = |workload: &&Endpoint| {
            selector.iter().all(|(key, value)| workload.labels.get(key) == Some(value))
        };
        for workload in workloads.filter(is_selected) {
            backends.addresses.extend(&workload.addresses);
            for (protocol, port) in backing.ports_at(workload) {
                let ends = workload.addresses.iter().map(|address| (*address, protocol, port));
                backends.ports.extend(ends);
            }
        }
        backends
    }
}

impl Backing {
    fn new(service: &Service, notes: &mut Notes) -> Self {
        let Some(spec) = &service.spec else { return Self::default() };
        let selector = spec.selector.clone().filter(|selector| !selector.is_empty());
        let is_elsewhere = spec.type_.as_deref() == Some("ExternalName");
        let mut targets = Vec::new();
        for (position, port) in spec.ports.iter().flatten().enumerate() {
            targets.extend(target(port, &format!("spec.ports[{position}]"), notes));
        }
        Self { selector: selector.filter(|_| !is_elsewhere), targets }
    }

    fn ports_at(&self, workload: &Endpoint) -> Vec<(Protocol, u16)> {
        let mut ports = Vec::new();
        for (protocol, target) in &self.targets {
            match target {
                Target::Number(number) => ports.push((*protocol, *number)),
                Target::Name(name) => {
                    let named = workload.ports.iter();
                    let same = named.filter(|p| p.name == *name && p.protocol == *protocol);
                    ports.extend(same.map(|p| (p.protocol, p.port)));
                }
            }
        }
        ports
    }
}

impl Backends {
    fn of_slice(slice: &EndpointSlice, notes: &mut Notes) -> Self {
        let mut backends = Self::default();
        // The other address type is names.
        if !matches!(slice.address_type.as_str(), "IPv4" | "IPv6" | "") {
            return backends;
        }
        for (position, endpoint) in slice.endpoints.iter().enumerate() {
            for (nth, text) in endpoint.addresses.iter().enumerate() {
                match text.parse::<IpAddr>() {
                    Ok(address) => {
                        backends.addresses.insert(address);
                    }
                    Err(_) => {
                        let field = format!("endpoints[{position}].addresses[{nth}]");
                        let message = format!("`{text}` is not an IP address");
                        notes.reading("the address is left out", |n| n.error(field, message));
                    }
                }
            }
        }
        for (position, port) in slice.ports.iter().flatten().enumerate() {
            let found = slice_port(port, &format!("ports[{position}]"), notes);
            if let Some((protocol, number)) = found {
                let ends = backends.addresses.iter().map(|address| (*address, protocol, number));
                backends.ports.extend(ends);
            }
        }
        backends
    }
}

/// A port without a number stands for none, as everywhere in a cluster.
fn slice_port(port: &EndpointPort, field: &str, notes: &mut Notes) -> Option<(Protocol, u16)> {
    let number = port.port?;
    let protocol = protocol(port.protocol.as_deref(), field, notes)?;
    Some((protocol, self::number(number, &format!("{field}.port"), notes)?))
}

fn target(port: &ServicePort, field: &str, notes: &mut Notes) -> Option<(Protocol, Target)> {
    let protocol = protocol(port.protocol.as_deref(), field, notes)?;
    let number = match &port.target_port {
        Some(IntOrString::String(name)) => return Some((protocol, Target::Name(name.clone()))),
        Some(IntOrString::Int(0)) | None => port.port,
        Some(IntOrString::Int(number)) => *number,
    };
    Some((protocol, Target::Number(self::number(number, field, notes)?)))
}

fn protocol(written: Option<&str>, field: &str, notes: &mut Notes) -> Option<Protocol> {
    let text = written.filter(|text| !text.is_empty()).unwrap_or("TCP");
    let protocol = text.parse::<Protocol>().ok().filter(|protocol| protocol.has_ports());
    if protocol.is_none() {
        let message = format!("`{text}` is not TCP, UDP or SCTP");
        let field = format!("{field}.protocol");
        notes.reading("the port is left out", |n| n.error(field, message));
    }
    protocol
}

fn number(number: i32, field: &str, notes: &mut Notes) -> Option<u16> {
    let port = u16::try_from(number).ok().filter(|port| *port > 0);
    if port.is_none() {
        let message = format!("`{number}` is not a port");
        notes.reading("the port is left out", |n| n.error(field, message));
    }
    port
}
