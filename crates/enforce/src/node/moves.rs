//! What happens to a binding when the host's routes move.
//!
//! A binding outlives the route that made it, because a link that flaps takes its routes along. But an
//! address that turns up on another interface may be somebody else's already, of whom the program does
//! not know yet: it waits until the server has had the time to say so.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::{Duration, Instant};

use bulkhead_types::EndpointId;
use bulkhead_wire::NodeProgram;

use crate::netlink::Topology;
use crate::node::bind::{Found, Held, bind};

/// So long an address that moved to another interface is judged as nobody's.
pub const MOVED_AFTER: Duration = Duration::from_secs(1);

#[derive(Debug, Default)]
pub struct Moves {
    last: BTreeMap<EndpointId, BTreeMap<IpAddr, u32>>,
    /// Addresses that wait, with the interface that they turned up on and when.
    waiting: BTreeMap<(EndpointId, IpAddr), (u32, Instant)>,
}

impl Moves {
    /// Whether some address waits for [`MOVED_AFTER`].
    pub fn wait(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// As [`bind`], but with a memory.
    pub fn bind(
        &mut self,
        program: &NodeProgram,
        topology: &Topology,
        attached: &BTreeSet<u32>,
        held: &Held,
        now: Instant,
    ) -> Found {
        if self.last.is_empty() {
            self.learn(program, held);
        }
        let lost = self.lost_routes(program, topology, attached);
        let mut found = if lost.is_empty() {
            bind(program, topology, attached, held)
        } else {
            let mut topology = topology.clone();
            topology.routes.extend(lost);
            bind(program, &topology, attached, held)
        };
        let mut waiting = BTreeMap::new();
        for (id, bound) in &mut found.bindings {
            let Some(last) = self.last.get_mut(id) else {
                let places = bound.iter().map(|(address, place)| (*address, place.ifindex));
                self.last.insert(id.clone(), places.collect());
                continue;
            };
            let endpoint = || program.endpoints.get(id);
            let is_named = || endpoint().is_some_and(|endpoint| endpoint.interface.is_some());
            bound.retain(|address, place| {
                let new = place.ifindex;
                let old = *last.entry(*address).or_insert(new);
                if new == old || topology.given.contains_key(&new) || is_named() {
                    last.insert(*address, new);
                    return true;
                }
                let place = (id.clone(), *address);
                let seen = self.waiting.get(&place).filter(|(at, _)| *at == new);
                let since = seen.map_or(now, |(_, since)| *since);
                if now.duration_since(since) < MOVED_AFTER {
                    waiting.insert(place, (new, since));
                    return false;
                }
                last.insert(*address, new);
                true
            });
        }
        found.bindings.retain(|_, bound| !bound.is_empty());
        self.forget_strangers(program);
        self.waiting = waiting;
        found
    }

    /// Endpoints and addresses that the program does not have any more. Both are in one order.
    fn forget_strangers(&mut self, program: &NodeProgram) {
        let mut known = program.endpoints.iter().peekable();
        self.last.retain(|id, last| {
            while known.next_if(|(other, _)| *other < id).is_some() {}
            let endpoint = known.peek().filter(|(other, _)| *other == id);
            last.retain(|at, _| endpoint.is_some_and(|(_, one)| one.addresses.contains_key(at)));
            !last.is_empty()
        });
    }

    /// What an earlier process had bound.
    fn learn(&mut self, program: &NodeProgram, held: &Held) {
        for (ifindex, id) in held {
            let endpoint = program.endpoints.get(id);
            for address in endpoint.iter().flat_map(|endpoint| endpoint.addresses.keys()) {
                self.last.entry(id.clone()).or_default().insert(*address, *ifindex);
            }
        }
    }

    /// Addresses without a route whose last interface is still there.
    fn lost_routes(
        &self,
        program: &NodeProgram,
        topology: &Topology,
        attached: &BTreeSet<u32>,
    ) -> Vec<(IpAddr, u32)> {
        let last = self.last.iter().flat_map(|(id, last)| last.iter().map(move |at| (id, at)));
        let is_lost = |(id, (address, ifindex)): &(&EndpointId, (&IpAddr, &u32))| {
            !topology.routes.contains_key(address)
                && attached.contains(ifindex)
                && program.endpoints.get(id).is_some_and(|endpoint| {
                    endpoint.interface.is_none() && endpoint.addresses.contains_key(address)
                })
        };
        let lost = last.filter(is_lost);
        lost.map(|(_, (address, ifindex))| (*address, *ifindex)).collect()
    }
}

#[cfg(test)]
mod tests;
