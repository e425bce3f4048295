//! What workloads have looked up, as elements of both banks.
//!
//! A class of the far address and the set of its names make one row, which user space finds: so a packet
//! costs one lookup more, and no name set stands in the kernel.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use bulkhead_types::EndpointId;
use bulkhead_wire::{NodeProgram, RowId, Tag};

use super::maps::{NAMED4, NAMED6};
use super::moves::{Local, Locals};
use super::objects::{Element, MapShape};
use crate::dns::Cache;
use crate::ebpf::Bindings;

/// Interface, near address, far address.
pub type NamedKey = (u32, IpAddr, IpAddr);
/// `None`: the program has no row for these names, so nothing is allowed.
pub type Named = BTreeMap<NamedKey, Option<RowId>>;
/// By interface and address: who looks things up there.
pub type LookersAt = BTreeMap<(u32, IpAddr), u64>;

/// What the cache's knowledge of an address comes to under the program of a near address. `None`: names
/// make no difference.
pub fn row_of(
    program: &NodeProgram,
    (local, far): (Local, IpAddr),
    tags: &BTreeSet<Tag>,
) -> Option<Option<RowId>> {
    let set = program.names.seen_by(local.egress, tags)?;
    Some(program.names.row(local.egress, program.class_of(far), set))
}

/// Everything that is known by name.
pub fn named(program: &NodeProgram, locals: &Locals, lookers: &LookersAt, cache: &Cache) -> Named {
    let mut named = Named::new();
    for ((ifindex, near), local) in locals {
        if !program.names.programs.contains_key(&local.egress) {
            continue;
        }
        let Some(looker) = lookers.get(&(*ifindex, *near)) else { continue };
        for (far, tags) in cache.tagged(*looker) {
            if far.is_ipv4() == near.is_ipv4()
                && let Some(row) = row_of(program, (*local, far), tags)
            {
                named.insert((*ifindex, *near, far), row);
            }
        }
    }
    named
}

/// Who looks things up at the places of an endpoint.
pub fn lookers_at(lookers: &BTreeMap<u64, (EndpointId, u32)>, bindings: &Bindings) -> LookersAt {
    let mut at = LookersAt::new();
    for (looker, (id, ifindex)) in lookers {
        let here = bindings.get(id).into_iter().flatten();
        let here = here.filter(|(_, place)| place.ifindex == *ifindex);
        at.extend(here.map(|(address, _)| ((*ifindex, *address), *looker)));
    }
    at
}

/// Elements of the map of a family that go and come.
pub type NamedElements = [(&'static MapShape, Vec<Element>, Vec<Element>); 2];

/// The rows by number that the two banks have.
#[derive(Debug, Default)]
pub struct NamedBanks {
    active: BTreeMap<NamedKey, u32>,
    /// Where the other bank differs, what it has.
    other: BTreeMap<NamedKey, Option<u32>>,
}

/// A key, and what it will be.
pub type NamedMoves = Vec<(NamedKey, Option<u32>)>;

impl NamedBanks {
    /// What the program's knowledge changes in the bank in use.
    pub fn moves(&self, wanted: &BTreeMap<NamedKey, u32>) -> NamedMoves {
        let gone = self.active.keys().filter(|key| !wanted.contains_key(key));
        let mut moves: NamedMoves = gone.map(|key| (*key, None)).collect();
        let come = wanted.iter().filter(|(key, row)| self.active.get(key) != Some(row));
        moves.extend(come.map(|(key, row)| (*key, Some(*row))));
        moves
    }

    /// Whether some packet could see the old row and the new one.
    pub fn replaces(&self, moves: &NamedMoves) -> bool {
        moves.iter().any(|(key, new)| {
            let old = self.active.get(key);
            old.is_some() && new.is_some() && old != new.as_ref()
        })
    }

    pub fn n_known(&self) -> usize {
        self.active.len()
    }

    /// How many there are once these have come, and the others of the keys are gone.
    pub fn n_after<'a>(&self, moves: impl Iterator<Item = (&'a NamedKey, bool)>) -> usize {
        moves.fold(self.active.len(), |n, (key, comes)| {
            match (self.active.contains_key(key), comes) {
                (false, true) => n + 1,
                (true, false) => n - 1,
                _ => n,
            }
        })
    }

    /// Those that change something.
    pub fn real(&self, mut moves: NamedMoves) -> NamedMoves {
        moves.retain(|(key, new)| self.active.get(key) != new.as_ref());
        moves
    }

    /// In the bank in use.
    pub fn write(&mut self, moves: NamedMoves) -> NamedElements {
        let mut elements = nothing();
        for (key, new) in moves {
            let old = self.put(key, new);
            push(&mut elements, &key, old, new);
            let other = *self.other.get(&key).unwrap_or(&old);
            if other == new {
                self.other.remove(&key);
            } else {
                self.other.insert(key, other);
            }
        }
        elements
    }

    /// In the other bank, which becomes the one in use.
    pub fn flip(&mut self, moves: NamedMoves) -> NamedElements {
        let mut elements = nothing();
        let mut behind = BTreeMap::new();
        let moves: BTreeMap<NamedKey, Option<u32>> = moves.into_iter().collect();
        for (key, other) in std::mem::take(&mut self.other) {
            if !moves.contains_key(&key) {
                let new = self.active.get(&key).copied();
                push(&mut elements, &key, other, new);
            } else {
                behind.insert(key, other);
            }
        }
        for (key, new) in moves {
            let old = self.put(key, new);
            push(&mut elements, &key, *behind.get(&key).unwrap_or(&old), new);
            if old != new {
                self.other.insert(key, old);
            }
        }
        elements
    }

    /// What the other bank lacks.
    pub fn level(&mut self) -> NamedElements {
        let mut elements = nothing();
        for (key, other) in std::mem::take(&mut self.other) {
            push(&mut elements, &key, other, self.active.get(&key).copied());
        }
        elements
    }

    pub fn is_level(&self) -> bool {
        self.other.is_empty()
    }

    pub fn all(&self) -> NamedElements {
        let mut elements = nothing();
        for (key, row) in &self.active {
            push(&mut elements, key, None, Some(*row));
        }
        elements
    }

    fn put(&mut self, key: NamedKey, row: Option<u32>) -> Option<u32> {
        match row {
            Some(row) => self.active.insert(key, row),
            None => self.active.remove(&key),
        }
    }
}

fn nothing() -> NamedElements {
    [(&NAMED4, Vec::new(), Vec::new()), (&NAMED6, Vec::new(), Vec::new())]
}

fn push(elements: &mut NamedElements, key: &NamedKey, old: Option<u32>, new: Option<u32>) {
    if old == new {
        return;
    }
    let (ifindex, near, far) = key;
    let key = [&ifindex.to_ne_bytes()[..], &octets(near), &octets(far)].concat();
    let [v4, v6] = elements;
    let (_, gone, come) = if near.is_ipv4() { v4 } else { v6 };
    let element = |row: u32| Element { key: key.clone(), value: Some(row) };
    gone.extend(old.map(element));
    come.extend(new.map(element));
}

fn octets(address: &IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(v4) => v4.octets().to_vec(),
        IpAddr::V6(v6) => v6.octets().to_vec(),
    }
}

#[cfg(test)]
mod tests;
