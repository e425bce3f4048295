//! Who can reach whom, for all packets at once: exact, symbolic over addresses, protocols and ports.
//!
//! ```text
//! Engine: programs, classes ─▶ slots ─┬▶ parts: who, with which traffic ─▶ connections, differences
//!                rows ─▶ answers ─────┘
//! ```
//!
//! A pair of addresses may talk as far as the source's egress row for the destination's class and
//! the destination's ingress row for the source's class both allow. Both depend only on programs
//! and classes, so the question is asked once for each of these and never pod by pod.
//!
//! [`Reach`] stands beside an engine and follows its changes: [`Reach::follow`] recomputes what a
//! change touches and says which pairs it altered.
//!
//! Invariant: for every packet between two slots, `NodeProgram::decide` allows at both ends that
//! are endpoints of some node if and only if the packet is in the pair's traffic.

mod answers;
mod blast;
mod border;
mod change;
mod difference;
mod entries;
mod exposure;
mod grounds;
mod matrix;
mod names;
mod outside;
mod pool;
mod report;
mod requests;
mod slots;
mod traffic;
mod whole;
mod words;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;

use bulkhead_types::{Direction, EndpointId};
use bulkhead_wire::ProgramId;
use ipnet::IpNet;
use roaring::RoaringBitmap;

use crate::engine::{Engine, Watched};
use crate::select::{Class, GroupId};
use answers::Answers;
pub use answers::Parts;
pub use blast::{Blast, Origin, Reached, Way};
pub use change::{Altered, Change};
pub use difference::{Allowance, Difference, DifferenceKind};
pub use exposure::{Exposure, Imagined, Peer, Sandbox};
pub use grounds::Ground;
pub use matrix::{Connection, End, Extent, Matrix, NOT_COMPUTED, Pods, Unenforced, Within};
pub use outside::Range;
pub use pool::{TrafficId, TrafficPool};
pub use report::{allowed, not_computed};
pub use requests::{Open, asks_for_requests, open};
use slots::Slots;
pub use slots::{Guard, Place, Slot};
pub use traffic::{Piece, Sources, Traffic};
pub use whole::Beyond;
pub use words::Allowed;

/// All connections that a world allows, ready to be asked.
#[derive(Debug, Default)]
pub struct Reach {
    slots: Slots,
    answers: Answers,
    /// Host endpoints with their addresses: ends that are known and not computed.
    hosts: BTreeMap<EndpointId, Vec<IpAddr>>,
}

/// What an end is to others: everything that its row or column depends on.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Key {
    guard: Guard,
    class: Class,
    is_v4: bool,
    is_outside: bool,
}

impl Reach {
    /// Reads the whole engine, as of its last `take_changes`.
    pub fn of(engine: &Engine) -> Self {
        let mut reach = Self::default();
        let endpoints = engine.all_endpoints().collect();
        let prefixes = engine.prefixes().chain(outside::roots()).collect();
        reach.follow(engine, &Watched { endpoints, prefixes });
        reach
    }

    pub fn pool(&self) -> &TrafficPool {
        &self.answers.pool
    }

    pub fn slot(&self, id: u32) -> Option<&Slot> {
        self.slots.get(id)
    }

    pub fn slots(&self) -> impl Iterator<Item = (u32, &Slot)> {
        self.slots.all()
    }

    pub fn endpoints(&self) -> impl Iterator<Item = &EndpointId> {
        self.slots.endpoints()
    }

    /// Host endpoints. What they let in, out and through is not computed.
    pub fn hosts(&self) -> impl Iterator<Item = &EndpointId> {
        self.hosts.keys()
    }

    /// The slots of an endpoint, one for each address.
    pub fn slots_of(&self, endpoint: &EndpointId) -> &[u32] {
        self.slots.of_endpoint(endpoint)
    }

    /// The slot that holds an address of the outside.
    pub fn slot_outside(&self, address: IpAddr) -> Option<u32> {
        let address = IpNet::from(address);
        (0..=address.prefix_len())
            .rev()
            .filter_map(|length| IpNet::new(address.addr(), length).ok())
            .find_map(|prefix| self.slots.of_prefix(&prefix.trunc()))
    }

    /// What may pass from one slot to the other; nothing between IP versions.
    pub fn pair(&mut self, src: u32, dst: u32) -> TrafficId {
        let (Some(a), Some(b)) = (self.slots.get(src), self.slots.get(dst)) else {
            return TrafficId::NOTHING;
        };
        if a.is_v4() != b.is_v4() {
            return TrafficId::NOTHING;
        }
        let says = |program: Option<ProgramId>, class: &[GroupId]| {
            let traffic = program.map(|program| self.answers.traffic(program, class, &self.slots));
            traffic.unwrap_or(TrafficId::EVERYTHING)
        };
        let egress = says(a.program(Direction::Egress), &b.class);
        let ingress = says(b.program(Direction::Ingress), &a.class);
        self.answers.pool.meet(egress, ingress)
    }

    /// Who can reach the slot, and with what; itself included.
    pub fn column(&mut self, dst: u32) -> Parts {
        match self.key(dst) {
            Some(key) => self.side(&key, Direction::Ingress, None),
            None => Parts::new(),
        }
    }

    /// Whom the slot can reach, and with what; itself included.
    pub fn row(&mut self, src: u32) -> Parts {
        match self.key(src) {
            Some(key) => self.side(&key, Direction::Egress, None),
            None => Parts::new(),
        }
    }

    fn key(&self, id: u32) -> Option<Key> {
        let slot = self.slots.get(id)?;
        let is_outside = matches!(slot.place, Place::Outside(_));
        let (guard, class, is_v4) = (slot.guard, slot.class.clone(), slot.is_v4());
        Some(Key { guard, class, is_v4, is_outside })
    }

    /// The column (`Ingress`) or row (`Egress`) of whatever has the key, as far as `within` goes.
    fn side(&mut self, key: &Key, direction: Direction, within: Option<&RoaringBitmap>) -> Parts {
        let family = self.slots.family(key.is_v4);
        let within = within.map_or_else(|| family.clone(), |within| within & family);
        if within.is_empty() {
            return Parts::new();
        }
        let others = match direction {
            Direction::Ingress => Direction::Egress,
            Direction::Egress => Direction::Ingress,
        };
        match key.guard.program(direction) {
            None if key.guard == Guard::Absent => Parts::new(),
            None => {
                // What the outside does among itself is nobody's business.
                let within = if key.is_outside { within - &self.slots.outside } else { within };
                self.answers.by_local(others, &key.class, &self.slots, &within)
            }
            Some(program) => {
                let own = self.answers.by_remote(program, &self.slots, &within);
                let theirs = self.answers.by_local(others, &key.class, &self.slots, &within);
                self.answers.both(&own, &theirs)
            }
        }
    }

    /// Every slot that stands for the same, with one of them: pods of a kind cost once.
    pub fn blocks(&self) -> Vec<(u32, RoaringBitmap)> {
        let mut blocks: HashMap<Key, RoaringBitmap> = HashMap::new();
        for (id, _) in self.slots.all() {
            if let Some(key) = self.key(id) {
                blocks.entry(key).or_default().insert(id);
            }
        }
        let mut blocks: Vec<(u32, RoaringBitmap)> =
            blocks.into_values().filter_map(|block| Some((block.min()?, block))).collect();
        blocks.sort_unstable_by_key(|(first, _)| *first);
        blocks
    }
}
