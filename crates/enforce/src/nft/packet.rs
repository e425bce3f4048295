//! The first headers of a told packet.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use bulkhead_types::{Packet, Protocol};

const EXTENSIONS_MAX: usize = 8;
const TCP_SYN: u8 = 0x02;
const TCP_RST: u8 = 0x04;
const TCP_ACK: u8 = 0x10;

/// A packet as far as it was told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
    pub packet: Packet,
    /// As its header says, whatever was cut off.
    pub bytes: u64,
    pub is_reset: bool,
    /// Of a packet in the middle of a TCP connection: its own number and the one that it acknowledges.
    pub numbers: Option<(u32, u32)>,
}

pub fn read(bytes: &[u8]) -> Option<Seen> {
    match bytes.first()? >> 4 {
        4 => {
            let header = usize::from(bytes.first()? & 0x0f) * 4;
            let (src, dst) = (octets::<4>(bytes, 12)?, octets::<4>(bytes, 16)?);
            let ends = (Ipv4Addr::from(src).into(), Ipv4Addr::from(dst).into());
            let total = u64::from(u16::from_be_bytes(octets(bytes, 2)?));
            transport(ends, Protocol(*bytes.get(9)?), bytes.get(header..)?, total)
        }
        6 => {
            let (src, dst) = (octets::<16>(bytes, 8)?, octets::<16>(bytes, 24)?);
            let ends = (Ipv6Addr::from(src).into(), Ipv6Addr::from(dst).into());
            let total = u64::from(u16::from_be_bytes(octets(bytes, 4)?)) + 40;
            let mut next = *bytes.get(6)?;
            let mut rest = bytes.get(40..)?;
            for _ in 0..EXTENSIONS_MAX {
                let length = match next {
                    0 | 43 | 60 => (usize::from(*rest.get(1)?) + 1) * 8,
                    44 => 8,
                    51 => (usize::from(*rest.get(1)?) + 2) * 4,
                    _ => break,
                };
                next = *rest.first()?;
                rest = rest.get(length..)?;
            }
            transport(ends, Protocol(next), rest, total)
        }
        _ => None,
    }
}

fn octets<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..)?.first_chunk().copied()
}

fn transport(
    (src, dst): (IpAddr, IpAddr),
    protocol: Protocol,
    rest: &[u8],
    bytes: u64,
) -> Option<Seen> {
    let mut packet =
        Packet { src, dst, protocol, src_port: 0, dst_port: 0, icmp_type: 0, icmp_code: 0 };
    if protocol.has_ports() {
        packet.src_port = u16::from_be_bytes(octets(rest, 0)?);
        packet.dst_port = u16::from_be_bytes(octets(rest, 2)?);
    } else if protocol.is_icmp() {
        [packet.icmp_type, packet.icmp_code] = octets(rest, 0)?;
    }
    let flags = rest.get(13).filter(|_| protocol == Protocol::TCP).copied().unwrap_or_default();
    let numbers = match flags & (TCP_SYN | TCP_RST | TCP_ACK) {
        TCP_ACK => {
            Some((u32::from_be_bytes(octets(rest, 4)?), u32::from_be_bytes(octets(rest, 8)?)))
        }
        _ => None,
    };
    Some(Seen { packet, bytes, is_reset: flags & TCP_RST != 0, numbers })
}

/// The same flow's packet from the other end; of a query's answer, the query.
pub fn turned(packet: Packet) -> Packet {
    let icmp_type = match (packet.protocol, packet.icmp_type) {
        (Protocol::ICMP, 0) => 8,
        (Protocol::ICMP, answer @ (14 | 16 | 18)) => answer - 1,
        (Protocol::ICMPV6, 129) => 128,
        (_, same) => same,
    };
    Packet {
        src: packet.dst,
        dst: packet.src,
        src_port: packet.dst_port,
        dst_port: packet.src_port,
        icmp_type,
        ..packet
    }
}
