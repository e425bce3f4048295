//! Everyone who has a word about a packet on its whole way, in the order in which they are asked.
//!
//! ```text
//! process of a host ──▶ untracked, normal ──────────────────────────────┐
//! workload ──▶ its egress ─┬─▶ to its own host: the setting of the node │
//!                          └─▶ forward (out) ───────────────────────────┤
//!                                                                       ▼
//!                              untracked, preDNAT ─┬─▶ normal ──▶ process of a host
//!                                                  └─▶ forward (in) ──▶ ingress ──▶ workload
//! ```
//!
//! A rule that allows at an early stage is the last word of its host endpoint. Workloads of one
//! node meet no host endpoint between them, and a host always reaches its own workloads.
//!
//! The way is found from the facts; who answers is the caller's choice, so that the slow reading
//! and the compiled program are asked the same questions.

use std::fmt;
use std::net::IpAddr;

use bulkhead_types::{
    Decision, Direction, EndpointId, EndpointKind, HostInterface, HostStage, NO_NAMES, Names,
    Packet, RuleRef, ToHost, Verdict,
};

use super::trace::Trace;
use super::world::World;
use crate::facts::{Endpoint, HostEndpoint};

/// Every word on the way. The packet arrives where all of them allow.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Way {
    pub legs: Vec<Leg>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leg {
    /// `Egress`: on the side of the source, `Ingress`: on that of the destination.
    pub end: Direction,
    pub asked: Asked,
    pub verdict: Verdict,
}

/// Who has a word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Asked {
    Workload(EndpointId, Direction),
    Host(EndpointId, HostStage, Direction),
    /// The settings of a node, which no policy changes.
    Node(String),
}

/// Where one end of a packet is.
enum Place<'a> {
    Workload(&'a Endpoint),
    /// A process of the node, behind the host endpoint if there is one.
    Host(&'a str, Option<&'a HostEndpoint>),
    Outside,
}

impl World {
    /// The whole way of the first packet of a new flow. `ends` names who stands at the source and
    /// at the destination where that is known; elsewhere the address tells. `names` are those under
    /// which the source looked the destination up.
    pub fn way(&self, ends: [Option<&EndpointId>; 2], packet: &Packet, names: &Names) -> Way {
        self.walk(ends, packet, |asked| self.answer(asked, packet, names))
    }

    /// As [`World::way`], with another one to answer. What the settings of a node decide is not
    /// asked for.
    pub fn walk(
        &self,
        [src, dst]: [Option<&EndpointId>; 2],
        packet: &Packet,
        mut ask: impl FnMut(&Asked) -> Verdict,
    ) -> Way {
        let (src, dst) = (self.place(src, packet.src), self.place(dst, packet.dst));
        let mut walk = Walk { world: self, ask: &mut ask, way: Way::default() };
        match (&src, &dst) {
            (Place::Workload(from), Place::Workload(to)) if from.id == to.id => {}
            (Place::Host(from, _), Place::Host(to, _)) if from == to => {}
            (Place::Host(node, _), Place::Workload(to)) if to.node.as_deref() == Some(*node) => {
                walk.decided(Direction::Ingress, node, Decision::Allow, RuleRef::HostToWorkload);
            }
            (Place::Workload(from), Place::Host(node, _))
                if from.node.as_deref() == Some(*node) =>
            {
                if walk.workload(from, Direction::Egress) {
                    walk.own_host(node);
                }
            }
            _ => {
                let is_local = src.node().is_some() && src.node() == dst.node();
                walk.departure(&src, is_local);
                walk.arrival(&dst, is_local);
            }
        }
        walk.way
    }

    /// What a host says about a packet that comes in by one of its host endpoints and goes out by
    /// another; `None` is an interface that no endpoint stands for.
    pub fn forward(
        &self,
        come: Option<&EndpointId>,
        go: Option<&EndpointId>,
        packet: &Packet,
    ) -> Way {
        let mut ask = |asked: &Asked| self.answer(asked, packet, &NO_NAMES);
        let mut walk = Walk { world: self, ask: &mut ask, way: Way::default() };
        if let Some(come) = come {
            walk.host(come, Direction::Ingress, HostStage::Forward);
        }
        if let Some(go) = go {
            walk.ask_host(go, HostStage::Forward, Direction::Egress);
        }
        walk.way
    }

    /// The steps behind the word of a leg; `None` where no rule was read.
    pub fn trace_leg(&self, leg: &Leg, packet: &Packet, names: &Names) -> Option<Trace> {
        match &leg.asked {
            Asked::Workload(id, direction) => Some(self.trace_named(id, *direction, packet, names)),
            Asked::Host(id, stage, direction) => {
                Some(self.trace_host(id, *stage, *direction, packet))
            }
            Asked::Node(_) => None,
        }
    }

    fn answer(&self, asked: &Asked, packet: &Packet, names: &Names) -> Verdict {
        match asked {
            Asked::Workload(id, direction) => self.decide_named(id, *direction, packet, names),
            Asked::Host(id, stage, direction) => self.decide_host(id, *stage, *direction, packet),
            Asked::Node(_) => Verdict::unknown(),
        }
    }

    fn place(&self, id: Option<&EndpointId>, address: IpAddr) -> Place<'_> {
        if let Some(id) = id.filter(|id| id.kind == EndpointKind::Host) {
            let host = self.host(id);
            return host.map_or(Place::Outside, |host| Place::Host(&host.node, Some(host)));
        }
        let workload = match id {
            Some(id) => self.endpoint(id),
            None => self.endpoint_at(address),
        };
        match (workload, self.node_of.get(&address)) {
            (Some(workload), _) => Place::Workload(workload),
            (None, Some(node)) => Place::Host(node, self.host_at(node, address)),
            (None, None) => Place::Outside,
        }
    }

    /// The host endpoint that stands for the interface with the address: one that names the
    /// address, else that of all interfaces, else one for an interface whose addresses nobody knows.
    fn host_at(&self, node: &str, address: IpAddr) -> Option<&HostEndpoint> {
        let rank = |host: &HostEndpoint| match &host.interface {
            HostInterface::All => Some(1),
            _ if host.addresses.contains(&address) => Some(0),
            HostInterface::Named(_) if host.addresses.is_empty() => Some(2),
            _ => None,
        };
        let of_node = self.hosts().filter(|host| host.node == node);
        let ranked = of_node.filter_map(|host| Some((rank(host)?, &host.id, host)));
        ranked.min_by_key(|(rank, id, _)| (*rank, *id)).map(|(_, _, host)| host)
    }

    /// The host endpoint by which a node is joined to the others: that of the node's first address,
    /// or the first of those there are where the node's object does not tell.
    fn gate(&self, node: &str) -> Option<&HostEndpoint> {
        let addresses = self.inventory.nodes.get(node).map(|node| &node.addresses);
        match addresses.and_then(|addresses| addresses.first()) {
            Some(address) => self.host_at(node, *address),
            None => {
                let of_node = self.hosts().filter(|host| host.node == node);
                of_node.min_by_key(|host| (host.interface != HostInterface::All, &host.id))
            }
        }
    }
}

impl Place<'_> {
    fn node(&self) -> Option<&str> {
        match self {
            Place::Workload(endpoint) => endpoint.node.as_deref(),
            Place::Host(node, _) => Some(node),
            Place::Outside => None,
        }
    }
}

struct Walk<'a, F> {
    world: &'a World,
    ask: &'a mut F,
    way: Way,
}

impl<F: FnMut(&Asked) -> Verdict> Walk<'_, F> {
    fn departure(&mut self, src: &Place<'_>, is_local: bool) {
        match src {
            Place::Outside => {}
            Place::Host(_, None) => {}
            Place::Host(_, Some(host)) => self.host(&host.id, Direction::Egress, HostStage::Normal),
            Place::Workload(from) => {
                let is_allowed = self.workload(from, Direction::Egress);
                let gate = from.node.as_deref().and_then(|node| self.world.gate(node));
                if let Some(gate) = gate.filter(|_| is_allowed && !is_local) {
                    self.ask_host(&gate.id, HostStage::Forward, Direction::Egress);
                }
            }
        }
    }

    fn arrival(&mut self, dst: &Place<'_>, is_local: bool) {
        match dst {
            Place::Outside => {}
            Place::Host(_, None) => {}
            Place::Host(_, Some(host)) => {
                self.host(&host.id, Direction::Ingress, HostStage::Normal);
            }
            Place::Workload(to) => {
                let gate = to.node.as_deref().and_then(|node| self.world.gate(node));
                if let Some(gate) = gate.filter(|_| !is_local) {
                    self.host(&gate.id, Direction::Ingress, HostStage::Forward);
                }
                if !self.way.is_denied_at(Direction::Ingress) {
                    self.workload(to, Direction::Ingress);
                }
            }
        }
    }

    /// The stages of one host endpoint, `last` at the end, until one of them has the last word.
    fn host(&mut self, id: &EndpointId, direction: Direction, last: HostStage) {
        for stage in [HostStage::Untracked, HostStage::PreDnat, last] {
            if (stage, direction) == (HostStage::PreDnat, Direction::Egress) {
                continue;
            }
            let verdict = self.ask_host(id, stage, direction);
            let is_said = matches!(verdict.rule, RuleRef::Rule { .. });
            if verdict.decision == Decision::Deny || (stage.is_early() && is_said) {
                return;
            }
        }
    }

    fn ask_host(&mut self, id: &EndpointId, stage: HostStage, direction: Direction) -> Verdict {
        let asked = Asked::Host(id.clone(), stage, direction);
        self.push(direction, asked)
    }

    fn workload(&mut self, endpoint: &Endpoint, direction: Direction) -> bool {
        let asked = Asked::Workload(endpoint.id.clone(), direction);
        self.push(direction, asked).decision == Decision::Allow
    }

    fn own_host(&mut self, node: &str) {
        let decision = match self.world.inventory.hosts.to_host(node) {
            ToHost::Drop => Decision::Deny,
            ToHost::Accept | ToHost::Return => Decision::Allow,
        };
        self.decided(Direction::Ingress, node, decision, RuleRef::WorkloadToHost);
    }

    fn decided(&mut self, end: Direction, node: &str, decision: Decision, rule: RuleRef) {
        let verdict = Verdict::new(decision, rule);
        self.way.legs.push(Leg { end, asked: Asked::Node(node.to_owned()), verdict });
    }

    fn push(&mut self, end: Direction, asked: Asked) -> Verdict {
        let verdict = (self.ask)(&asked);
        self.way.legs.push(Leg { end, asked, verdict: verdict.clone() });
        verdict
    }
}

/// `shop/web egress`, `host/n1 untracked ingress`, `node n1`.
impl fmt::Display for Asked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Asked::Workload(id, direction) => write!(f, "{id} {direction}"),
            Asked::Host(id, stage, direction) => write!(f, "{id} {stage} {direction}"),
            Asked::Node(node) => write!(f, "node {node}"),
        }
    }
}

impl Way {
    pub fn is_allowed(&self) -> bool {
        self.legs.iter().all(|leg| leg.verdict.decision == Decision::Allow)
    }

    fn is_denied_at(&self, end: Direction) -> bool {
        let mut legs = self.legs.iter().filter(|leg| leg.end == end);
        legs.any(|leg| leg.verdict.decision == Decision::Deny)
    }

    /// What one side says, with everything that those who were asked there have logged, as far as the
    /// packet gets.
    pub fn said(&self, end: Direction) -> Option<Verdict> {
        let word = self.word(end)?;
        let mut logged: Vec<RuleRef> = Vec::new();
        for leg in self.legs.iter().filter(|leg| leg.end == end) {
            for rule in &leg.verdict.logged {
                if !logged.contains(rule) {
                    logged.push(rule.clone());
                }
            }
            if leg.verdict.decision == Decision::Deny {
                break;
            }
        }
        Some(Verdict { logged, ..word.verdict.clone() })
    }

    /// The leg that tells best what one side says: the one that denies, else the workload's own,
    /// else the last. `None` where nobody has a word.
    pub fn word(&self, end: Direction) -> Option<&Leg> {
        let legs = || self.legs.iter().filter(|leg| leg.end == end);
        legs()
            .find(|leg| leg.verdict.decision == Decision::Deny)
            .or_else(|| legs().find(|leg| matches!(leg.asked, Asked::Workload(..))))
            .or_else(|| legs().next_back())
    }
}
