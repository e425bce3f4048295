//! The topology as it is kept: listed once, then told of what comes.
//!
//! A thousand interfaces may come at once, so what comes is applied as it is told. What goes is another
//! matter: the kernel does not tell of everything that goes with it (the IPv4 routes of a link that is
//! set down, or of an address that is removed). So whenever something goes, is replaced, or may have been
//! missed, everything is listed again, which is simple and cannot drift.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use super::links::Link;
use super::message::{Listed, RTM_GETADDR, RTM_GETLINK, RTM_GETROUTE, Seen};
use super::{FarEnd, Heard, Topology, dump, failed};
use crate::node::EnforceError;

/// Interfaces by the beginnings of their names, and those of `known` whatever their name.
#[derive(Debug)]
pub struct Kept {
    pub topology: Topology,
    prefixes: Vec<String>,
    /// Those that were workloads' whatever their name when interfaces were last sorted out.
    known: BTreeSet<u32>,
    facts: Facts,
    is_listed: bool,
}

/// As it was told, of all links.
#[derive(Debug, Default)]
struct Facts {
    up: BTreeSet<u32>,
    far: BTreeMap<u32, FarEnd>,
    /// The kernel takes the lowest priority; among equals the youngest interface is meant.
    routes: BTreeMap<IpAddr, BTreeSet<(u32, Reverse<u32>)>>,
}

impl Kept {
    pub fn new(prefixes: Vec<String>) -> Self {
        let (topology, facts) = (Topology::default(), Facts::default());
        Self { topology, prefixes, known: BTreeSet::new(), facts, is_listed: false }
    }

    /// Takes in what was told. Says whether anything has moved.
    pub fn hear(&mut self, heard: Heard, known: &BTreeSet<u32>) -> Result<bool, EnforceError> {
        if self.wants_list(&heard) {
            return self.list(known);
        }
        let mut links: BTreeSet<u32> = self.known.symmetric_difference(known).copied().collect();
        let (mut addresses, mut moved) = (BTreeSet::new(), false);
        for item in heard.listed {
            match &item {
                Listed::Link(seen) => links.extend([seen.ifindex]),
                Listed::HostRoute { address, .. } => addresses.extend([*address]),
                Listed::Address { .. } => {}
            }
            moved |= self.take(item);
        }
        self.known.clone_from(known);
        Ok(self.sort(&links, addresses) | moved)
    }

    /// Whether what was told is not enough, so that everything will be listed.
    pub fn wants_list(&self, heard: &Heard) -> bool {
        heard.is_short || !self.is_listed || heard.listed.iter().any(|item| self.is_down(item))
    }

    /// A link that is set down takes routes along.
    fn is_down(&self, item: &Listed) -> bool {
        matches!(item, Listed::Link(seen) if !seen.is_up && self.facts.up.contains(&seen.ifindex))
    }

    fn list(&mut self, known: &BTreeSet<u32>) -> Result<bool, EnforceError> {
        self.is_listed = false;
        let mut listed = Vec::new();
        for request in [RTM_GETLINK, RTM_GETADDR, RTM_GETROUTE] {
            let part = dump(request);
            listed.extend(part.map_err(|error| failed("list links, addresses and routes", error))?);
        }
        let before = std::mem::take(&mut self.topology.links);
        self.facts = Facts::default();
        for item in listed {
            self.take(item);
        }
        self.is_listed = true;
        self.known.clone_from(known);
        Ok(self.sort_all(&before) | (before != self.topology.links))
    }

    /// As [`Kept::sort`], of everything that is there and that was there `before`.
    fn sort_all(&mut self, before: &BTreeMap<u32, Link>) -> bool {
        let Topology { links, routes, .. } = &self.topology;
        let all = links.keys().chain(before.keys()).chain(&self.known).copied().collect();
        let addresses = routes.keys().chain(self.facts.routes.keys()).copied().collect();
        self.sort(&all, addresses)
    }

    /// Says whether a link or an address has moved; routes and interfaces are sorted out later.
    fn take(&mut self, item: Listed) -> bool {
        let links = &mut self.topology.links;
        match item {
            Listed::Link(seen) => {
                let Seen { ifindex, is_up, far, .. } = seen;
                if is_up {
                    self.facts.up.insert(ifindex);
                }
                match far {
                    Some(far) => self.facts.far.insert(ifindex, far),
                    None => self.facts.far.remove(&ifindex),
                };
                let before = links.remove(&ifindex);
                let addresses = before.as_ref().map(|link| link.addresses.clone());
                let now = Link::of(&seen, addresses.unwrap_or_default());
                let moved = before.as_ref() != Some(&now);
                links.insert(ifindex, now);
                moved
            }
            Listed::Address { address, ifindex } => {
                links.get_mut(&ifindex).is_some_and(|link| link.addresses.insert(address))
            }
            Listed::HostRoute { address, ifindex, priority } => {
                self.facts.routes.entry(address).or_default().insert((priority, Reverse(ifindex)));
                false
            }
        }
    }

    /// Which of these links are workloads' interfaces, with their other ends, and the routes through them and
    /// to these addresses. Says whether any of it has moved.
    fn sort(&mut self, links: &BTreeSet<u32>, mut addresses: BTreeSet<IpAddr>) -> bool {
        let (topology, facts) = (&mut self.topology, &self.facts);
        let (mut moved, mut come_or_gone) = (false, BTreeSet::new());
        for ifindex in links {
            let is_workloads = |link: &&Link| {
                let mut prefixes = self.prefixes.iter();
                self.known.contains(ifindex) || prefixes.any(|p| link.name.starts_with(p.as_str()))
            };
            let name = topology.links.get(ifindex).filter(is_workloads).map(|link| &link.name);
            let before = topology.interfaces.get(ifindex);
            if before.is_some() != name.is_some() {
                come_or_gone.insert(*ifindex);
            }
            moved |= before != name;
            let far = facts.far.get(ifindex).filter(|_| name.is_some());
            moved |= topology.far.get(ifindex) != far;
            put(&mut topology.interfaces, ifindex, name.cloned());
            put(&mut topology.far, ifindex, far.copied());
        }
        let is_concerned = |(_, through): &(&IpAddr, &BTreeSet<(u32, Reverse<u32>)>)| {
            through.iter().any(|(_, Reverse(ifindex))| come_or_gone.contains(ifindex))
        };
        if !come_or_gone.is_empty() {
            addresses.extend(facts.routes.iter().filter(is_concerned).map(|(address, _)| address));
        }
        for address in &addresses {
            let through = facts.routes.get(address).into_iter().flatten();
            let mut best = through.map(|(_, Reverse(ifindex))| *ifindex);
            let route = best.find(|ifindex| topology.interfaces.contains_key(ifindex));
            moved |= topology.routes.get(address).copied() != route;
            put(&mut topology.routes, address, route);
        }
        moved
    }
}

fn put<K: Ord + Copy, V>(map: &mut BTreeMap<K, V>, key: &K, value: Option<V>) {
    match value {
        Some(value) => map.insert(*key, value),
        None => map.remove(key),
    };
}

mod ways;

#[cfg(test)]
mod tests;
