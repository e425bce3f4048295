//! A link of the node with its addresses: where host endpoints stand, and what workloads' interfaces are
//! ports of.

use std::collections::BTreeSet;
use std::net::IpAddr;

use super::message::Seen;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Link {
    pub name: String,
    pub mac: [u8; 6],
    /// The interface that it is a port of.
    pub master: Option<u32>,
    pub is_loopback: bool,
    pub is_bridge: bool,
    pub addresses: BTreeSet<IpAddr>,
}

impl Link {
    pub fn of(seen: &Seen, addresses: BTreeSet<IpAddr>) -> Self {
        let Seen { name, mac, master, is_loopback, is_bridge, .. } = seen.clone();
        Self { name, mac, master, is_loopback, is_bridge, addresses }
    }
}
