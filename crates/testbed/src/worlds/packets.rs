//! Packets that look for trouble.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use bulkhead_types::{Packet, Protocol};
use ipnet::IpNet;
use rand::Rng;

use super::words::{NETS_V4, NETS_V6, PORTS, pick};
use super::{World, rng};

impl World {
    /// The first `count` packets of the world's stream.
    pub fn packets(&self, count: usize) -> Vec<Packet> {
        packets(self.seed, count)
    }
}

pub fn packets(seed: u64, count: usize) -> Vec<Packet> {
    let mut rng = rng(seed, 1);
    (0..count).map(|_| packet(&mut rng)).collect()
}

fn packet(rng: &mut impl Rng) -> Packet {
    let v6 = rng.random_bool(0.35);
    let protocol = match rng.random_range(0..12) {
        0..=3 => Protocol::TCP,
        4 | 5 => Protocol::UDP,
        6 => Protocol::SCTP,
        7 | 8 if v6 => Protocol::ICMPV6,
        7 | 8 => Protocol::ICMP,
        9 => Protocol::UDPLITE,
        10 => Protocol(47),
        _ => Protocol(rng.random()),
    };
    let ports = protocol.has_ports();
    let icmp = protocol.is_icmp();
    Packet {
        src: address(rng, v6),
        dst: address(rng, v6),
        protocol,
        src_port: if ports { port(rng) } else { 0 },
        dst_port: if ports { port(rng) } else { 0 },
        icmp_type: if icmp { *pick(rng, &[0, 7, 8, 9, 127, 128, 129, 255]) } else { 0 },
        icmp_code: if icmp { *pick(rng, &[0, 1, 255]) } else { 0 },
    }
}

/// A port that some rule may name, or a neighbour.
fn port(rng: &mut impl Rng) -> u16 {
    if rng.random_bool(0.1) {
        return rng.random();
    }
    let port = *pick(rng, &PORTS);
    match rng.random_range(0..6) {
        0 => port.saturating_sub(1),
        1 => port.saturating_add(1),
        _ => port,
    }
}

/// Mostly endpoints; then the edges of nets; then anything.
fn address(rng: &mut impl Rng, v6: bool) -> IpAddr {
    match rng.random_range(0..20) {
        0 => {
            // A node.
            let low = rng.random_range(200..=202);
            if v6 {
                Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, low).into()
            } else {
                Ipv4Addr::new(10, 0, 0, low as u8).into()
            }
        }
        1..=12 => {
            let low = rng.random_range(0..=10);
            if v6 {
                Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, low).into()
            } else {
                Ipv4Addr::new(10, 0, 0, low as u8).into()
            }
        }
        13..=17 => {
            let from: &[&str] = if v6 { &NETS_V6 } else { &NETS_V4 };
            let net = *pick(rng, from);
            edge(rng, net)
        }
        _ if v6 => Ipv6Addr::from(rng.random::<u128>()).into(),
        _ => Ipv4Addr::from(rng.random::<u32>()).into(),
    }
}

/// The first or last address of a net, or the one just outside.
fn edge(rng: &mut impl Rng, text: &str) -> IpAddr {
    let net = text.parse::<IpNet>().or_else(|_| text.parse::<IpAddr>().map(IpNet::from));
    let net = net.expect("the vocabulary's nets are nets");
    let outward = rng.random_bool(0.4);
    let up = rng.random_bool(0.5);
    let edge = if up { net.broadcast() } else { net.network() };
    match (edge, up, outward) {
        (edge, _, false) => edge,
        (IpAddr::V4(a), true, true) => Ipv4Addr::from(u32::from(a).wrapping_add(1)).into(),
        (IpAddr::V4(a), false, true) => Ipv4Addr::from(u32::from(a).wrapping_sub(1)).into(),
        (IpAddr::V6(a), true, true) => Ipv6Addr::from(u128::from(a).wrapping_add(1)).into(),
        (IpAddr::V6(a), false, true) => Ipv6Addr::from(u128::from(a).wrapping_sub(1)).into(),
    }
}
