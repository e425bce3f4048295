//! Host endpoints: the interfaces of the node itself, judged in stages.
//!
//! A stage has no say where it answers allow by `RuleRef::StageDefault`, and, at an early stage, by
//! `RuleRef::Failsafe`: the next stage is asked. So rows stay total and every leaf names who spoke;
//! see `docs/decisions/0009-host-stages.md`.
//!
//! Unlike a workload, a host endpoint has no fixed addresses of its own: what it forwards goes to and
//! comes from anywhere. Rules may ask about the near address too, so each stage finds its program by
//! the longest prefix over that address.

use std::collections::BTreeMap;
use std::net::IpAddr;

use bulkhead_types::{
    Direction, EndpointId, FailsafePort, HostInterface, HostStage, Labels, NO_NAMES, Packet,
    RuleRef, Verdict,
};
use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use crate::id::ProgramId;
use crate::program::NodeProgram;

/// A host endpoint of this node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostProgram {
    pub id: EndpointId,
    /// For flow records only; never an input to a decision.
    pub labels: Labels,
    pub interface: HostInterface,
    /// Addresses that the endpoint is known to have. Sorted, without duplicates.
    pub addresses: Vec<IpAddr>,
    /// A stage that is not here has no say.
    pub stages: Stages,
    /// As they would be if every staged policy were enforced; empty where they would be the same.
    pub staged: Stages,
    pub failsafe_inbound: Vec<FailsafePort>,
    pub failsafe_outbound: Vec<FailsafePort>,
}

pub type Stages = BTreeMap<(HostStage, Direction), Locals>;

/// Programs by the near address: the longest prefix counts. The two whole families are always here.
pub type Locals = BTreeMap<IpNet, ProgramId>;

impl HostProgram {
    /// Whether the port is open at the stage whatever the policies say. Without connection tracking
    /// the answers to such packets must be open too.
    pub fn is_failsafe(&self, stage: HostStage, direction: Direction, packet: &Packet) -> bool {
        let (ports, reverse, remote) = match direction {
            Direction::Ingress => (&self.failsafe_inbound, &self.failsafe_outbound, packet.src),
            Direction::Egress => (&self.failsafe_outbound, &self.failsafe_inbound, packet.dst),
        };
        let is_answer = |port: &FailsafePort| port.is_answered_by(packet, remote);
        match stage {
            HostStage::Forward => false,
            _ if ports.iter().any(|port| port.is_for(packet, remote)) => true,
            HostStage::Untracked => reverse.iter().any(is_answer),
            HostStage::PreDnat | HostStage::Normal => false,
        }
    }
}

impl NodeProgram {
    /// The word of a host endpoint about the first packet of a new flow at one stage.
    ///
    /// Everything that the program does not say is denied as `RuleRef::Unknown`: no such endpoint,
    /// a dangling id.
    pub fn decide_host(
        &self,
        host: &EndpointId,
        stage: HostStage,
        direction: Direction,
        packet: &Packet,
    ) -> Verdict {
        let Some(host) = self.hosts.get(host) else { return Verdict::unknown() };
        self.judge_host(host, &host.stages, stage, direction, packet)
    }

    /// As [`NodeProgram::decide_host`], if every staged policy were enforced.
    pub fn decide_host_staged(
        &self,
        host: &EndpointId,
        stage: HostStage,
        direction: Direction,
        packet: &Packet,
    ) -> Verdict {
        let Some(host) = self.hosts.get(host) else { return Verdict::unknown() };
        let stages = if host.staged.is_empty() { &host.stages } else { &host.staged };
        self.judge_host(host, stages, stage, direction, packet)
    }

    fn judge_host(
        &self,
        host: &HostProgram,
        stages: &Stages,
        stage: HostStage,
        direction: Direction,
        packet: &Packet,
    ) -> Verdict {
        let nothing_said = (stage, direction) == (HostStage::PreDnat, Direction::Egress);
        if !nothing_said && host.is_failsafe(stage, direction, packet) {
            return Verdict::allow(RuleRef::Failsafe);
        }
        let Some(locals) = stages.get(&(stage, direction)) else {
            return Verdict::allow(RuleRef::StageDefault);
        };
        let (local, remote) = match direction {
            Direction::Ingress => (packet.dst, packet.src),
            Direction::Egress => (packet.src, packet.dst),
        };
        longest(|prefix| locals.get(prefix).copied(), local)
            .and_then(|program| self.judge(program, direction, remote, packet, &NO_NAMES))
            .unwrap_or_else(Verdict::unknown)
    }
}

/// The value of the longest prefix over the address.
pub(crate) fn longest<V>(table: impl Fn(&IpNet) -> Option<V>, address: IpAddr) -> Option<V> {
    let longest = IpNet::from(address).prefix_len();
    (0..=longest)
        .rev()
        .filter_map(|length| IpNet::new(address, length).ok())
        .find_map(|prefix| table(&prefix.trunc()))
}
