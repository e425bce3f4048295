//! What each program allows, as sets of connections, and to and from which slots.
//!
//! Invariant: for every program in use and every view of it that some slot has, the answer is
//! known. So the state before a change can still be asked when the engine has long moved on.

use std::collections::{BTreeSet, HashMap};

use bulkhead_types::Direction;
use bulkhead_wire::ProgramId;
use roaring::RoaringBitmap;

use super::pool::{TrafficId, TrafficPool};
use super::slots::Slots;
use crate::engine::Engine;
use crate::select::GroupId;

/// Disjoint sets of slots with the same traffic, which is never nothing.
pub type Parts = Vec<(TrafficId, RoaringBitmap)>;

#[derive(Debug, Default)]
pub struct Answers {
    pub pool: TrafficPool,
    by_program: HashMap<ProgramId, Answer>,
    /// Programs by a group that they ask about, names of ports for their atoms.
    seers: HashMap<GroupId, BTreeSet<ProgramId>>,
    /// Slots by what their program says of addresses that it knows nothing about.
    by_default: HashMap<(Direction, TrafficId), RoaringBitmap>,
}

#[derive(Debug)]
struct Answer {
    direction: Direction,
    sees: Box<[GroupId]>,
    default: TrafficId,
    by_view: HashMap<Box<[GroupId]>, TrafficId>,
}

impl Answers {
    /// Learns programs that are new and forgets those that judge no slot any more.
    pub fn follow(&mut self, programs: &BTreeSet<ProgramId>, slots: &Slots, engine: &Engine) {
        for &program in programs {
            if slots.judged_by(program).is_none() {
                self.forget(program);
            } else if !self.by_program.contains_key(&program) {
                self.learn(program, slots, engine);
            }
        }
    }

    fn learn(&mut self, id: ProgramId, slots: &Slots, engine: &Engine) {
        let Some(program) = engine.program_of(id) else { return };
        let sees: Box<[GroupId]> = program.sees.clone();
        let default = self.pool.of_row(&program.paint(&[], engine.groups()).row);
        for group in &sees {
            self.seers.entry(*group).or_default().insert(id);
        }
        let mut by_view = HashMap::new();
        for (view, _) in slots.told_apart(&sees) {
            let traffic = self.pool.of_row(&program.paint(&view, engine.groups()).row);
            by_view.insert(view.into(), traffic);
        }
        let direction = program.direction;
        self.by_program.insert(id, Answer { direction, sees, default, by_view });
    }

    fn forget(&mut self, id: ProgramId) {
        let Some(answer) = self.by_program.remove(&id) else { return };
        for group in &answer.sees {
            if let Some(programs) = self.seers.get_mut(group) {
                programs.remove(&id);
                if programs.is_empty() {
                    self.seers.remove(group);
                }
            }
        }
    }

    /// Makes sure of the answers about a class that is new.
    pub fn prepare(&mut self, class: &[GroupId], slots: &Slots, engine: &Engine) {
        for program in self.seers_of(class, slots) {
            self.learn_view(program, class, slots, engine);
        }
    }

    fn learn_view(&mut self, id: ProgramId, class: &[GroupId], slots: &Slots, engine: &Engine) {
        let Some(answer) = self.by_program.get_mut(&id) else { return };
        let view = view_of(&answer.sees, class, slots);
        if view.is_empty() || answer.by_view.contains_key(view.as_slice()) {
            return;
        }
        let Some(program) = engine.program_of(id) else { return };
        let traffic = self.pool.of_row(&program.paint(&view, engine.groups()).row);
        answer.by_view.insert(view.into(), traffic);
    }

    /// Notes by which program a slot is judged, or that it is not any more.
    pub fn note(&mut self, id: u32, program: ProgramId, is_judged: bool) {
        let Some(answer) = self.by_program.get(&program) else { return };
        let key = (answer.direction, answer.default);
        let members = self.by_default.entry(key).or_default();
        if is_judged {
            members.insert(id);
        } else {
            members.remove(id);
            if members.is_empty() {
                self.by_default.remove(&key);
            }
        }
    }

    /// The programs that can tell the class from nothing at all.
    pub fn seers_of(&self, class: &[GroupId], slots: &Slots) -> BTreeSet<ProgramId> {
        let asked = class.iter().map(|group| slots.asked_as(*group));
        asked.filter_map(|group| self.seers.get(&group)).flatten().copied().collect()
    }

    pub fn direction(&self, program: ProgramId) -> Option<Direction> {
        self.by_program.get(&program).map(|answer| answer.direction)
    }

    /// What the program allows with remote addresses of the class.
    pub fn traffic(&self, program: ProgramId, class: &[GroupId], slots: &Slots) -> TrafficId {
        let Some(answer) = self.by_program.get(&program) else { return TrafficId::NOTHING };
        let view = view_of(&answer.sees, class, slots);
        answer.by_view.get(view.as_slice()).copied().unwrap_or(answer.default)
    }

    /// Everybody, by what the program allows with them.
    pub fn by_remote(&self, program: ProgramId, slots: &Slots, within: &RoaringBitmap) -> Parts {
        let Some(answer) = self.by_program.get(&program) else { return Parts::new() };
        let mut parts: HashMap<TrafficId, RoaringBitmap> = HashMap::new();
        let mut rest = within.clone();
        for (view, mut part) in slots.told_apart(&answer.sees) {
            part &= within;
            rest -= &part;
            let traffic = answer.by_view.get(view.as_slice()).copied().unwrap_or(answer.default);
            *parts.entry(traffic).or_default() |= part;
        }
        *parts.entry(answer.default).or_default() |= rest;
        kept(parts)
    }

    /// Everybody, by what their own program allows with remote addresses of the class. Where
    /// nobody judges, nobody objects.
    pub fn by_local(
        &self,
        direction: Direction,
        class: &[GroupId],
        slots: &Slots,
        within: &RoaringBitmap,
    ) -> Parts {
        let mut parts: HashMap<TrafficId, RoaringBitmap> = HashMap::new();
        parts.insert(TrafficId::EVERYTHING, within & &slots.unguarded);
        let mut special = RoaringBitmap::new();
        for program in self.seers_of(class, slots) {
            if self.direction(program) != Some(direction) {
                continue;
            }
            let Some(judged) = slots.judged_by(program) else { continue };
            special |= judged;
            let traffic = self.traffic(program, class, slots);
            *parts.entry(traffic).or_default() |= judged & within;
        }
        let plain = within - &special;
        for ((_, traffic), members) in self.by_default.iter().filter(|((d, _), _)| *d == direction)
        {
            *parts.entry(*traffic).or_default() |= members & &plain;
        }
        kept(parts)
    }

    /// What both sides allow.
    pub fn both(&mut self, one: &Parts, other: &Parts) -> Parts {
        let mut parts: HashMap<TrafficId, RoaringBitmap> = HashMap::new();
        for (a, in_a) in one {
            for (b, in_b) in other {
                let both = in_a & in_b;
                if !both.is_empty() {
                    *parts.entry(self.pool.meet(*a, *b)).or_default() |= both;
                }
            }
        }
        kept(parts)
    }
}

fn kept(parts: HashMap<TrafficId, RoaringBitmap>) -> Parts {
    let is_kept = |(traffic, part): &(TrafficId, RoaringBitmap)| {
        *traffic != TrafficId::NOTHING && !part.is_empty()
    };
    let mut kept: Parts = parts.into_iter().filter(is_kept).collect();
    kept.sort_unstable_by_key(|(traffic, _)| *traffic);
    kept
}

fn view_of(sees: &[GroupId], class: &[GroupId], slots: &Slots) -> Vec<GroupId> {
    let is_seen = |group: &GroupId| sees.binary_search(&slots.asked_as(*group)).is_ok();
    class.iter().copied().filter(is_seen).collect()
}
