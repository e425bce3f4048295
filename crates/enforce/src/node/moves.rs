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
    last: BTreeMap<(EndpointId, IpAddr), u32>,
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
        let mut last = BTreeMap::new();
        for (id, endpoint) in program.endpoints.iter() {
            let bound = found.bindings.get_mut(id);
            let mut bound = bound.filter(|bound| !bound.is_empty());
            for address in endpoint.addresses.keys() {
                let place = (id.clone(), *address);
                let before = self.last.get(&place).copied();
                let new = bound.as_ref().and_then(|bound| bound.get(address)).map(|at| at.ifindex);
                let is_given = new.is_some_and(|new| topology.given.contains_key(&new));
                let is_named = endpoint.interface.is_some() || is_given;
                match (new, before) {
                    (Some(new), Some(old)) if new != old && !is_named => {
                        let seen = self.waiting.get(&place).filter(|(at, _)| *at == new);
                        let since = seen.map_or(now, |(_, since)| *since);
                        if now.duration_since(since) < MOVED_AFTER {
                            waiting.insert(place.clone(), (new, since));
                            last.insert(place, old);
                            bound.as_mut().map(|bound| bound.remove(address));
                        } else {
                            last.insert(place, new);
                        }
                    }
                    (new, old) => last.extend(new.or(old).map(|ifindex| (place, ifindex))),
                }
            }
        }
        found.bindings.retain(|_, bound| !bound.is_empty());
        (self.last, self.waiting) = (last, waiting);
        found
    }

    /// What an earlier process had bound.
    fn learn(&mut self, program: &NodeProgram, held: &Held) {
        for (ifindex, id) in held {
            let endpoint = program.endpoints.get(id);
            for address in endpoint.iter().flat_map(|endpoint| endpoint.addresses.keys()) {
                self.last.insert((id.clone(), *address), *ifindex);
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
        let is_lost = |((id, address), ifindex): &(&(EndpointId, IpAddr), &u32)| {
            !topology.routes.contains_key(address)
                && attached.contains(ifindex)
                && program.endpoints.get(id).is_some_and(|endpoint| {
                    endpoint.interface.is_none() && endpoint.addresses.contains_key(address)
                })
        };
        let lost = self.last.iter().filter(is_lost);
        lost.map(|((_, address), ifindex)| (*address, *ifindex)).collect()
    }
}

#[cfg(test)]
mod tests;
