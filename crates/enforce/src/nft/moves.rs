//! What is not the same in a bank and in the program that it is to hold.

use std::collections::BTreeMap;
use std::net::IpAddr;

use bulkhead_types::{EndpointId, Mac};
use bulkhead_wire::{ClassId, NodeProgram, ProgramId, RowId, Table};
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
pub type Locals = Table<(u32, IpAddr), Local>;

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
    /// `was`: the program that is there, with its places. What both programs share is not
    /// looked at.
    pub fn between(was: (&NodeProgram, &Places), program: &NodeProgram, locals: &Locals) -> Self {
        let (old, places) = was;
        Self {
            classes: moved(&old.classes, &program.classes),
            entries: moved(&old.entries, &program.entries),
            locals: moved(&places.locals, locals),
        }
    }
}

/// The judged addresses where their interface is known.
pub fn locals(program: &NodeProgram, bindings: &Bindings) -> Locals {
    let mut locals = Locals::default();
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

fn moved<K: Ord + Copy, V: PartialEq + Copy>(old: &Table<K, V>, new: &Table<K, V>) -> Moved<K, V> {
    let differences = old.differences(new).into_iter();
    differences.map(|(key, was, is)| (*key, was.copied(), is.copied())).collect()
}
