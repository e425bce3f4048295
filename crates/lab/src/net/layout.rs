//! The wiring of a world, as `ip -batch` text.
//!
//! ```text
//!  pod netns            node netns (router)              outside netns
//!  eth0 ──veth── bhl7   bhl7 ─┐                 ┌─ n1 ── lo: external addresses
//!  10.65.0.7/32         /32, /128 host routes   │
//!                       bhl8 ─┴─ up0 ────veth───┘  n2 ── next node
//! ```
//!
//! Pods reach everything through link-local gateways. All neighbours are written down, so that no
//! packet waits for ARP or neighbour discovery. Pure text: nothing is run here.

use std::fmt::Write;
use std::net::IpAddr;

use crate::world::Endpoint;

/// The MAC of every host-side end, and of the gateway that pods see.
const GATEWAY_MAC: &str = "ee:ee:ee:ee:ee:ee";
const GATEWAY_V4: &str = "169.254.1.1";
const GATEWAY_V6: &str = "fe80::1";
const OUTSIDE_V4: &str = "169.254.65.1";
const OUTSIDE_V6: &str = "fe80::65:1";

/// Lines to run in the outside namespace, a node's and an endpoint's, in this order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lines {
    pub outside: String,
    pub node: String,
    pub endpoint: String,
}

/// Name of the host-side interface of the endpoint with this index.
pub fn interface(index: usize) -> String {
    format!("bhl{index}")
}

/// The outside namespace before any node is wired to it.
pub fn outside() -> String {
    format!("link set lo up\naddr add {OUTSIDE_V4}/32 dev lo\n")
}

/// Wires a node to the outside.
pub fn node(index: usize, netns: &str) -> Lines {
    let mut lines = Lines::default();
    let (v4, v6) = node_addresses(index);
    let (near, far) = (mac(0xb1, index), mac(0xb2, index));
    // writing to a String cannot fail
    let _ = write!(
        lines.outside,
        "link add n{index} address {near} type veth peer name up0 address {far} netns {netns}\n\
         link set n{index} addrgenmode none\n\
         link set n{index} up\n\
         neigh add {v4} lladdr {far} dev n{index} nud permanent\n\
         neigh add {v6} lladdr {far} dev n{index} nud permanent\n\
         route add {v4}/32 dev n{index}\n"
    );
    let _ = write!(
        lines.node,
        "link set lo up\n\
         link set up0 addrgenmode none\n\
         link set up0 up\n\
         addr add {v4}/32 dev up0\n\
         addr add fdbe:64::{index:x}/128 dev up0 nodad\n\
         neigh add {OUTSIDE_V4} lladdr {near} dev up0 nud permanent\n\
         neigh add {OUTSIDE_V6} lladdr {near} dev up0 nud permanent\n\
         route add default via {OUTSIDE_V4} dev up0 onlink\n\
         route add default via {OUTSIDE_V6} dev up0 onlink\n"
    );
    lines
}

/// Wires an endpoint to its node.
pub fn endpoint(endpoint: &Endpoint, index: usize, node: usize, netns: &str) -> Lines {
    let mut lines = Lines::default();
    let (inner, interface) = (mac(0xb0, index), interface(index));
    let (node_v4, node_v6) = node_addresses(node);
    let _ = write!(
        lines.node,
        "link add {interface} address {GATEWAY_MAC} type veth peer name eth0 address {inner} netns {netns}\n\
         link set {interface} addrgenmode none\n\
         link set {interface} up\n"
    );
    lines.endpoint.push_str("link set lo up\nlink set eth0 addrgenmode none\nlink set eth0 up\n");
    for address in &endpoint.addresses {
        let bits = if address.is_ipv6() { 128 } else { 32 };
        let via = if address.is_ipv6() { &node_v6 } else { &node_v4 };
        let nodad = if address.is_ipv6() { " nodad" } else { "" };
        let _ = writeln!(lines.outside, "route add {address}/{bits} via {via} dev n{node} onlink");
        let _ = write!(
            lines.node,
            "route add {address}/{bits} dev {interface}\n\
             neigh add {address} lladdr {inner} dev {interface} nud permanent\n"
        );
        let _ = writeln!(lines.endpoint, "addr add {address}/{bits} dev eth0{nodad}");
    }
    for (v6, gateway) in [(false, GATEWAY_V4), (true, GATEWAY_V6)] {
        if endpoint.address(v6).is_some() {
            let _ = write!(
                lines.endpoint,
                "neigh add {gateway} lladdr {GATEWAY_MAC} dev eth0 nud permanent\n\
                 route add default via {gateway} dev eth0 onlink\n"
            );
        }
    }
    lines
}

/// Gives the outside namespace an address of its own.
pub fn outside_address(address: IpAddr) -> String {
    if address.is_ipv6() {
        format!("addr add {address}/128 dev lo nodad\n")
    } else {
        format!("addr add {address}/32 dev lo\n")
    }
}

fn node_addresses(index: usize) -> (String, String) {
    (format!("169.254.64.{index}"), format!("fe80::64:{index:x}"))
}

fn mac(kind: u8, index: usize) -> String {
    format!("02:{kind:02x}:00:00:{:02x}:{:02x}", (index >> 8) & 0xff, index & 0xff)
}
