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

/// What a packet's first header says, whatever follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Headers {
    pub src: IpAddr,
    pub dst: IpAddr,
    pub protocol: Protocol,
    /// Where the transport begins.
    pub l4: usize,
    pub bytes: u64,
}

pub fn headers(bytes: &[u8]) -> Option<Headers> {
    match bytes.first()? >> 4 {
        4 => {
            let (src, dst) = (octets::<4>(bytes, 12)?, octets::<4>(bytes, 16)?);
            Some(Headers {
                src: Ipv4Addr::from(src).into(),
                dst: Ipv4Addr::from(dst).into(),
                protocol: Protocol(*bytes.get(9)?),
                l4: usize::from(bytes.first()? & 0x0f) * 4,
                bytes: u64::from(u16::from_be_bytes(octets(bytes, 2)?)),
            })
        }
        6 => {
            let (src, dst) = (octets::<16>(bytes, 8)?, octets::<16>(bytes, 24)?);
            let mut next = *bytes.get(6)?;
            let mut l4 = 40;
            for _ in 0..EXTENSIONS_MAX {
                let rest = bytes.get(l4..)?;
                let length = match next {
                    0 | 43 | 60 => (usize::from(*rest.get(1)?) + 1) * 8,
                    44 => 8,
                    51 => (usize::from(*rest.get(1)?) + 2) * 4,
                    _ => break,
                };
                next = *rest.first()?;
                l4 += length;
            }
            Some(Headers {
                src: Ipv6Addr::from(src).into(),
                dst: Ipv6Addr::from(dst).into(),
                protocol: Protocol(next),
                l4,
                bytes: u64::from(u16::from_be_bytes(octets(bytes, 4)?)) + 40,
            })
        }
        _ => None,
    }
}

pub fn read(bytes: &[u8]) -> Option<Seen> {
    let Headers { src, dst, protocol, l4, bytes: total } = headers(bytes)?;
    transport((src, dst), protocol, bytes.get(l4..)?, total)
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
