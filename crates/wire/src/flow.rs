//! Evidence: what one endpoint's interface saw of one flow.

use std::net::IpAddr;
use std::sync::Arc;

use bulkhead_types::{Direction, EndpointId, Labels, Names, Packet, Revision, Verdict};
use serde::{Deserialize, Serialize};

/// Why a record was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum FlowEvent {
    /// First packet, allowed.
    New,
    /// First packet, denied.
    Denied,
    /// An allowed flow that a newer program no longer allows.
    LateDenied,
    /// Closed or idle for too long; counters are final.
    Ended,
    /// Counters of a flow that goes on (also of repeated denied packets).
    Update,
}

/// Who stands behind an address. Unknown addresses have no `Peer`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Peer {
    pub id: Arc<EndpointId>,
    pub labels: Arc<Labels>,
}

/// `packet` is the flow's first packet: its source opened the flow. The reporter is the source for
/// `Egress` and the destination for `Ingress`, so a flow between two enforced endpoints is reported
/// twice, once by each.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FlowRecord {
    pub node: Arc<str>,
    pub event: FlowEvent,
    pub reporter: Arc<EndpointId>,
    pub direction: Direction,
    pub packet: Packet,
    /// Filled by the node for its own endpoints, by the server for every other known address.
    pub src: Option<Arc<Peer>>,
    pub dst: Option<Arc<Peer>>,
    /// Under which the reporter has looked the destination up, where it opened the flow.
    pub names: Names,
    /// With the Log rules that the flow's first packet has matched.
    pub verdict: Arc<Verdict>,
    /// The program revision that judged.
    pub revision: Revision,
    /// Since the flow began; forward is from the opener.
    pub packets_forward: u64,
    pub bytes_forward: u64,
    pub packets_reverse: u64,
    pub bytes_reverse: u64,
    /// Unix time in nanoseconds.
    pub started_ns: u64,
    pub seen_ns: u64,
}

impl FlowRecord {
    /// The address at the other end from the reporter.
    pub fn remote(&self) -> IpAddr {
        match self.direction {
            Direction::Ingress => self.packet.src,
            Direction::Egress => self.packet.dst,
        }
    }
}
