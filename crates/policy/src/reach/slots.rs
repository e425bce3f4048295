//! Everything that can stand at an end of a connection, by what policy can tell of it.
//!
//! A *slot* is one address of an endpoint, or one prefix of the world outside: whatever is in the
//! prefix and in no narrower one. Sets of slots are bitmaps, so a question about 100,000 pods costs
//! as many steps as there are different answers.
//!
//! Invariant: every index holds a slot exactly as its `class` and `guard` say.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;

use bulkhead_types::{Direction, EndpointId};
use bulkhead_wire::{Judges, ProgramId};
use ipnet::IpNet;
use roaring::RoaringBitmap;

use crate::select::{Class, GroupId, Groups};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Slot {
    pub place: Place,
    pub guard: Guard,
    pub class: Class,
}

/// Who judges at a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Guard {
    Programs(Judges),
    /// Everything passes: outside, and at an endpoint that no node enforces.
    Nobody,
    /// The slot stands for nothing yet, or no more: it reaches nobody.
    Absent,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Place {
    Endpoint(EndpointId, IpAddr),
    Outside(IpNet),
}

/// Above this many groups, slots are asked one by one.
const REFINED_GROUPS_MAX: usize = 24;

#[derive(Debug, Default)]
pub struct Slots {
    slots: Vec<Option<Slot>>,
    free: Vec<u32>,
    of_endpoint: HashMap<EndpointId, Vec<u32>>,
    of_prefix: BTreeMap<IpNet, u32>,
    pub v4: RoaringBitmap,
    pub v6: RoaringBitmap,
    pub outside: RoaringBitmap,
    /// Slots at which nobody judges.
    pub unguarded: RoaringBitmap,
    in_group: HashMap<GroupId, RoaringBitmap>,
    /// Under which group rules ask for it, of groups that some class holds.
    asked_as: HashMap<GroupId, GroupId>,
    /// Groups that are asked for under another one.
    atoms: HashMap<GroupId, BTreeSet<GroupId>>,
    judged_by: HashMap<ProgramId, RoaringBitmap>,
    /// How many slots have the class.
    classes: HashMap<Class, usize>,
}

impl Slot {
    pub fn is_v4(&self) -> bool {
        match &self.place {
            Place::Endpoint(_, address) => address.is_ipv4(),
            Place::Outside(prefix) => prefix.addr().is_ipv4(),
        }
    }

    pub fn program(&self, direction: Direction) -> Option<ProgramId> {
        self.guard.program(direction)
    }
}

impl Guard {
    pub fn program(self, direction: Direction) -> Option<ProgramId> {
        let Guard::Programs(judges) = self else { return None };
        Some(match direction {
            Direction::Ingress => judges.ingress,
            Direction::Egress => judges.egress,
        })
    }

    pub fn programs(self) -> impl Iterator<Item = ProgramId> + use<> {
        Direction::BOTH.into_iter().filter_map(move |direction| self.program(direction))
    }
}

impl Slots {
    pub fn get(&self, id: u32) -> Option<&Slot> {
        usize::try_from(id)
            .ok()
            .and_then(|position| self.slots.get(position))
            .and_then(Option::as_ref)
    }

    pub fn all(&self) -> impl Iterator<Item = (u32, &Slot)> {
        (0u32..).zip(&self.slots).filter_map(|(id, slot)| Some((id, slot.as_ref()?)))
    }

    pub fn of_endpoint(&self, id: &EndpointId) -> &[u32] {
        self.of_endpoint.get(id).map_or(&[], Vec::as_slice)
    }

    pub fn endpoints(&self) -> impl Iterator<Item = &EndpointId> {
        self.of_endpoint.keys()
    }

    /// Prefixes of the outside in order, wider ones before what they cover.
    pub fn prefixes(&self) -> impl Iterator<Item = (IpNet, u32)> + '_ {
        self.of_prefix.iter().map(|(prefix, id)| (*prefix, *id))
    }

    pub fn of_prefix(&self, prefix: &IpNet) -> Option<u32> {
        self.of_prefix.get(prefix).copied()
    }

    pub fn judged_by(&self, program: ProgramId) -> Option<&RoaringBitmap> {
        self.judged_by.get(&program)
    }

    pub fn family(&self, is_v4: bool) -> &RoaringBitmap {
        if is_v4 { &self.v4 } else { &self.v6 }
    }

    /// Whether some slot has the class.
    pub fn is_known(&self, class: &Class) -> bool {
        self.classes.contains_key(class)
    }

    /// Under which group rules ask for it.
    pub fn asked_as(&self, group: GroupId) -> GroupId {
        self.asked_as.get(&group).copied().unwrap_or(group)
    }

    pub fn insert(&mut self, slot: Slot, groups: &Groups) -> u32 {
        let id = self.free.pop().unwrap_or_else(|| {
            self.slots.push(None);
            u32::try_from(self.slots.len() - 1).unwrap_or(u32::MAX)
        });
        match &slot.place {
            Place::Endpoint(endpoint, _) => {
                self.of_endpoint.entry(endpoint.clone()).or_default().push(id);
            }
            Place::Outside(prefix) => {
                self.of_prefix.insert(*prefix, id);
                self.outside.insert(id);
            }
        }
        if slot.is_v4() {
            self.v4.insert(id)
        } else {
            self.v6.insert(id)
        };
        self.link(id, &slot, groups);
        if let Some(place) = self.slots.get_mut(position(id)) {
            *place = Some(slot);
        }
        id
    }

    pub fn remove(&mut self, id: u32) {
        let Some(slot) = self.slots.get_mut(position(id)).and_then(Option::take) else { return };
        match &slot.place {
            Place::Endpoint(endpoint, _) => {
                if let Some(ids) = self.of_endpoint.get_mut(endpoint) {
                    ids.retain(|known| *known != id);
                    if ids.is_empty() {
                        self.of_endpoint.remove(endpoint);
                    }
                }
            }
            Place::Outside(prefix) => {
                self.of_prefix.remove(prefix);
                self.outside.remove(id);
            }
        }
        if slot.is_v4() {
            self.v4.remove(id)
        } else {
            self.v6.remove(id)
        };
        self.unlink(id, &slot);
        self.free.push(id);
    }

    /// Gives the slot another guard or another class.
    pub fn change(&mut self, id: u32, guard: Guard, class: Class, groups: &Groups) {
        let Some(old) = self.slots.get_mut(position(id)).and_then(Option::take) else { return };
        self.unlink(id, &old);
        let slot = Slot { place: old.place, guard, class };
        self.link(id, &slot, groups);
        if let Some(place) = self.slots.get_mut(position(id)) {
            *place = Some(slot);
        }
    }

    fn link(&mut self, id: u32, slot: &Slot, groups: &Groups) {
        *self.classes.entry(slot.class.clone()).or_default() += 1;
        for &group in slot.class.iter() {
            let members = self.in_group.entry(group).or_default();
            if members.is_empty() {
                let asked = groups.seen_as(group);
                if asked != group {
                    self.asked_as.insert(group, asked);
                    self.atoms.entry(asked).or_default().insert(group);
                }
            }
            members.insert(id);
        }
        if slot.guard == Guard::Nobody {
            self.unguarded.insert(id);
        }
        for program in slot.guard.programs() {
            self.judged_by.entry(program).or_default().insert(id);
        }
    }

    fn unlink(&mut self, id: u32, slot: &Slot) {
        if let Some(n_slots) = self.classes.get_mut(&slot.class) {
            *n_slots -= 1;
            if *n_slots == 0 {
                self.classes.remove(&slot.class);
            }
        }
        for group in slot.class.iter() {
            let Some(members) = self.in_group.get_mut(group) else { continue };
            members.remove(id);
            if !members.is_empty() {
                continue;
            }
            self.in_group.remove(group);
            let Some(asked) = self.asked_as.remove(group) else { continue };
            if let Some(atoms) = self.atoms.get_mut(&asked) {
                atoms.remove(group);
                if atoms.is_empty() {
                    self.atoms.remove(&asked);
                }
            }
        }
        self.unguarded.remove(id);
        for program in slot.guard.programs() {
            if let Some(members) = self.judged_by.get_mut(&program) {
                members.remove(id);
                if members.is_empty() {
                    self.judged_by.remove(&program);
                }
            }
        }
    }

    /// The slots that are in some of the groups that `sees` asks for, by which of them they are in.
    pub fn told_apart(&self, sees: &[GroupId]) -> Vec<(Vec<GroupId>, RoaringBitmap)> {
        let mut groups: Vec<(GroupId, &RoaringBitmap)> = Vec::new();
        for asked in sees {
            let atoms = self.atoms.get(asked).into_iter().flatten().copied();
            let found = atoms.chain([*asked]);
            groups.extend(found.filter_map(|group| Some((group, self.in_group.get(&group)?))));
        }
        groups.sort_unstable_by_key(|(group, _)| *group);
        groups.dedup_by_key(|(group, _)| *group);
        if groups.len() > REFINED_GROUPS_MAX {
            return self.told_apart_one_by_one(&groups);
        }
        let mut parts: Vec<(Vec<GroupId>, RoaringBitmap)> = Vec::new();
        for (group, members) in groups {
            let mut rest = members.clone();
            let mut cut: Vec<(Vec<GroupId>, RoaringBitmap)> = Vec::new();
            for (view, part) in &mut parts {
                let inside = &*part & members;
                if inside.is_empty() {
                    continue;
                }
                rest -= &inside;
                let narrower = view.iter().copied().chain([group]).collect();
                *part -= &inside;
                cut.push((narrower, inside));
            }
            if !rest.is_empty() {
                cut.push((vec![group], rest));
            }
            parts.retain(|(_, part)| !part.is_empty());
            parts.extend(cut);
        }
        parts
    }

    fn told_apart_one_by_one(
        &self,
        groups: &[(GroupId, &RoaringBitmap)],
    ) -> Vec<(Vec<GroupId>, RoaringBitmap)> {
        let wanted: BTreeSet<GroupId> = groups.iter().map(|(group, _)| *group).collect();
        let mut seen = RoaringBitmap::new();
        for (_, members) in groups {
            seen |= *members;
        }
        let mut parts: HashMap<Vec<GroupId>, RoaringBitmap> = HashMap::new();
        for id in seen {
            let Some(slot) = self.get(id) else { continue };
            let view = slot.class.iter().copied().filter(|group| wanted.contains(group)).collect();
            parts.entry(view).or_default().insert(id);
        }
        parts.into_iter().collect()
    }
}

fn position(id: u32) -> usize {
    usize::try_from(id).unwrap_or(usize::MAX)
}
