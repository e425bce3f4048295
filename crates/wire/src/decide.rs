//! The compiled verdict: what the kernel must answer, written plainly.

use std::net::IpAddr;

use bulkhead_types::{Direction, EndpointId, NO_NAMES, Names, Packet, Verdict};

use crate::host::longest;
use crate::id::{ClassId, ProgramId};
use crate::program::NodeProgram;

impl NodeProgram {
    /// The verdict of `endpoint` about the first packet of a new flow, which it receives
    /// (`Ingress`) or sends (`Egress`).
    ///
    /// Everything that the program does not say is denied as `RuleRef::Unknown`: no such endpoint,
    /// a local address that is not the endpoint's, a dangling id.
    pub fn decide(&self, endpoint: &EndpointId, direction: Direction, packet: &Packet) -> Verdict {
        self.decide_named(endpoint, direction, packet, &NO_NAMES)
    }

    /// As [`NodeProgram::decide`], where the endpoint looked the destination of what it sends up under
    /// `names`.
    pub fn decide_named(
        &self,
        endpoint: &EndpointId,
        direction: Direction,
        packet: &Packet,
        names: &Names,
    ) -> Verdict {
        self.look_up(endpoint, direction, packet, names, false).unwrap_or_else(Verdict::unknown)
    }

    /// As [`NodeProgram::decide_named`], if every staged policy were enforced.
    pub fn decide_staged(
        &self,
        endpoint: &EndpointId,
        direction: Direction,
        packet: &Packet,
        names: &Names,
    ) -> Verdict {
        self.look_up(endpoint, direction, packet, names, true).unwrap_or_else(Verdict::unknown)
    }

    fn look_up(
        &self,
        endpoint: &EndpointId,
        direction: Direction,
        packet: &Packet,
        names: &Names,
        is_staged: bool,
    ) -> Option<Verdict> {
        let (local, remote) = match direction {
            Direction::Ingress => (packet.dst, packet.src),
            Direction::Egress => (packet.src, packet.dst),
        };
        let endpoint = self.endpoints.get(endpoint)?;
        let enforced = endpoint.addresses.get(&local)?;
        let staged = endpoint.staged.get(&local).filter(|_| is_staged);
        let judges = staged.unwrap_or(enforced);
        let program = match direction {
            Direction::Ingress => judges.ingress,
            Direction::Egress => judges.egress,
        };
        self.judge(program, direction, remote, packet, names)
    }

    /// What a program says about a remote address; `None` where an id is dangling.
    pub(crate) fn judge(
        &self,
        program: ProgramId,
        direction: Direction,
        remote: IpAddr,
        packet: &Packet,
        names: &Names,
    ) -> Option<Verdict> {
        let class = self.class_of(remote);
        let set = match direction {
            Direction::Ingress => None,
            Direction::Egress => self.names.seen_by(program, &self.names.tags_of(names)),
        };
        let row = match set {
            Some(set) => self.names.row(program, class, set)?,
            None => *self
                .entries
                .get(&(program, class))
                .or_else(|| self.entries.get(&(program, ClassId::OUTSIDE)))?,
        };
        let leaf = self.rows.get(&row)?.find(packet)?;
        let (rule, logged) = self.rule_of(leaf.rule)?;
        Some(Verdict { decision: leaf.decision, rule, logged })
    }

    /// Longest prefix wins; uncovered addresses are `OUTSIDE`.
    pub fn class_of(&self, address: IpAddr) -> ClassId {
        longest(|prefix| self.classes.get(prefix).copied(), address).unwrap_or(ClassId::OUTSIDE)
    }
}
