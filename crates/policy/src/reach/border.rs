//! Connections between workloads and the world outside.

use std::collections::{BTreeSet, HashMap};
use std::net::IpAddr;
use std::sync::Arc;

use bulkhead_types::Direction;
use bulkhead_wire::ProgramId;
use roaring::RoaringBitmap;

use super::matrix::{Connection, End, Extent, Matrix, Pods};
use super::outside::{Segment, ranges};
use super::pool::TrafficId;
use super::slots::Slot;
use super::traffic::Traffic;
use super::{Range, Reach};

/// What is allowed with a range, to all or to some pods.
type Told = (Range, Pods, Arc<Traffic>);

/// An IP version with the programs that judge it; `None`: nobody does.
type Programs = (bool, Vec<Option<ProgramId>>);

/// The outside, and what is already known of it: programs are asked once, not workloads.
pub struct Outside {
    v4: Vec<Segment>,
    v6: Vec<Segment>,
    pub taken: BTreeSet<IpAddr>,
    known: HashMap<Programs, Vec<Told>>,
    /// By slot; all as by default between two questions.
    scratch: Vec<Bounds>,
}

/// What every program of some, and what at least one allows with a slot.
#[derive(Clone, Copy)]
struct Bounds {
    all: TrafficId,
    any: TrafficId,
    n_programs: usize,
}

impl Reach {
    /// What a workload's addresses of one IP version and the outside may do.
    pub(super) fn outside_of(
        &mut self,
        name: &Arc<str>,
        own: &RoaringBitmap,
        direction: Direction,
        outside: &mut Outside,
        matrix: &mut Matrix,
    ) {
        let slots = own.iter().filter_map(|slot| self.slot(slot));
        let programs: BTreeSet<Option<ProgramId>> =
            slots.map(|slot| slot.program(direction)).collect();
        let Some(is_v4) = own.min().and_then(|slot| self.slot(slot)).map(Slot::is_v4) else {
            return;
        };
        let key = (is_v4, programs.into_iter().collect::<Vec<_>>());
        if !outside.known.contains_key(&key) {
            let found = self.ranges_of(&key, outside);
            outside.known.insert(key.clone(), found);
        }
        for (range, pods, allowed) in outside.known.get(&key).into_iter().flatten() {
            let workload = End::Workload(Arc::clone(name));
            let (src, dst) = match direction {
                Direction::Ingress => (End::Outside(*range), workload),
                Direction::Egress => (workload, End::Outside(*range)),
            };
            let extent = Extent { pods: *pods, is_v4: None, requests: None };
            let allowed = Arc::clone(allowed);
            matrix.connections.push(Connection { src, dst, extent, allowed });
        }
    }

    /// What all of the programs, and what some of them allow with the outside.
    fn ranges_of(&mut self, (is_v4, programs): &Programs, outside: &mut Outside) -> Vec<Told> {
        let everywhere = &self.slots.outside & self.slots.family(*is_v4);
        let mut touched: Vec<u32> = Vec::new();
        for program in programs {
            let word = match program {
                Some(program) => self.answers.by_remote(*program, &self.slots, &everywhere),
                None => vec![(TrafficId::EVERYTHING, everywhere.clone())],
            };
            for (traffic, slots) in word {
                for slot in slots {
                    let Some(bounds) = outside.scratch.get_mut(position(slot)) else { continue };
                    if bounds.n_programs == 0 {
                        touched.push(slot);
                    }
                    bounds.n_programs += 1;
                    bounds.all = self.answers.pool.meet(bounds.all, traffic);
                    bounds.any = self.answers.pool.join(bounds.any, traffic);
                }
            }
        }
        let segments = if *is_v4 { &outside.v4 } else { &outside.v6 };
        let found = ranges(segments, &outside.taken, |slot| {
            let bounds = outside.scratch.get(position(slot)).copied().unwrap_or_default();
            let is_all = bounds.n_programs == programs.len();
            (if is_all { bounds.all } else { TrafficId::NOTHING }, bounds.any)
        });
        for slot in touched {
            if let Some(bounds) = outside.scratch.get_mut(position(slot)) {
                *bounds = Bounds::default();
            }
        }
        let mut told = Vec::new();
        for (range, (all, any)) in found {
            if any == TrafficId::NOTHING {
                continue;
            }
            let everybody = self.answers.pool.get(all);
            let somebody = match all == any {
                true => Traffic::nothing(),
                false => self.answers.pool.get(any).of_family(*is_v4).but_not(&everybody),
            };
            for (pods, allowed) in
                [(Pods::All, everybody.of_family(*is_v4)), (Pods::Some, somebody)]
            {
                if !allowed.is_empty() {
                    told.push((range, pods, Arc::new(allowed)));
                }
            }
        }
        told
    }
}

impl Outside {
    pub fn of(reach: &Reach) -> Self {
        let (v4, v6) = reach.segments().into_iter().partition(|segment| segment.range.is_v4());
        let n_slots = reach.slots.all().map(|(slot, _)| position(slot) + 1).max().unwrap_or(0);
        let scratch = vec![Bounds::default(); n_slots];
        Self { v4, v6, taken: reach.taken(), known: HashMap::new(), scratch }
    }
}

impl Default for Bounds {
    fn default() -> Self {
        Self { all: TrafficId::EVERYTHING, any: TrafficId::NOTHING, n_programs: 0 }
    }
}

fn position(slot: u32) -> usize {
    usize::try_from(slot).unwrap_or(usize::MAX)
}
