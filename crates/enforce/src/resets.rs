//! Resets for the two ends of a TCP connection that was cut, so that neither waits for the other.
//!
//! A reset is believed where its sequence number is the next one that its receiver waits for (RFC 5961).
//! For the receiver of the packet that was cut this is the packet's own; for its sender, the one that the
//! packet acknowledges.

use std::net::IpAddr;

use bulkhead_enforce_abi::{EVENT_CUT, Event};
use bulkhead_types::Packet;

use crate::realized::unmapped;

const TCP: u8 = 6;
const RST: u8 = 0x04;
const TCP_HEADER: usize = 20;

/// What is sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resets {
    pub ifindex: u32,
    /// A frame to the workload.
    pub frame: Vec<u8>,
    /// An IP packet to the other end.
    pub packet: Vec<u8>,
    pub remote: IpAddr,
}

/// `None` for every other event.
pub fn resets(event: &Event) -> Option<Resets> {
    if event.kind != EVENT_CUT || event.key.protocol != TCP {
        return None;
    }
    let from_local = event.from_workload != 0;
    let (number, acknowledged) = (event.number, event.flow.zero2);
    let (to_local, to_remote) =
        if from_local { (acknowledged, number) } else { (number, acknowledged) };
    let local = (unmapped(event.key.local), event.key.local_port);
    let remote = (unmapped(event.key.remote), event.key.remote_port);
    let inner = reset(remote, local, to_local)?;
    let (to, from) = event.flow.real.0.split_at_checked(6)?;
    let from = from.get(..6)?;
    let (workload, node) = if from_local { (from, to) } else { (to, from) };
    let kind: [u8; 2] = if local.0.is_ipv4() { [0x08, 0x00] } else { [0x86, 0xdd] };
    let frame = [workload, node, &kind, &inner].concat();
    let packet = reset(local, remote, to_remote)?;
    Some(Resets { ifindex: event.ifindex, frame, packet, remote: remote.0 })
}

/// IP packets to the two ends of a connection of which this packet was cut: to its receiver, and to its
/// sender.
pub fn both_ends(
    packet: &Packet,
    (number, acknowledged): (u32, u32),
) -> Option<[(IpAddr, Vec<u8>); 2]> {
    let (src, dst) = ((packet.src, packet.src_port), (packet.dst, packet.dst_port));
    Some([(dst.0, reset(src, dst, number)?), (src.0, reset(dst, src, acknowledged)?)])
}

fn reset(src: (IpAddr, u16), dst: (IpAddr, u16), number: u32) -> Option<Vec<u8>> {
    let mut segment = Vec::with_capacity(TCP_HEADER);
    segment.extend(src.1.to_be_bytes());
    segment.extend(dst.1.to_be_bytes());
    segment.extend(number.to_be_bytes());
    segment.extend([0, 0, 0, 0, 0x50, RST, 0, 0, 0, 0, 0, 0]);
    let (mut header, ends) = match (src.0, dst.0) {
        (IpAddr::V4(src), IpAddr::V4(dst)) => {
            let ends = [src.octets(), dst.octets()].concat();
            let length = (20 + TCP_HEADER) as u16;
            let mut header = vec![0x45, 0];
            header.extend(length.to_be_bytes());
            header.extend([0, 0, 0x40, 0, 64, TCP, 0, 0]);
            header.extend(&ends);
            let sum = checksum(&[&header]);
            header.get_mut(10..12)?.copy_from_slice(&sum);
            (header, ends)
        }
        (IpAddr::V6(src), IpAddr::V6(dst)) => {
            let ends = [src.octets(), dst.octets()].concat();
            let mut header = vec![0x60, 0, 0, 0];
            header.extend((TCP_HEADER as u16).to_be_bytes());
            header.extend([TCP, 64]);
            header.extend(&ends);
            (header, ends)
        }
        _ => return None,
    };
    let pseudo = [0, TCP, 0, TCP_HEADER as u8];
    let sum = checksum(&[&ends, &pseudo, &segment]);
    segment.get_mut(16..18)?.copy_from_slice(&sum);
    header.extend(segment);
    Some(header)
}

/// The internet checksum (RFC 1071) over parts of an even number of bytes.
fn checksum(parts: &[&[u8]]) -> [u8; 2] {
    let pairs = parts.iter().flat_map(|part| part.chunks_exact(2));
    let words = pairs.filter_map(|pair| pair.first_chunk::<2>());
    let mut sum: u32 = words.map(|word| u32::from(u16::from_be_bytes(*word))).sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    (!(sum as u16)).to_be_bytes()
}
