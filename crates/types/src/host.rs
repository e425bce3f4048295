//! The words about hosts: where on a packet's way they are judged, and what is open whatever
//! policies say.

use std::fmt;
use std::net::IpAddr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use crate::Direction;
use crate::{Packet, Protocol};

/// When in a packet's way a host endpoint is asked, in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum HostStage {
    /// Before connection tracking.
    Untracked,
    /// Before destination NAT; what comes in only.
    PreDnat,
    /// To and from processes of the host itself.
    Normal,
    /// Through the host.
    Forward,
}

/// The interfaces that a host endpoint stands for.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum HostInterface {
    /// All of the host's own; never those of its workloads.
    All,
    Named(String),
    /// Those that have one of the endpoint's addresses.
    ByAddress,
}

/// A port that is open on a host whatever policies say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct FailsafePort {
    pub protocol: Protocol,
    pub port: u16,
    /// For these remote addresses only.
    pub net: Option<IpNet>,
}

const TCP_BOTH_WAYS: [u16; 7] = [179, 2379, 2380, 5473, 6443, 6666, 6667];

/// What is open where nobody says otherwise: remote login, addresses and names, routes, and the way
/// to the control plane.
pub fn default_failsafe(direction: Direction) -> Vec<FailsafePort> {
    let port = |protocol, port| FailsafePort { protocol, port, net: None };
    let both = TCP_BOTH_WAYS.map(|number| port(Protocol::TCP, number));
    let more = match direction {
        Direction::Ingress => [port(Protocol::TCP, 22), port(Protocol::UDP, 68)],
        Direction::Egress => [port(Protocol::UDP, 53), port(Protocol::UDP, 67)],
    };
    let mut ports: Vec<FailsafePort> = both.into_iter().chain(more).collect();
    ports.sort_unstable();
    ports
}

/// What a workload's traffic to its own host meets after the workload's egress policy.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize,
)]
pub enum ToHost {
    #[default]
    Drop,
    Accept,
    /// Leaves it to the host's own rules.
    Return,
}

impl HostStage {
    pub const ALL: [HostStage; 4] =
        [HostStage::Untracked, HostStage::PreDnat, HostStage::Normal, HostStage::Forward];

    /// Whether an allow by a rule ends the host's part in the packet's way. Elsewhere it is the
    /// host's last word anyway.
    pub fn is_early(self) -> bool {
        matches!(self, HostStage::Untracked | HostStage::PreDnat)
    }
}

impl fmt::Display for HostStage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            HostStage::Untracked => "untracked",
            HostStage::PreDnat => "preDNAT",
            HostStage::Normal => "normal",
            HostStage::Forward => "forward",
        })
    }
}

impl FailsafePort {
    /// Whether a packet to this port, with `remote` at the other end, is meant.
    pub fn is_for(&self, packet: &Packet, remote: IpAddr) -> bool {
        self.fits(packet.protocol, packet.dst_port, remote)
    }

    /// Whether the packet could be the answer to one that [`FailsafePort::is_for`]. Where nothing
    /// tracks connections, answers are judged like first packets.
    pub fn is_answered_by(&self, packet: &Packet, remote: IpAddr) -> bool {
        self.fits(packet.protocol, packet.src_port, remote)
    }

    fn fits(&self, protocol: Protocol, port: u16, remote: IpAddr) -> bool {
        self.protocol == protocol
            && self.port == port
            && self.net.is_none_or(|net| net.contains(&remote))
    }
}
