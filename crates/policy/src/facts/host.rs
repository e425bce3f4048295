//! Host endpoints: the interfaces of nodes themselves, written by hand or made for every node.

use std::collections::BTreeMap;
use std::net::IpAddr;

use bulkhead_api::calico::{self, KubeControllersConfiguration};
use bulkhead_types::{EndpointId, HostInterface, Labels, Protocol, Selector};
use ipnet::IpNet;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::endpoint::{NamedPort, addresses, sorted};
use super::{NodeFacts, own_labels};
use crate::lower::{self, Notes};

/// The profile of automatic host endpoints; it always exists and allows both ways.
pub const DEFAULT_ALLOW: &str = "projectcalico-default-allow";
const CREATED_BY: (&str, &str) = ("projectcalico.org/created-by", "calico-kube-controllers");
const INTERFACE_BYTES_MAX: usize = 15;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostEndpoint {
    pub id: EndpointId,
    /// Empty where the object names none: such an endpoint judges nothing.
    pub node: String,
    pub interface: HostInterface,
    /// Sorted, without duplicates.
    pub addresses: Vec<IpAddr>,
    pub profiles: Vec<String>,
    pub ports: Vec<NamedPort>,
    /// Without reserved keys and without what profiles lend.
    pub labels: Labels,
}

/// Which host endpoints are made for every node.
#[derive(Clone, Debug, Default)]
pub struct AutoHosts {
    is_default_made: bool,
    templates: Vec<Template>,
}

#[derive(Clone, Debug)]
struct Template {
    name: String,
    nets: Vec<IpNet>,
    labels: Labels,
    /// `None`: every node.
    nodes: Option<Selector>,
}

impl HostEndpoint {
    pub fn new(object: &calico::HostEndpoint, notes: &mut Notes) -> Self {
        let (metadata, spec) = (&object.metadata, &object.spec);
        let node = spec.node.clone().unwrap_or_default();
        if node.is_empty() {
            notes.reading("the endpoint judges nothing", |n| n.error("spec.node", "names no node"));
        }
        let expected = spec.expected_ips.iter().flatten().map(String::as_str);
        let addresses = addresses(expected, "spec.expectedIPs", notes);
        let interface = match spec.interface_name.as_deref().unwrap_or_default() {
            "*" => HostInterface::All,
            "" => HostInterface::ByAddress,
            name => HostInterface::Named(name.to_owned()),
        };
        interface_notes(&interface, &addresses, notes);
        let mut ports = Vec::new();
        for (position, port) in spec.ports.iter().flatten().enumerate() {
            let field = format!("spec.ports[{position}]");
            ports.extend(named_port(port, &field, notes));
        }
        Self {
            id: EndpointId::host(metadata.name.clone().unwrap_or_default()),
            node,
            interface,
            addresses,
            profiles: spec.profiles.clone().unwrap_or_default(),
            ports: sorted(ports),
            labels: own_labels(metadata.labels.as_ref()),
        }
    }
}

fn interface_notes(interface: &HostInterface, addresses: &[IpAddr], notes: &mut Notes) {
    match interface {
        HostInterface::ByAddress if addresses.is_empty() => {
            notes.reading("the endpoint finds no interface", |n| {
                n.error("spec", "needs `interfaceName` or `expectedIPs`");
            });
        }
        HostInterface::Named(name) if name.len() > INTERFACE_BYTES_MAX => {
            let message = format!("`{name}` is longer than an interface's name can be");
            notes.reading("the endpoint finds no interface", |n| {
                n.error("spec.interfaceName", message);
            });
        }
        _ => {}
    }
}

fn named_port(
    written: &calico::HostEndpointPort,
    field: &str,
    notes: &mut Notes,
) -> Option<NamedPort> {
    let protocol = match written.protocol.as_ref() {
        Some(IntOrString::Int(number)) => number.to_string(),
        Some(IntOrString::String(text)) => text.clone(),
        None => String::new(),
    };
    let known = protocol.parse::<Protocol>().ok().filter(|protocol| protocol.has_ports());
    let port = written.port.and_then(|port| u16::try_from(port).ok()).filter(|port| *port > 0);
    let name = written.name.clone().filter(|name| !name.is_empty());
    match (name, known, port) {
        (Some(name), Some(protocol), Some(port)) => Some(NamedPort { name, protocol, port }),
        _ => {
            let message = "needs a name, a port from 1 to 65535 and protocol TCP, UDP or SCTP";
            notes.reading("the port's name is unknown", |n| n.error(field, message));
            None
        }
    }
}

impl AutoHosts {
    /// `None` where none are made.
    pub fn new(object: &KubeControllersConfiguration, notes: &mut Notes) -> Option<Self> {
        let node = object.spec.controllers.as_ref()?.node.as_ref()?;
        let written = node.host_endpoint.as_ref()?;
        let at = |name: &str| format!("spec.controllers.node.hostEndpoint.{name}");
        let is_made = switch(written.auto_create.as_deref(), false, &at("autoCreate"), notes);
        let is_default_made = switch(
            written.create_default_host_endpoint.as_deref(),
            true,
            &at("createDefaultHostEndpoint"),
            notes,
        );
        let mut templates = Vec::new();
        for (position, template) in written.templates.iter().flatten().enumerate() {
            templates.extend(self::template(
                template,
                &at(&format!("templates[{position}]")),
                notes,
            ));
        }
        is_made.then_some(Self { is_default_made, templates })
    }

    /// The endpoints of one node.
    pub fn of(&self, name: &str, node: &NodeFacts) -> Vec<HostEndpoint> {
        let mut hosts = Vec::new();
        if self.is_default_made {
            let id = format!("{name}-auto-hep");
            hosts.push(automatic(id, name, HostInterface::All, node.addresses.clone(), node));
        }
        for template in &self.templates {
            if template.nodes.as_ref().is_some_and(|nodes| !nodes.matches(&node.labels)) {
                continue;
            }
            let within = |a: &IpAddr| template.nets.iter().any(|net| net.contains(a));
            let addresses: Vec<IpAddr> = node.addresses.iter().copied().filter(within).collect();
            if addresses.is_empty() {
                continue;
            }
            let id = format!("{name}-{}", template.name);
            let mut host = automatic(id, name, HostInterface::ByAddress, addresses, node);
            host.labels.extend(template.labels.clone());
            hosts.push(host);
        }
        hosts
    }
}

fn automatic(
    id: String,
    name: &str,
    interface: HostInterface,
    addresses: Vec<IpAddr>,
    node: &NodeFacts,
) -> HostEndpoint {
    let mut labels = own_labels(Some(&node.labels));
    labels.insert(CREATED_BY.0.to_owned(), CREATED_BY.1.to_owned());
    HostEndpoint {
        id: EndpointId::host(id),
        node: name.to_owned(),
        interface,
        addresses: sorted(addresses),
        profiles: vec![DEFAULT_ALLOW.to_owned()],
        ports: Vec::new(),
        labels,
    }
}

fn switch(written: Option<&str>, default: bool, field: &str, notes: &mut Notes) -> bool {
    match written {
        None => default,
        Some("Enabled") => true,
        Some("Disabled") => false,
        Some(other) => {
            let message = format!("`{other}` is neither Enabled nor Disabled");
            notes.reading("read as Enabled", |n| n.error(field, message));
            true
        }
    }
}

fn template(
    written: &calico::HostEndpointTemplate,
    field: &str,
    notes: &mut Notes,
) -> Option<Template> {
    const EFFECT: &str = "no host endpoint is made from the template";
    let at = |name: &str| format!("{field}.{name}");
    let name = written.generate_name.clone().filter(|name| !name.is_empty());
    let ((nets, nodes), is_intact) = notes.reading(EFFECT, |notes| {
        if name.is_none() {
            notes.error(at("generateName"), "names nothing");
        }
        if written.interface_pattern.is_some() {
            let message = "the interfaces of a node are not known here: use `interfaceCIDRs`";
            notes.error(at("interfacePattern"), message);
        }
        let mut nets = Vec::new();
        for (position, text) in written.interface_cidrs.iter().flatten().enumerate() {
            match lower::net(text) {
                Some(net) => nets.push(net),
                None => notes.error(
                    at(&format!("interfaceCIDRs[{position}]")),
                    format!("`{text}` is not an IP address or a CIDR"),
                ),
            }
        }
        let text = written.node_selector.as_deref().unwrap_or_default();
        let nodes = (!text.trim().is_empty()).then(|| Selector::parse(text));
        (
            nets,
            nodes.and_then(|nodes| {
                nodes.map_err(|e| notes.error(at("nodeSelector"), e.to_string())).ok()
            }),
        )
    });
    let labels = own_labels(written.labels.as_ref());
    is_intact.then_some(Template { name: name?, nets, labels, nodes })
}

/// By name of the endpoint.
pub type ByHost = BTreeMap<EndpointId, HostEndpoint>;
