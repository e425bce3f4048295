//! Node settings that change verdicts: `default` for all, `node.<name>` on top of it.

use bulkhead_api::calico::{FelixConfiguration, ProtoPort};
use bulkhead_types::{FailsafePort, Protocol, ToHost};

use crate::lower::{self, Notes};

/// What one object says; `None` says nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    pub inbound: Option<Vec<FailsafePort>>,
    pub outbound: Option<Vec<FailsafePort>>,
    pub to_host: Option<ToHost>,
}

impl Settings {
    pub fn new(object: &FelixConfiguration, notes: &mut Notes) -> Self {
        let name = object.metadata.name.as_deref().unwrap_or_default();
        if name != "default" && !name.starts_with("node.") {
            notes.warning("metadata.name", "only `default` and `node.<name>` are read");
        }
        let spec = &object.spec;
        let inbound = spec.failsafe_inbound_host_ports.as_deref();
        let outbound = spec.failsafe_outbound_host_ports.as_deref();
        Self {
            inbound: inbound.map(|list| ports(list, "spec.failsafeInboundHostPorts", notes)),
            outbound: outbound.map(|list| ports(list, "spec.failsafeOutboundHostPorts", notes)),
            to_host: spec.default_endpoint_to_host_action.as_deref().map(|text| {
                match text.to_ascii_lowercase().as_str() {
                    "drop" => ToHost::Drop,
                    "accept" => ToHost::Accept,
                    "return" => ToHost::Return,
                    _ => {
                        let message = format!("`{text}` is none of Drop, Accept and Return");
                        let field = "spec.defaultEndpointToHostAction";
                        notes.reading("read as Drop", |n| n.error(field, message));
                        ToHost::Drop
                    }
                }
            }),
        }
    }

    /// These settings, and where they say nothing those of `other`.
    #[must_use]
    pub fn or(self, other: &Self) -> Self {
        Self {
            inbound: self.inbound.or_else(|| other.inbound.clone()),
            outbound: self.outbound.or_else(|| other.outbound.clone()),
            to_host: self.to_host.or(other.to_host),
        }
    }
}

fn ports(list: &[ProtoPort], field: &str, notes: &mut Notes) -> Vec<FailsafePort> {
    let mut ports = Vec::with_capacity(list.len());
    for (position, written) in list.iter().enumerate() {
        let at = |name: &str| format!("{field}[{position}].{name}");
        let (port, is_intact) = notes.reading("the port is not fail-safe", |notes| {
            let protocol = written.protocol.as_deref().filter(|text| !text.is_empty());
            let protocol = protocol.unwrap_or("tcp").parse::<Protocol>().ok();
            let protocol = protocol.filter(|protocol| protocol.has_ports());
            if protocol.is_none() {
                notes.error(at("protocol"), "is none of TCP, UDP and SCTP");
            }
            let port = written.port.and_then(|port| u16::try_from(port).ok()).filter(|p| *p > 0);
            if port.is_none() {
                notes.error(at("port"), "is no port from 1 to 65535");
            }
            let net = written.net.as_deref().filter(|text| !text.is_empty());
            let read = net.and_then(lower::net);
            if net.is_some() && read.is_none() {
                notes.error(at("net"), "is not an IP address or a CIDR");
            }
            Some(FailsafePort { protocol: protocol?, port: port?, net: read })
        });
        ports.extend(port.filter(|_| is_intact));
    }
    ports.sort_unstable();
    ports.dedup();
    ports
}
