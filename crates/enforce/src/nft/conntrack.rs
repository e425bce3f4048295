//! The node's connection tracking: who talks to whom, since when, how much; and forgetting.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use bulkhead_types::{Packet, Protocol};

use super::message::{Attributes, CONNTRACK, Incoming, attribute, be16, be64};
use super::socket::{Socket, failed};
use crate::node::EnforceError;

pub const GROUP_NEW: u32 = 1;
pub const GROUP_DESTROY: u32 = 3;

pub const NEW: u16 = 0;
const GET: u16 = 1;
pub const DELETE: u16 = 2;

const TUPLE_ORIGINAL: u16 = 1;
const TUPLE_REPLY: u16 = 2;
const PROTOINFO: u16 = 4;
const COUNTERS_ORIGINAL: u16 = 9;
const COUNTERS_REPLY: u16 = 10;
const ID: u16 = 12;
const TIMESTAMP: u16 = 20;

const TCP_FIN_WAIT: u8 = 4;

/// One tracked flow. `packet` is its first packet as it reached its end: the destination is the real
/// one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tracked {
    pub packet: Packet,
    pub packets: [u64; 2],
    pub bytes: [u64; 2],
    /// Both ends are done with the connection.
    pub is_closed: bool,
    /// Unix time; 0 where the kernel keeps none.
    pub started_ns: u64,
    /// What names it to the kernel.
    tuple: Vec<u8>,
    id: Vec<u8>,
    family: u8,
}

struct Tuple {
    src: IpAddr,
    protocol: Protocol,
    src_port: u16,
    icmp: (u8, u8),
}

fn tuple(bytes: &[u8]) -> Option<Tuple> {
    let (ip, proto) = (attribute(bytes, 1)?, attribute(bytes, 2)?);
    let v4 = |kind| {
        let octets: [u8; 4] = *attribute(ip, kind)?.first_chunk()?;
        Some(IpAddr::V4(Ipv4Addr::from(octets)))
    };
    let v6 = |kind| {
        let octets: [u8; 16] = *attribute(ip, kind)?.first_chunk()?;
        Some(IpAddr::V6(Ipv6Addr::from(octets)))
    };
    let byte = |kind| attribute(proto, kind).and_then(|value| value.first().copied());
    let port = |kind| attribute(proto, kind).and_then(be16).unwrap_or(0);
    let icmp_type = byte(5).or_else(|| byte(8)).unwrap_or(0);
    let icmp_code = byte(6).or_else(|| byte(9)).unwrap_or(0);
    Some(Tuple {
        src: v4(1).or_else(|| v6(3))?,
        protocol: Protocol(byte(1)?),
        src_port: port(2),
        icmp: (icmp_type, icmp_code),
    })
}

impl Tracked {
    pub fn read(message: &Incoming<'_>) -> Option<Self> {
        let original = tuple(message.find(TUPLE_ORIGINAL)?)?;
        let reply = tuple(message.find(TUPLE_REPLY)?)?;
        let has_ports = original.protocol.has_ports();
        let counters = |kind| {
            let inside = message.find(kind);
            let of = |kind| inside.and_then(|inside| attribute(inside, kind)).and_then(be64);
            (of(1).unwrap_or(0), of(2).unwrap_or(0))
        };
        let (forward, reverse) = (counters(COUNTERS_ORIGINAL), counters(COUNTERS_REPLY));
        let tcp = message.find(PROTOINFO).and_then(|info| attribute(info, 1));
        let state = tcp.and_then(|tcp| attribute(tcp, 1)).and_then(|state| state.first().copied());
        let started = message.find(TIMESTAMP).and_then(|times| attribute(times, 1));
        Some(Self {
            packet: Packet {
                src: original.src,
                dst: reply.src,
                protocol: original.protocol,
                src_port: if has_ports { original.src_port } else { 0 },
                dst_port: if has_ports { reply.src_port } else { 0 },
                icmp_type: original.icmp.0,
                icmp_code: original.icmp.1,
            },
            packets: [forward.0, reverse.0],
            bytes: [forward.1, reverse.1],
            is_closed: state.is_some_and(|state| state > TCP_FIN_WAIT + 1 && state < 9),
            started_ns: started.and_then(be64).unwrap_or(0),
            tuple: message.find(TUPLE_ORIGINAL).unwrap_or_default().to_vec(),
            id: message.find(ID).unwrap_or_default().to_vec(),
            family: message.family(),
        })
    }

    pub fn id(&self) -> u32 {
        self.id.first_chunk().map_or(0, |id| u32::from_be_bytes(*id))
    }
}

pub fn all(socket: &mut Socket) -> Result<Vec<Tracked>, EnforceError> {
    let mut found = Vec::new();
    let kind = (CONNTRACK << 8 | GET, 0);
    socket.dump("list the tracked flows", kind, &Attributes::new(), |message| {
        found.extend(Tracked::read(&message));
    })?;
    Ok(found)
}

/// Forgets every flow of these addresses: what comes next is a first packet.
pub fn forget(socket: &mut Socket, addresses: &[IpAddr]) -> Result<(), EnforceError> {
    let action = "forget tracked flows";
    for flow in all(socket)? {
        if !addresses.contains(&flow.packet.src) && !addresses.contains(&flow.packet.dst) {
            continue;
        }
        let name = Attributes::new().nest(TUPLE_ORIGINAL, Attributes::raw(&flow.tuple));
        let name = name.bytes(ID, &flow.id);
        match socket.ask((CONNTRACK << 8 | DELETE, 0, flow.family, 0), &name) {
            Ok(()) | Err(nix::Error::ENOENT) => {}
            Err(error) => return Err(failed(action, error)),
        }
    }
    Ok(())
}
