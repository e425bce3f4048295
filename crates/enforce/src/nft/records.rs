//! What the kernel tells becomes flow records. The kernel says only that a packet was dropped or a flow
//! tracked; which rule decided is asked from the program, which is what the kernel was given.
//!
//! Counters are connection tracking's, so both ends of a flow count the same. Denied packets are told
//! up to a rate, and are counted as far as they are told.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::sync::Arc;

use bulkhead_types::{Decision, Direction, EndpointId, Names, Packet, Revision, RuleRef, Verdict};
use bulkhead_wire::{FlowEvent, FlowRecord, NodeProgram, Peer};

use super::conntrack::Tracked;
use super::denial::{ToldBy, ToldWay};
use super::log::Told;
use super::packet::turned;
use crate::ebpf::Bindings;
use crate::events::unix_now_ns;
use crate::limits::{RETIRED_MAX, idle_s};
use crate::node::backend::Sink;

const SECOND_NS: u64 = 1_000_000_000;

/// A denied flow that is tried again and again.
#[derive(Debug)]
struct Attempt {
    record: FlowRecord,
    is_untold: bool,
}

/// What was told of a tracked flow.
#[derive(Clone, Copy, Debug, Default)]
struct Shown {
    packets: u64,
    is_ended: bool,
    is_there: bool,
}

/// By which names one address knows another.
pub type KnownNames<'a> = &'a dyn Fn(IpAddr, IpAddr) -> Names;

#[derive(Debug)]
pub struct Records {
    node: Arc<str>,
    program: Arc<NodeProgram>,
    by_address: HashMap<IpAddr, Arc<Peer>>,
    by_interface: HashMap<u32, Arc<Peer>>,
    /// Host endpoints by the interface that they stand at.
    hosts: HashMap<u32, Arc<Peer>>,
    attempts: HashMap<(Arc<EndpointId>, Direction, Packet), Attempt>,
    shown: HashMap<u32, Shown>,
    update_ns: u64,
    updated_ns: u64,
}

impl Records {
    pub fn new(node: &str, update_ms: u64) -> Self {
        Self {
            node: node.into(),
            program: Arc::default(),
            by_address: HashMap::new(),
            by_interface: HashMap::new(),
            hosts: HashMap::new(),
            attempts: HashMap::new(),
            shown: HashMap::new(),
            update_ns: update_ms.saturating_mul(1_000_000),
            updated_ns: unix_now_ns(),
        }
    }

    pub fn learn(
        &mut self,
        program: &Arc<NodeProgram>,
        bindings: &Bindings,
        hosts: &BTreeMap<u32, EndpointId>,
    ) {
        self.hosts = hosts
            .iter()
            .filter_map(|(ifindex, id)| {
                let labels = Arc::new(program.hosts.get(id)?.labels.clone());
                Some((*ifindex, Arc::new(Peer { id: Arc::new(id.clone()), labels })))
            })
            .collect();
        self.program = Arc::clone(program);
        self.by_address.clear();
        self.by_interface.clear();
        for (id, bound) in bindings {
            let Some(endpoint) = program.endpoints.get(id) else { continue };
            let (id, labels) = (Arc::new(id.clone()), Arc::clone(&endpoint.labels));
            let owner = Arc::new(Peer { id, labels });
            for (address, place) in bound {
                self.by_address.insert(*address, Arc::clone(&owner));
                self.by_interface.insert(place.ifindex, Arc::clone(&owner));
            }
        }
    }

    /// A packet was dropped. Says whether the program still has it so.
    pub fn dropped(&mut self, told: &Told, known: KnownNames<'_>, sink: &mut Sink) -> bool {
        let ToldWay { by, direction, from_opener, is_late, .. } = told.way;
        if told.seen.is_reset && !is_late {
            return true;
        }
        let owners = match by {
            ToldBy::Host(_) => &self.hosts,
            _ => &self.by_interface,
        };
        let Some(owner) = owners.get(&told.ifindex).map(Arc::clone) else { return true };
        let packet = if from_opener { told.seen.packet } else { turned(told.seen.packet) };
        let names = names_of(known, direction, &packet);
        let verdict = match by {
            ToldBy::Stranger if from_opener => Verdict::deny(RuleRef::NotItsOwn),
            ToldBy::Stranger => Verdict::unknown(),
            ToldBy::Setting => Verdict::deny(RuleRef::WorkloadToHost),
            ToldBy::Workload => self.program.decide_named(&owner.id, direction, &packet, &names),
            ToldBy::Host(stage) => self.program.decide_host(&owner.id, stage, direction, &packet),
        };
        // The program has changed since; the next packet of the flow says what holds now.
        if verdict.decision == Decision::Allow {
            return false;
        }
        let now_ns = unix_now_ns();
        let key = (Arc::clone(&owner.id), direction, packet);
        if let Some(attempt) = self.attempts.get_mut(&key) {
            attempt.record.packets_forward += 1;
            attempt.record.bytes_forward += told.seen.bytes;
            attempt.record.seen_ns = now_ns;
            attempt.is_untold = true;
            if *attempt.record.verdict == verdict {
                return true;
            }
        }
        let event = if is_late { FlowEvent::LateDenied } else { FlowEvent::Denied };
        if by == ToldBy::Workload && direction == Direction::Ingress && !is_late && from_opener {
            self.sent(&packet, known, now_ns, sink);
        }
        let mut record = self.record(event, &owner, direction, packet, names, verdict);
        (record.packets_forward, record.bytes_forward) = (1, told.seen.bytes);
        (record.started_ns, record.seen_ns) = (now_ns, now_ns);
        if self.attempts.len() < RETIRED_MAX {
            let attempt = Attempt { record: record.clone(), is_untold: false };
            self.attempts.insert(key, attempt);
        }
        sink.push(Some(record));
        true
    }

    /// What another workload of this node was allowed to send, before its end refused it.
    fn sent(&self, packet: &Packet, known: KnownNames<'_>, now_ns: u64, sink: &mut Sink) {
        let Some(owner) = self.by_address.get(&packet.src) else { return };
        let names = known(packet.src, packet.dst);
        let verdict = self.program.decide_named(&owner.id, Direction::Egress, packet, &names);
        if verdict.decision == Decision::Allow {
            let (event, direction) = (FlowEvent::New, Direction::Egress);
            let mut record = self.record(event, owner, direction, *packet, names, verdict);
            (record.packets_forward, record.started_ns, record.seen_ns) = (1, now_ns, now_ns);
            sink.push(Some(record));
        }
    }

    pub fn began(&mut self, flow: &Tracked, known: KnownNames<'_>, sink: &mut Sink) {
        self.tell(FlowEvent::New, flow, known, sink);
    }

    pub fn ended(&mut self, flow: &Tracked, known: KnownNames<'_>, sink: &mut Sink) {
        let shown = self.shown.remove(&flow.id()).unwrap_or_default();
        if !shown.is_ended {
            self.tell(FlowEvent::Ended, flow, known, sink);
        }
    }

    /// A pass over all tracked flows: what both ends are done with, and whose counters have moved.
    pub fn sweep(&mut self, flows: &[Tracked], known: KnownNames<'_>, sink: &mut Sink) {
        let now_ns = unix_now_ns();
        let is_due = now_ns.saturating_sub(self.updated_ns) >= self.update_ns;
        for flow in flows {
            let is_ours = self.by_address.contains_key(&flow.packet.src)
                || self.by_address.contains_key(&flow.packet.dst);
            if !is_ours {
                continue;
            }
            let [forward, reverse] = flow.packets;
            let packets = forward.saturating_add(reverse);
            let mut shown = self.shown.get(&flow.id()).copied().unwrap_or_default();
            shown.is_there = true;
            if flow.is_closed && !shown.is_ended {
                shown.is_ended = true;
                self.tell(FlowEvent::Ended, flow, known, sink);
            } else if is_due && !shown.is_ended && packets > shown.packets.max(1) {
                shown.packets = packets;
                self.tell(FlowEvent::Update, flow, known, sink);
            }
            self.shown.insert(flow.id(), shown);
        }
        self.shown.retain(|_, shown| std::mem::take(&mut shown.is_there));
        if is_due {
            self.updated_ns = now_ns;
        }
        self.sweep_attempts(now_ns, sink);
    }

    fn sweep_attempts(&mut self, now_ns: u64, sink: &mut Sink) {
        self.attempts.retain(|_, attempt| {
            if std::mem::take(&mut attempt.is_untold) {
                sink.push(Some(FlowRecord { event: FlowEvent::Update, ..attempt.record.clone() }));
            }
            now_ns.saturating_sub(attempt.record.seen_ns) < idle_s::DENIED * SECOND_NS
        });
    }

    /// One record for each end that is a workload of this node.
    fn tell(&self, event: FlowEvent, flow: &Tracked, known: KnownNames<'_>, sink: &mut Sink) {
        let now_ns = unix_now_ns();
        for (address, direction) in
            [(flow.packet.src, Direction::Egress), (flow.packet.dst, Direction::Ingress)]
        {
            let Some(owner) = self.by_address.get(&address) else { continue };
            let names = names_of(known, direction, &flow.packet);
            let verdict = self.program.decide_named(&owner.id, direction, &flow.packet, &names);
            if event != FlowEvent::Ended && verdict.decision == Decision::Deny {
                continue;
            }
            let mut record = self.record(event, owner, direction, flow.packet, names, verdict);
            let new = event == FlowEvent::New;
            [record.packets_forward, record.packets_reverse] =
                if new { [1, 0] } else { flow.packets };
            [record.bytes_forward, record.bytes_reverse] = flow.bytes;
            record.started_ns = if flow.started_ns > 0 { flow.started_ns } else { now_ns };
            record.seen_ns = now_ns;
            sink.push(Some(record));
        }
    }

    fn record(
        &self,
        event: FlowEvent,
        owner: &Peer,
        direction: Direction,
        packet: Packet,
        names: Names,
        verdict: Verdict,
    ) -> FlowRecord {
        FlowRecord {
            node: Arc::clone(&self.node),
            event,
            reporter: Arc::clone(&owner.id),
            direction,
            packet,
            src: self.peer(packet.src),
            dst: self.peer(packet.dst),
            names,
            verdict: Arc::new(verdict),
            revision: Revision(self.program.revision.0),
            packets_forward: 0,
            bytes_forward: 0,
            packets_reverse: 0,
            bytes_reverse: 0,
            started_ns: 0,
            seen_ns: 0,
        }
    }

    fn peer(&self, address: IpAddr) -> Option<Arc<Peer>> {
        self.by_address.get(&address).map(Arc::clone)
    }
}

/// The reporter's of the destination of what it sends.
fn names_of(known: KnownNames<'_>, direction: Direction, packet: &Packet) -> Names {
    match direction {
        Direction::Egress => known(packet.src, packet.dst),
        Direction::Ingress => Names::default(),
    }
}
