//! What stands behind one port of a service: workloads, protocol and port, as a cluster's proxies
//! would send it on.
//!
//! EndpointSlices say it where there are some for the service; otherwise its selector finds pods and
//! workloads of its namespace.
//!
//! Invariant: a port that the service does not have is an error, never all ports.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use bulkhead_types::Protocol;
use k8s_openapi::api::core::v1::{Pod, Service, ServicePort};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use crate::addressing;
use crate::object::{Object, ObjectKey};
use crate::workload::Workload;

#[cfg(test)]
mod tests;

/// By which a slice says whose it is.
pub const SERVICE_NAME: &str = "kubernetes.io/service-name";

/// A port of a service, as others name it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum PortWish {
    Number(u16),
    Name(String),
}

/// One place to which a service sends connections.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Target {
    pub address: IpAddr,
    pub protocol: Protocol,
    pub port: u16,
}

/// Why a service leads nowhere.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ServiceError {
    #[error("there is no Service `{namespace}/{name}`")]
    NoService { namespace: String, name: String },
    #[error("the Service `{namespace}/{name}` has no port `{port}`; it has {known}")]
    NoPort { namespace: String, name: String, port: PortWish, known: String },
    #[error("nothing stands behind the Service `{namespace}/{name}`")]
    NoBackend { namespace: String, name: String },
}

/// The services of a set of objects.
#[derive(Debug, Default)]
pub struct Services<'a> {
    services: BTreeMap<(String, String), &'a Service>,
    slices: BTreeMap<(String, String), Vec<&'a EndpointSlice>>,
    /// By namespace.
    backends: BTreeMap<String, Vec<&'a Object>>,
}

impl<'a> Services<'a> {
    pub fn of(objects: impl IntoIterator<Item = &'a Object>) -> Self {
        let mut services = Self::default();
        for object in objects {
            let ObjectKey { namespace, name, .. } = object.key();
            match object {
                Object::Service(service) => {
                    services.services.insert((namespace, name), service);
                }
                Object::EndpointSlice(slice) => {
                    let labels = slice.metadata.labels.as_ref();
                    if let Some(service) = labels.and_then(|labels| labels.get(SERVICE_NAME)) {
                        let slices = services.slices.entry((namespace, service.clone()));
                        slices.or_default().push(slice);
                    }
                }
                Object::Pod(pod) if addressing::has_own_network(pod) => {
                    services.backends.entry(namespace).or_default().push(object);
                }
                Object::Workload(_) => {
                    services.backends.entry(namespace).or_default().push(object);
                }
                _ => {}
            }
        }
        services
    }

    pub fn get(&self, namespace: &str, name: &str) -> Result<&'a Service, ServiceError> {
        let key = (namespace.to_owned(), name.to_owned());
        self.services.get(&key).copied().ok_or_else(|| ServiceError::NoService {
            namespace: namespace.to_owned(),
            name: name.to_owned(),
        })
    }

    /// Sorted, without duplicates, never empty.
    pub fn targets(
        &self,
        namespace: &str,
        name: &str,
        wish: &PortWish,
    ) -> Result<Vec<Target>, ServiceError> {
        let service = self.get(namespace, name)?;
        let ports = service.spec.iter().flat_map(|spec| spec.ports.iter().flatten());
        let asked: Vec<&ServicePort> = ports.filter(|port| wish.is(port)).collect();
        if asked.is_empty() {
            return Err(ServiceError::NoPort {
                namespace: namespace.to_owned(),
                name: name.to_owned(),
                port: wish.clone(),
                known: ports_of(service),
            });
        }
        let mut targets = BTreeSet::new();
        match self.slices.get(&(namespace.to_owned(), name.to_owned())) {
            Some(slices) => {
                for port in &asked {
                    targets.extend(slices.iter().flat_map(|slice| in_slice(slice, port)));
                }
            }
            None => {
                for object in self.selected(namespace, service) {
                    targets.extend(asked.iter().flat_map(|port| at(object, port)));
                }
            }
        }
        if targets.is_empty() {
            return Err(ServiceError::NoBackend {
                namespace: namespace.to_owned(),
                name: name.to_owned(),
            });
        }
        Ok(targets.into_iter().collect())
    }

    /// The pods and workloads that the service's selector finds; none without a selector.
    pub fn selected(
        &self,
        namespace: &str,
        service: &Service,
    ) -> impl Iterator<Item = &'a Object> + use<'a> {
        let spec = service.spec.as_ref();
        let is_elsewhere = spec.and_then(|s| s.type_.as_deref()) == Some("ExternalName");
        let selector = spec.and_then(|spec| spec.selector.clone()).unwrap_or_default();
        let all = if is_elsewhere || selector.is_empty() {
            Vec::new()
        } else {
            self.backends.get(namespace).cloned().unwrap_or_default()
        };
        all.into_iter().filter(move |object| {
            let labels = object.metadata().labels.as_ref();
            selector.iter().all(|(key, value)| labels.and_then(|l| l.get(key)) == Some(value))
        })
    }
}

impl PortWish {
    fn is(&self, port: &ServicePort) -> bool {
        match self {
            PortWish::Number(number) => port.port == i32::from(*number),
            PortWish::Name(name) => port.name.as_deref() == Some(name),
        }
    }
}

impl std::fmt::Display for PortWish {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            PortWish::Number(number) => write!(f, "{number}"),
            PortWish::Name(name) => f.write_str(name),
        }
    }
}

fn ports_of(service: &Service) -> String {
    let ports = service.spec.iter().flat_map(|spec| spec.ports.iter().flatten());
    let shown: Vec<String> = ports
        .map(|port| match &port.name {
            Some(name) => format!("{} ({name})", port.port),
            None => port.port.to_string(),
        })
        .collect();
    if shown.is_empty() { "none".to_owned() } else { shown.join(", ") }
}

fn protocol(text: Option<&str>) -> Option<Protocol> {
    text.unwrap_or("TCP").parse().ok().filter(|protocol: &Protocol| protocol.has_ports())
}

fn in_slice(slice: &EndpointSlice, wish: &ServicePort) -> Vec<Target> {
    let name = |name: &Option<String>| name.clone().unwrap_or_default();
    let ports = slice.ports.iter().flatten().filter(|port| name(&port.name) == name(&wish.name));
    let ports: Vec<(Protocol, u16)> = ports
        .filter_map(|port| {
            Some((protocol(port.protocol.as_deref())?, u16::try_from(port.port?).ok()?))
        })
        .collect();
    let is_ready = |ready: Option<bool>| ready != Some(false);
    let ready = slice.endpoints.iter().filter(|endpoint| {
        is_ready(endpoint.conditions.as_ref().and_then(|conditions| conditions.ready))
    });
    let addresses = ready.flat_map(|endpoint| &endpoint.addresses);
    let addresses: Vec<IpAddr> = addresses.filter_map(|text| text.parse().ok()).collect();
    let pair = |address: &IpAddr| {
        let address = *address;
        ports.iter().map(move |(protocol, port)| Target {
            address,
            protocol: *protocol,
            port: *port,
        })
    };
    addresses.iter().flat_map(pair).collect()
}

fn at(object: &Object, wish: &ServicePort) -> Vec<Target> {
    let Some(protocol) = protocol(wish.protocol.as_deref()) else { return Vec::new() };
    let numbers: Vec<u16> = match &wish.target_port {
        None => u16::try_from(wish.port).into_iter().collect(),
        Some(IntOrString::Int(number)) => u16::try_from(*number).into_iter().collect(),
        Some(IntOrString::String(name)) => match object {
            Object::Pod(pod) => pod_ports(pod, name, protocol),
            Object::Workload(workload) => workload_ports(workload, name, protocol),
            _ => Vec::new(),
        },
    };
    let addresses = addressing::addresses(object);
    let pair = |address| numbers.iter().map(move |port| Target { address, protocol, port: *port });
    addresses.into_iter().flat_map(pair).collect()
}

fn pod_ports(pod: &Pod, name: &str, wanted: Protocol) -> Vec<u16> {
    let Some(spec) = &pod.spec else { return Vec::new() };
    let ports = spec.containers.iter().flat_map(|container| container.ports.iter().flatten());
    let same = ports.filter(|port| {
        port.name.as_deref() == Some(name) && protocol(port.protocol.as_deref()) == Some(wanted)
    });
    same.filter_map(|port| u16::try_from(port.container_port).ok()).collect()
}

fn workload_ports(workload: &Workload, name: &str, wanted: Protocol) -> Vec<u16> {
    let same = workload.spec.ports.iter().filter(|port| {
        port.name.as_deref() == Some(name) && protocol(port.protocol.as_deref()) == Some(wanted)
    });
    same.filter_map(|port| u16::try_from(port.port).ok()).collect()
}
