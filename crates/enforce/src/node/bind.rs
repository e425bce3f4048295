//! Which interface each address of an endpoint is on.
//!
//! What the host says comes first: the container runtime that made the interface, the API object that
//! names it, the host's own route. Only then what is found in a container's network namespace, because
//! a container may be able to change that: such an interface is one endpoint's at a time, and stays so
//! as long as both exist, whatever addresses the container gives itself later.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::net::IpAddr;

use bulkhead_types::{EndpointId, Mac};
use bulkhead_wire::{EndpointProgram, NodeProgram};

use crate::ebpf::plan::endpoint_content;
use crate::ebpf::{Bindings, Place};
use crate::netlink::Topology;
use crate::realized::{SlotKind, Tables, mapped};

/// The interfaces that endpoints have now.
pub type Held = BTreeMap<u32, EndpointId>;

/// What was found, and what could not be told apart.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Found {
    pub bindings: Bindings,
    /// Addresses that several interfaces could be meant by, in sentences.
    pub doubts: Vec<String>,
}

/// Sentences of one look; the rest is left out.
const DOUBTS_MAX: usize = 16;

/// What the kernel has now, also after a restart: a slot's content names its endpoint and interface.
pub fn held(program: &NodeProgram, tables: &Tables) -> Held {
    let mut by_address: BTreeMap<_, Vec<(u32, u32)>> = BTreeMap::new();
    for (key, endpoint) in &tables.endpoints {
        by_address.entry(key.local).or_default().push((key.ifindex, endpoint.slot));
    }
    let mut held = Held::new();
    for (id, endpoint) in program.endpoints.iter() {
        let places = endpoint.addresses.keys().filter_map(|a| by_address.get(&mapped(*a)));
        for (ifindex, slot) in places.flatten() {
            let content = endpoint_content(id, *ifindex);
            if tables.slots.of(SlotKind::Endpoint, content) == Some(*slot) {
                held.insert(*ifindex, id.clone());
            }
        }
    }
    held
}

/// Only attached interfaces count: no other one is judged.
pub fn bind(
    program: &NodeProgram,
    topology: &Topology,
    attached: &BTreeSet<u32>,
    held: &Held,
) -> Found {
    let mut found = Found::default();
    let mut taken = BTreeMap::new();
    let left = bind_told(program, topology, attached, &mut found, &mut taken);
    if left.is_empty() {
        return found;
    }
    // What a runtime gave to one endpoint is no other's, wherever that one's addresses are seen.
    let given = topology.given.iter();
    let owners = given.filter_map(|(ifindex, given)| Some((ifindex, given.id.as_ref()?)));
    for (ifindex, id) in owners.chain(held) {
        if let Some((id, _)) = program.endpoints.get_key_value(id) {
            taken.entry(*ifindex).or_insert(id);
        }
    }
    bind_seen(&left, topology, attached, held, &taken, &mut found);
    found
}

/// What the host says. Returns the addresses that it says nothing of, and notes whom interfaces belong
/// to.
fn bind_told<'a>(
    program: &'a NodeProgram,
    topology: &Topology,
    attached: &BTreeSet<u32>,
    found: &mut Found,
    taken: &mut BTreeMap<u32, &'a EndpointId>,
) -> Vec<(&'a EndpointProgram, IpAddr)> {
    let given = &topology.given;
    let told = given.iter().flat_map(|(at, given)| given.addresses.iter().map(|of| (*at, *of)));
    let given_by_address = by_address(told);
    let is_named = program.endpoints.values().any(|endpoint| endpoint.interface.is_some());
    let names = topology.interfaces.iter().filter(|_| is_named);
    let by_name: HashMap<&str, u32> =
        names.map(|(ifindex, name)| (name.as_str(), *ifindex)).collect();
    let mut left = Vec::new();
    for (id, endpoint) in program.endpoints.iter() {
        let named = endpoint.interface.as_deref().map(|name| by_name.get(name).copied());
        let is_its = |ifindex: &u32| {
            let owner = given.get(ifindex).and_then(|given| given.id.as_ref());
            owner.is_none_or(|owner| owner == id)
        };
        for address in endpoint.addresses.keys() {
            let mut given_to = given_by_address.get(address).into_iter().flatten().copied();
            let ifindex = match (given_to.find(is_its), named) {
                (Some(ifindex), _) => Some(ifindex),
                (None, Some(ifindex)) => ifindex,
                (None, None) => topology.routes.get(address).copied(),
            };
            match ifindex.filter(|ifindex| attached.contains(ifindex)) {
                Some(ifindex) => {
                    taken.insert(ifindex, id);
                    let mac = given.get(&ifindex).and_then(|given| given.mac);
                    found.put(endpoint, *address, ifindex, mac.or(topology.mac(ifindex)));
                }
                None if named.is_none() => left.push((endpoint.as_ref(), *address)),
                None => {}
            }
        }
    }
    left
}

/// What is found in containers' namespaces.
fn bind_seen(
    left: &[(&EndpointProgram, IpAddr)],
    topology: &Topology,
    attached: &BTreeSet<u32>,
    held: &Held,
    taken: &BTreeMap<u32, &EndpointId>,
    found: &mut Found,
) {
    let wanted: HashSet<IpAddr> = left.iter().map(|(_, address)| *address).collect();
    let peers = topology.peers.iter().filter(|(ifindex, _)| attached.contains(ifindex));
    let seen = peers.flat_map(|(ifindex, peer)| peer.addresses.iter().map(|at| (*ifindex, *at)));
    let by_address = by_address(seen.filter(|(_, address)| wanted.contains(address)));
    let seen_at = |address| by_address.get(address).map(Vec::as_slice).unwrap_or_default();
    let mut held_by: HashMap<&EndpointId, Vec<u32>> = HashMap::new();
    for (ifindex, id) in held.iter().filter(|(ifindex, _)| attached.contains(ifindex)) {
        held_by.entry(id).or_default().push(*ifindex);
    }
    let mut claims: BTreeMap<u32, BTreeSet<&EndpointId>> = BTreeMap::new();
    for (endpoint, address) in left {
        for ifindex in seen_at(address) {
            claims.entry(*ifindex).or_default().insert(&endpoint.id);
        }
    }
    for (endpoint, address) in left {
        // Nobody's yet, and nobody else could mean it; or this one's already.
        let is_its_own = |ifindex: &u32| match taken.get(ifindex) {
            Some(id) => **id == endpoint.id,
            None => claims.get(ifindex).is_none_or(|claims| claims.len() == 1),
        };
        let mut own = held_by.get(&endpoint.id).into_iter().flatten().copied();
        let free: Vec<u32> = seen_at(address).iter().copied().filter(is_its_own).collect();
        match (own.find(is_its_own), free.as_slice(), seen_at(address)) {
            (Some(ifindex), ..) | (None, &[ifindex], _) => {
                found.put(endpoint, *address, ifindex, topology.mac(ifindex));
            }
            (None, [], []) => {}
            (None, _, seen) => found.doubt(endpoint, *address, seen, topology),
        }
    }
}

/// Interfaces by the addresses behind them.
fn by_address(known: impl Iterator<Item = (u32, IpAddr)>) -> HashMap<IpAddr, Vec<u32>> {
    let mut by_address: HashMap<IpAddr, Vec<u32>> = HashMap::new();
    for (ifindex, address) in known {
        by_address.entry(address).or_default().push(ifindex);
    }
    by_address
}

impl Found {
    fn put(&mut self, endpoint: &EndpointProgram, at: IpAddr, ifindex: u32, seen: Option<Mac>) {
        let mac = endpoint.mac.or(seen);
        let bound = self.bindings.entry(endpoint.id.clone()).or_default();
        bound.insert(at, Place { ifindex, mac });
    }

    fn doubt(&mut self, of: &EndpointProgram, at: IpAddr, several: &[u32], topology: &Topology) {
        if self.doubts.len() == DOUBTS_MAX {
            return;
        }
        let names = several.iter().filter_map(|ifindex| topology.interfaces.get(ifindex));
        let names: Vec<&str> = names.map(String::as_str).collect();
        let id = &of.id;
        self.doubts.push(format!(
            "address {at} of {id} is seen behind {}, but not behind it alone or not in its name only: \
             no interface is taken for its own",
            names.join(" and ")
        ));
    }
}

#[cfg(test)]
mod tests;
