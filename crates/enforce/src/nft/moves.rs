//! What is not the same in a bank and in the program that it is to hold.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use bulkhead_types::{EndpointId, Mac};
use bulkhead_wire::{ClassId, NodeProgram, ProgramId, RowId};
use ipnet::IpNet;

use crate::ebpf::Bindings;

/// What judges one address of a workload at one interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Local {
    pub ingress: ProgramId,
    pub egress: ProgramId,
    /// The only link address that it may send by.
    pub mac: Option<Mac>,
}

/// By interface and address.
pub type Locals = BTreeMap<(u32, IpAddr), Local>;

/// Where programs stand.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Places {
    pub locals: Locals,
    /// Host endpoints by the interface that they stand at.
    pub hosts: BTreeMap<u32, EndpointId>,
}

/// What a key was and will be.
pub type Moved<K, V> = Vec<(K, Option<V>, Option<V>)>;

#[derive(Debug, Default)]
pub struct Moves {
    pub classes: Moved<IpNet, ClassId>,
    pub entries: Moved<(ProgramId, ClassId), RowId>,
    pub locals: Moved<(u32, IpAddr), Local>,
}

impl Moves {
    /// `was`: the program that is there, with its places. Tables that both programs share are not
    /// looked at.
    pub fn between(was: (&NodeProgram, &Places), program: &NodeProgram, locals: &Locals) -> Self {
        let (old, places) = was;
        let mut moves = Self { locals: moved(&places.locals, locals), ..Self::default() };
        if !Arc::ptr_eq(&old.classes, &program.classes) {
            moves.classes = moved(&old.classes, &program.classes);
        }
        if !Arc::ptr_eq(&old.entries, &program.entries) {
            moves.entries = moved(&old.entries, &program.entries);
        }
        moves
    }
}

/// The judged addresses where their interface is known.
pub fn locals(program: &NodeProgram, bindings: &Bindings) -> Locals {
    let mut locals = Locals::new();
    for (id, bound) in bindings {
        let Some(endpoint) = program.endpoints.get(id) else { continue };
        for (address, place) in bound {
            if let Some(judges) = endpoint.addresses.get(address) {
                let local =
                    Local { ingress: judges.ingress, egress: judges.egress, mac: place.mac };
                locals.insert((place.ifindex, *address), local);
            }
        }
    }
    locals
}

/// Every key whose value is not the same in both.
fn moved<K: Ord + Copy, V: PartialEq + Copy>(
    old: &BTreeMap<K, V>,
    new: &BTreeMap<K, V>,
) -> Moved<K, V> {
    let mut moved = Vec::new();
    let (mut olds, mut news) = (old.iter(), new.iter());
    let (mut before, mut after) = (olds.next(), news.next());
    loop {
        let order = match (before, after) {
            (None, None) => return moved,
            // Nearly all of nearly all tables.
            (Some(same), Some(other)) if same == other => {
                (before, after) = (olds.next(), news.next());
                continue;
            }
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some((a, _)), Some((b, _))) => a.cmp(b),
        };
        let was = before.filter(|_| order.is_le());
        let is = after.filter(|_| order.is_ge());
        if let Some((key, _)) = was.or(is) {
            moved.push((*key, was.map(|(_, v)| *v), is.map(|(_, v)| *v)));
        }
        if was.is_some() {
            before = olds.next();
        }
        if is.is_some() {
            after = news.next();
        }
    }
}

#[cfg(test)]
mod tests;
