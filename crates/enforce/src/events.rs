//! Kernel events and flow-table entries become flow records: slots get their names back.

mod sweep;

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use bulkhead_enforce_abi as abi;
use bulkhead_enforce_abi::{
    EndpointKey, Event, Flow, FlowKey, LEAF_ALLOW, OPENER_LOCAL, RULE_MASK,
};
use bulkhead_types::{
    Decision, Direction, EndpointId, HostStage, Packet, Protocol, Revision, RuleRef, Verdict,
};
use bulkhead_wire::{EndpointProgram, FlowEvent, FlowRecord, NodeProgram, Peer, Table};
use nix::time::{ClockId, clock_gettime};

use crate::ebpf::plan::hosts::stage_content;
use crate::limits::RETIRED_MAX;
use crate::realized::{SlotKind, Tables, mapped, unmapped};

pub use sweep::{Finding, Sweep, is_closed};

/// Everything needed to turn numbers into names.
///
/// Names of rules and endpoints outlive them, so that the last words of a flow that they judged can
/// still be understood. After a restart only the names of the current program are known; the others
/// read as `RuleRef::Unknown` until the flow is judged again.
#[derive(Debug)]
pub struct Names {
    node: Arc<str>,
    rules: BTreeMap<u32, Arc<RuleRef>>,
    /// Those of them that stand behind Log rules, with these.
    logged: BTreeMap<u32, Vec<Arc<RuleRef>>>,
    endpoints: BTreeMap<u32, Arc<Peer>>,
    /// Only what rules are called: the driver tells contents and no slots.
    by_content: NodeProgram,
    /// The endpoints of the last program, and how they are told, in their order.
    known: Table<EndpointId, Arc<EndpointProgram>>,
    owners: Vec<Arc<Peer>>,
    by_interface: HashMap<u32, Arc<Peer>>,
    by_address: HashMap<IpAddr, Arc<Peer>>,
    /// By leaf, as far as they were asked for: records are many, and verdicts few.
    verdicts: HashMap<u32, Arc<Verdict>>,
}

impl Names {
    pub fn new(node: &str) -> Self {
        Self {
            node: node.into(),
            rules: BTreeMap::new(),
            logged: BTreeMap::new(),
            endpoints: BTreeMap::new(),
            by_content: NodeProgram::default(),
            known: Table::default(),
            owners: Vec::new(),
            by_interface: HashMap::new(),
            by_address: HashMap::new(),
            verdicts: HashMap::new(),
        }
    }

    /// Learns the names of a program that is enforced as `tables` say.
    pub fn learn(
        &mut self,
        program: &NodeProgram,
        tables: &Tables,
        bindings: &crate::ebpf::Bindings,
    ) {
        self.learn_rules(program, tables);
        if !self.known.is_same(&program.endpoints) {
            self.known = program.endpoints.clone();
            let owner = |id: &EndpointId, labels| Peer { id: Arc::new(id.clone()), labels }.into();
            let endpoints = program.endpoints.iter();
            self.owners = endpoints.map(|(id, one)| owner(id, Arc::clone(&one.labels))).collect();
        }
        self.by_interface.clear();
        self.by_address.clear();
        for ((id, endpoint), owner) in program.endpoints.iter().zip(&self.owners) {
            for address in endpoint.addresses.keys() {
                self.by_address.insert(*address, Arc::clone(owner));
            }
            for (address, place) in bindings.get(id).into_iter().flatten() {
                let key = EndpointKey { ifindex: place.ifindex, local: mapped(*address) };
                if let Some(bound) = tables.endpoints.get(&key) {
                    self.endpoints.insert(bound.slot, Arc::clone(owner));
                }
                self.by_interface.insert(place.ifindex, Arc::clone(owner));
            }
        }
        // Slots count up, so the first ones are the oldest.
        while self.rules.len() > RETIRED_MAX.max(program.rules.len()) {
            self.rules.pop_first();
        }
        while self.logged.len() > RETIRED_MAX.max(program.logged.len()) {
            self.logged.pop_first();
        }
        while self.endpoints.len() > RETIRED_MAX.max(program.endpoints.len() * 2) {
            self.endpoints.pop_first();
        }
    }

    fn learn_rules(&mut self, program: &NodeProgram, tables: &Tables) {
        let known = &self.by_content;
        if known.rules.is_same(&program.rules) && known.logged.is_same(&program.logged) {
            return;
        }
        for (id, rule) in program.rules.iter() {
            if let Some(slot) = tables.slots.of(SlotKind::Rule, id.0) {
                self.rules.insert(slot, Arc::clone(rule));
            }
        }
        for (id, logged) in program.logged.iter() {
            if let Some(slot) = tables.slots.of(SlotKind::Rule, id.0) {
                let names = logged.iter().filter_map(|rule| program.rules.get(rule));
                self.logged.insert(slot, names.cloned().collect());
            }
        }
        self.verdicts.clear();
        let (rules, logged) = (program.rules.clone(), program.logged.clone());
        self.by_content = NodeProgram { rules, logged, ..NodeProgram::default() };
    }

    /// Learns which flows are those of host endpoints.
    pub fn learn_hosts(
        &mut self,
        program: &NodeProgram,
        tables: &Tables,
        standing: &BTreeMap<u32, EndpointId>,
    ) {
        for (ifindex, id) in standing {
            let Some(host) = program.hosts.get(id) else { continue };
            let labels = Arc::new(host.labels.clone());
            let owner = Arc::new(Peer { id: Arc::new(id.clone()), labels });
            for stage in HostStage::ALL {
                if let Some(slot) = tables.slots.of(SlotKind::Endpoint, stage_content(id, stage)) {
                    self.endpoints.insert(slot, Arc::clone(&owner));
                }
            }
            self.by_interface.insert(*ifindex, Arc::clone(&owner));
            for address in &host.addresses {
                self.by_address.entry(*address).or_insert_with(|| Arc::clone(&owner));
            }
        }
    }

    /// `None` where nobody's interface is concerned, or the event says nothing new.
    pub fn record(&mut self, event: &Event, clock: &Clock) -> Option<FlowRecord> {
        let kind = match event.kind {
            abi::EVENT_NEW => FlowEvent::New,
            abi::EVENT_DENIED | abi::EVENT_DROPPED => FlowEvent::Denied,
            abi::EVENT_LATE_DENIED => FlowEvent::LateDenied,
            abi::EVENT_ENDED => FlowEvent::Ended,
            _ => return None,
        };
        if event.reason == abi::REASON_DENY_SET {
            let owner = Arc::clone(self.by_interface.get(&event.ifindex)?);
            let id = bulkhead_wire::RuleId(event.flow.judged);
            let mut record = self.make(kind, &owner, &event.key, &event.flow, clock);
            let named = self.by_content.rule_of(id);
            let (rule, logged) = named.unwrap_or((RuleRef::Unknown, Vec::new()));
            record.verdict = Arc::new(Verdict { decision: Decision::Deny, rule, logged });
            return Some(record);
        }
        if event.kind == abi::EVENT_DROPPED {
            let owner = Arc::clone(self.by_interface.get(&event.ifindex)?);
            let mut record = self.make(kind, &owner, &event.key, &event.flow, clock);
            let is_spoofed =
                matches!(event.reason, abi::REASON_NOT_ITS_ADDRESS | abi::REASON_NOT_ITS_MAC);
            if is_spoofed && event.from_workload != 0 {
                record.verdict = Arc::new(Verdict::deny(RuleRef::NotItsOwn));
            }
            return Some(record);
        }
        let owner = Arc::clone(self.endpoints.get(&event.key.endpoint)?);
        Some(self.make(kind, &owner, &event.key, &event.flow, clock))
    }

    pub fn flow_record(
        &mut self,
        kind: FlowEvent,
        key: &FlowKey,
        flow: &Flow,
        clock: &Clock,
    ) -> Option<FlowRecord> {
        // Where nobody had a word there is nothing to tell.
        let owner = self.endpoints.get(&key.endpoint).filter(|_| !flow.is_unsaid())?;
        let owner = Arc::clone(owner);
        Some(self.make(kind, &owner, key, flow, clock))
    }

    fn make(
        &mut self,
        event: FlowEvent,
        owner: &Peer,
        key: &FlowKey,
        flow: &Flow,
        clock: &Clock,
    ) -> FlowRecord {
        let packet = first_packet(key, flow);
        let direction =
            if flow.opener == OPENER_LOCAL { Direction::Egress } else { Direction::Ingress };
        FlowRecord {
            node: Arc::clone(&self.node),
            event,
            reporter: Arc::clone(&owner.id),
            direction,
            packet,
            src: self.peer(packet.src),
            dst: self.peer(packet.dst),
            names: Default::default(),
            verdict: self.verdict(flow.leaf()),
            revision: Revision(flow.revision),
            packets_forward: flow.n_packets(0),
            bytes_forward: flow.n_bytes(0),
            packets_reverse: flow.n_packets(1),
            bytes_reverse: flow.n_bytes(1),
            started_ns: clock.unix_ns(flow.started_ns),
            seen_ns: clock.unix_ns(flow.seen_ns),
        }
    }

    fn verdict(&mut self, leaf: u32) -> Arc<Verdict> {
        if let Some(verdict) = self.verdicts.get(&leaf) {
            return Arc::clone(verdict);
        }
        let slot = leaf & RULE_MASK;
        let decision = if leaf & LEAF_ALLOW != 0 { Decision::Allow } else { Decision::Deny };
        let logged = self.logged.get(&slot).into_iter().flatten();
        let logged = logged.map(|rule| RuleRef::clone(rule)).collect();
        let verdict = Arc::new(Verdict { decision, rule: self.rule(slot), logged });
        if self.verdicts.len() < RETIRED_MAX {
            self.verdicts.insert(leaf, Arc::clone(&verdict));
        }
        verdict
    }

    fn rule(&self, slot: u32) -> RuleRef {
        match slot {
            abi::RULE_FAILSAFE => RuleRef::Failsafe,
            abi::RULE_STAGE_DEFAULT => RuleRef::StageDefault,
            abi::RULE_WORKLOAD_TO_HOST => RuleRef::WorkloadToHost,
            abi::RULE_HOST_TO_WORKLOAD => RuleRef::HostToWorkload,
            _ => self.rules.get(&slot).map_or(RuleRef::Unknown, |rule| RuleRef::clone(rule)),
        }
    }

    fn peer(&self, address: IpAddr) -> Option<Arc<Peer>> {
        self.by_address.get(&address).map(Arc::clone)
    }
}

/// As policy judged it: to the end that the node's own translation has led to.
fn first_packet(key: &FlowKey, flow: &Flow) -> Packet {
    let is_translated = flow.is_translated != 0;
    let remote = if is_translated { flow.real } else { key.remote };
    let remote_port = if is_translated { flow.real_port } else { key.remote_port };
    let (local, remote) = (unmapped(key.local), unmapped(remote));
    let from_local = flow.opener == OPENER_LOCAL;
    let protocol = Protocol(key.protocol);
    let (local_port, remote_port) =
        if protocol.has_ports() { (key.local_port, remote_port) } else { (0, 0) };
    Packet {
        src: if from_local { local } else { remote },
        dst: if from_local { remote } else { local },
        protocol,
        src_port: if from_local { local_port } else { remote_port },
        dst_port: if from_local { remote_port } else { local_port },
        icmp_type: flow.icmp_type,
        icmp_code: flow.icmp_code,
    }
}

/// From the clock of flows to Unix time.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    tick_to_unix_ns: u64,
}

impl Clock {
    pub fn now() -> Self {
        Self { tick_to_unix_ns: unix_now_ns().saturating_sub(tick_now_ns()) }
    }

    pub fn unix_ns(&self, tick_ns: u64) -> u64 {
        tick_ns.saturating_add(self.tick_to_unix_ns)
    }
}

pub fn unix_now_ns() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

pub fn boot_now_ns() -> u64 {
    read(ClockId::CLOCK_BOOTTIME)
}

/// The clock by which the kernel programs stamp flows: monotonic, of the last tick (1 to 10 ms).
pub fn tick_now_ns() -> u64 {
    read(ClockId::CLOCK_MONOTONIC_COARSE)
}

fn read(clock: ClockId) -> u64 {
    clock_gettime(clock)
        .map(|time| time.tv_sec() as u64 * 1_000_000_000 + time.tv_nsec() as u64)
        .unwrap_or(0)
}
