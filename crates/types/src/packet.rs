//! The packet that every engine is asked about: the first one of a new flow.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::Protocol;

/// Header facts of a flow's first packet.
///
/// Ports are 0 where the protocol has none. `icmp_type` and `icmp_code` count only for
/// ICMP and ICMPv6 and are 0 elsewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Packet {
    pub src: IpAddr,
    pub dst: IpAddr,
    pub protocol: Protocol,
    pub src_port: u16,
    pub dst_port: u16,
    pub icmp_type: u8,
    pub icmp_code: u8,
}
