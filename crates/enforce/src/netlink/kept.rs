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
        Self { topology, prefixes, facts, is_listed: false }
    }

    /// Takes in what was told. Says whether anything has moved.
    pub fn hear(&mut self, heard: Heard, known: &BTreeSet<u32>) -> Result<bool, EnforceError> {
        if heard.is_short || !self.is_listed || heard.listed.iter().any(|item| self.is_down(item)) {
            return self.list(known);
        }
        let mut moved = false;
        for item in heard.listed {
            moved |= self.take(item);
        }
        Ok(self.sort(known) | moved)
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
        Ok(self.sort(known) | (before != self.topology.links))
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

    /// Which interfaces are workloads', with their other ends and the routes through them. Says whether
    /// any of it has moved.
    fn sort(&mut self, known: &BTreeSet<u32>) -> bool {
        let is_workloads = |ifindex: &u32, name: &String| {
            known.contains(ifindex) || self.prefixes.iter().any(|p| name.starts_with(p.as_str()))
        };
        let links = self.topology.links.iter().map(|(ifindex, link)| (ifindex, &link.name));
        let interfaces: BTreeMap<u32, String> = links
            .filter(|(ifindex, name)| is_workloads(ifindex, name))
            .map(|(ifindex, name)| (*ifindex, name.clone()))
            .collect();
        let far = self.facts.far.iter().filter(|(ifindex, _)| interfaces.contains_key(ifindex));
        let far: BTreeMap<u32, FarEnd> = far.map(|(ifindex, far)| (*ifindex, *far)).collect();
        let routes = self.facts.routes.iter().filter_map(|(address, through)| {
            let mut best = through.iter().map(|(_, Reverse(ifindex))| ifindex);
            Some((*address, *best.find(|ifindex| interfaces.contains_key(ifindex))?))
        });
        let routes: BTreeMap<IpAddr, u32> = routes.collect();
        let topology = &mut self.topology;
        let moved =
            interfaces != topology.interfaces || far != topology.far || routes != topology.routes;
        (topology.interfaces, topology.far, topology.routes) = (interfaces, far, routes);
        moved
    }
}

mod ways;

#[cfg(test)]
mod tests;
