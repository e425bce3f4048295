//! The world that manifests describe, ready to be asked.
//!
//! Offline every workload stands on one imagined node, so one compiled program answers for all of
//! them. Where a workload really runs never changes a verdict.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use anyhow::bail;
use bulkhead_api::expand::{Remark, expand};
use bulkhead_api::manifest::Severity;
use bulkhead_api::{Object, addressing};
use bulkhead_policy::{Changes, Diagnostic, Engine, Event, NodeProgram, World};
use bulkhead_types::{Direction, EndpointId, Packet, Protocol, Verdict};

use crate::input::Input;
use crate::output;

/// The source port of a connection that names none: within what systems hand out by themselves.
pub const SRC_PORT: u16 = 40_000;

/// One end of a connection; `endpoint` is `None` for addresses outside these manifests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct End {
    pub endpoint: Option<EndpointId>,
    pub address: IpAddr,
}

/// Who is who.
#[derive(Debug, Default)]
pub struct Directory {
    by_name: HashMap<String, Vec<Known>>,
    by_address: HashMap<IpAddr, EndpointId>,
}

#[derive(Debug)]
struct Known {
    id: EndpointId,
    v4: Option<IpAddr>,
    v6: Option<IpAddr>,
}

/// Why a connection cannot be judged.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AskError {
    #[error("`{role}` `{name}` is no workload of these manifests, nor an address")]
    Unknown { role: &'static str, name: String },
    #[error("`{role}` `{name}` is both a Pod and a Workload: rename one, or give its address")]
    Ambiguous { role: &'static str, name: String },
    #[error("`{role}` `{name}` has no IPv{family} address")]
    NoAddress { role: &'static str, name: String, family: u8 },
    #[error("`{src}` and `{dst}` have no IP version in common")]
    NoCommonFamily { src: String, dst: String },
    #[error("{what} asks for IPv{one}, {other_what} for IPv{other}")]
    Families { what: String, one: u8, other_what: String, other: u8 },
    #[error("`family` is {0}: use 4 or 6")]
    Family(u8),
    #[error("`port` is missing: {0} needs one from 1 to 65535")]
    NoPort(Protocol),
}

/// The objects with a pod for every owner and addresses for all, or an error where the manifests
/// cannot be trusted.
///
/// A document that is no object stops everything: leaving out a policy could turn a deny into an
/// allow. What the policy engine cannot understand is read closed, as on a live server, and said.
pub fn objects(input: &mut Input) -> anyhow::Result<Vec<Object>> {
    for diagnostic in &input.manifests.diagnostics {
        if diagnostic.severity != Severity::Note {
            output::complain(&format!("{diagnostic}\n"));
        }
    }
    if input.manifests.has_errors() {
        bail!("the manifests have errors, so no verdict about them can be trusted");
    }
    let mut objects = input.take_objects();
    for remark in populate(&mut objects) {
        if remark.severity != Severity::Note {
            let place = input.place(&remark.object, remark.field);
            let place = place.map(|source| format!("{source}: ")).unwrap_or_default();
            output::complain(&format!("warning: {place}{}: {}", remark.object, remark.message));
        }
    }
    Ok(objects)
}

/// Adds a pod for every owner that has none, and gives addresses to all.
pub fn populate(objects: &mut Vec<Object>) -> Vec<Remark> {
    let expansion = expand(objects.iter());
    objects.extend(expansion.pods.into_iter().map(|(_, pod)| pod));
    addressing::assign(objects);
    expansion.remarks
}

/// Says what the policy engine could not understand and therefore reads closed.
pub fn say_closed(input: &Input, world: &World) {
    say_closed_in(input, world.diagnostics());
}

pub fn say_closed_in<'a>(input: &Input, found: impl IntoIterator<Item = &'a Diagnostic>) {
    for found in found {
        if found.severity == bulkhead_policy::Severity::Error {
            let place = input.place(&found.object, &found.field);
            let place = place.map(|source| format!("{source}: ")).unwrap_or_default();
            output::complain(&format!("warning: {place}{}: {found}", found.object));
        }
    }
}

impl Directory {
    pub fn of(world: &World) -> Self {
        let mut directory = Self::default();
        for endpoint in world.endpoints() {
            let first = |v6: bool| endpoint.addresses.iter().copied().find(|a| a.is_ipv6() == v6);
            let known = Known { id: endpoint.id.clone(), v4: first(false), v6: first(true) };
            for address in &endpoint.addresses {
                directory.by_address.entry(*address).or_insert_with(|| endpoint.id.clone());
            }
            directory.by_name.entry(endpoint.id.to_string()).or_default().push(known);
        }
        directory
    }

    /// Finds both ends, in an IP version that fits them, the protocol and what is asked for.
    pub fn ends(
        &self,
        src: &str,
        dst: &str,
        protocol: Protocol,
        family: Option<u8>,
    ) -> Result<(End, End), AskError> {
        let src_side = self.side("src", src)?;
        let dst_side = self.side("dst", dst)?;
        if let Some(other) = family.filter(|family| !matches!(family, 4 | 6)) {
            return Err(AskError::Family(other));
        }
        let by_protocol = match protocol {
            Protocol::ICMP => Some(4),
            Protocol::ICMPV6 => Some(6),
            _ => None,
        };
        let wishes = [
            ("`family`".to_owned(), family),
            (format!("`{protocol}`"), by_protocol),
            (format!("`{src}`"), src_side.family()),
            (format!("`{dst}`"), dst_side.family()),
        ];
        let mut wishes = wishes.into_iter().filter_map(|(what, family)| Some((what, family?)));
        let wish = wishes.next();
        if let Some((what, one)) = &wish
            && let Some((other_what, other)) = wishes.find(|(_, other)| other != one)
        {
            return Err(AskError::Families { what: what.clone(), one: *one, other_what, other });
        }
        let pair = |family| Some((src_side.end(family)?, dst_side.end(family)?));
        let Some((_, family)) = wish else {
            return pair(4).or_else(|| pair(6)).ok_or_else(|| AskError::NoCommonFamily {
                src: src.to_owned(),
                dst: dst.to_owned(),
            });
        };
        pair(family).ok_or_else(|| {
            let is_src = src_side.end(family).is_none();
            let (role, name) = if is_src { ("src", src) } else { ("dst", dst) };
            AskError::NoAddress { role, name: name.to_owned(), family }
        })
    }

    /// A name without a slash is in the namespace `default`.
    fn side(&self, role: &'static str, text: &str) -> Result<Side<'_>, AskError> {
        if let Ok(address) = text.parse::<IpAddr>() {
            let endpoint = self.by_address.get(&address).cloned();
            return Ok(Side::Address(End { endpoint, address }));
        }
        let known = match text.contains('/') {
            true => self.by_name.get(text),
            false => self.by_name.get(&format!("default/{text}")),
        };
        match known.map(Vec::as_slice) {
            Some([known]) => Ok(Side::Named(known)),
            None | Some([]) => Err(AskError::Unknown { role, name: text.to_owned() }),
            Some(_) => Err(AskError::Ambiguous { role, name: text.to_owned() }),
        }
    }
}

/// An end before the IP version is settled.
enum Side<'a> {
    Address(End),
    Named(&'a Known),
}

impl Side<'_> {
    fn family(&self) -> Option<u8> {
        match self {
            Side::Address(end) => Some(if end.address.is_ipv4() { 4 } else { 6 }),
            Side::Named(_) => None,
        }
    }

    fn end(&self, family: u8) -> Option<End> {
        match self {
            Side::Address(end) => (self.family() == Some(family)).then(|| end.clone()),
            Side::Named(known) => {
                let address = if family == 4 { known.v4 } else { known.v6 }?;
                Some(End { endpoint: Some(known.id.clone()), address })
            }
        }
    }
}

/// The first packet of a connection between two ends, as far as policy sees it.
pub fn packet(
    src: &End,
    dst: &End,
    protocol: Protocol,
    ports: (Option<u16>, u16),
    icmp: (Option<u8>, Option<u8>),
) -> Result<Packet, AskError> {
    let (dst_port, src_port) = match ports {
        (Some(port), src_port) if protocol.has_ports() && port > 0 => (port, src_port),
        _ if protocol.has_ports() => return Err(AskError::NoPort(protocol)),
        _ => (0, 0),
    };
    let echo_request = match protocol {
        Protocol::ICMP => 8,
        Protocol::ICMPV6 => 128,
        _ => 0,
    };
    let (icmp_type, icmp_code) = match protocol.is_icmp() {
        true => (icmp.0.unwrap_or(echo_request), icmp.1.unwrap_or(0)),
        false => (0, 0),
    };
    let (src, dst) = (src.address, dst.address);
    Ok(Packet { src, dst, protocol, src_port, dst_port, icmp_type, icmp_code })
}

impl End {
    /// Whether both are one endpoint: such traffic never leaves it, so nothing judges it.
    pub fn is_same(&self, other: &Self) -> bool {
        self.endpoint.is_some() && self.endpoint == other.endpoint
    }
}

/// The compiled world.
pub struct Program {
    tables: Arc<NodeProgram>,
}

/// The one node of an offline world.
const NODE: &str = "offline";

impl Program {
    pub fn of(objects: &[Object]) -> Self {
        let (mut engine, _) = engine(objects);
        Self { tables: engine.program(NODE).unwrap_or_default() }
    }

    pub fn decide(&self, endpoint: &EndpointId, direction: Direction, packet: &Packet) -> Verdict {
        self.tables.decide(endpoint, direction, packet)
    }
}

/// The engine of an offline world, and all that it had to say.
pub fn engine(objects: &[Object]) -> (Engine, Changes) {
    let mut engine = Engine::new();
    for object in objects {
        let mut object = object.clone();
        place(&mut object);
        engine.apply(Event::Upsert(object));
    }
    let changes = engine.take_changes();
    (engine, changes)
}

fn place(object: &mut Object) {
    let node = Some(NODE.to_owned());
    match object {
        Object::Pod(pod) => pod.spec.get_or_insert_default().node_name = node,
        Object::Workload(workload) => workload.spec.node_name = node,
        _ => {}
    }
}
