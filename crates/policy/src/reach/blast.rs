//! How far a compromised workload reaches, hop by hop.
//!
//! Whoever holds a workload can do what the workload may do, and whatever it can connect to may fall
//! next. A hop is one allowed connection, whatever its port: which service has a hole is not known
//! here.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use bulkhead_types::EndpointId;

use super::Reach;
use super::grounds::{Ground, joined};
use super::matrix::{Connection, End, Matrix};
use super::traffic::Traffic;
use crate::engine::Engine;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Blast {
    /// Workloads by the number of hops, then by name; the first one is not among them.
    pub reached: Vec<Reached>,
    /// Ways out, by the number of hops.
    pub outside: Vec<(u32, Way)>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reached {
    pub workload: Arc<str>,
    pub hop: u32,
    /// From each workload that is one hop nearer.
    pub ways: Vec<Way>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Way {
    pub src: End,
    pub dst: End,
    pub allowed: Traffic,
    pub grounds: Vec<Ground>,
}

/// Where it begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    Workload(Arc<str>),
    Address(IpAddr),
}

impl Reach {
    /// `matrix` is that of all workloads, by the same names.
    pub fn blast(
        &mut self,
        engine: &Engine,
        matrix: &Matrix,
        members: &BTreeMap<Arc<str>, Vec<EndpointId>>,
        origin: &Origin,
        hops_max: u32,
    ) -> Blast {
        let is_origin = |end: &End| match (end, origin) {
            (End::Workload(name), Origin::Workload(wanted)) => name == wanted,
            (End::Outside(range), Origin::Address(address)) => range.contains(*address),
            _ => false,
        };
        let at = match origin {
            Origin::Address(address) => Some(*address),
            Origin::Workload(_) => None,
        };
        let mut onward: BTreeMap<&End, BTreeMap<&End, Traffic>> = BTreeMap::new();
        let sure = |connection: &&Connection| connection.extent.requests.is_none();
        for connection in matrix.connections.iter().filter(sure) {
            let traffic = onward.entry(&connection.src).or_default();
            let traffic = traffic.entry(&connection.dst).or_default();
            *traffic = traffic.or(&connection.allowed);
        }
        let mut front: BTreeSet<&End> = onward.keys().copied().filter(|e| is_origin(e)).collect();
        let mut known: BTreeSet<&End> = front.clone();
        let mut blast = Blast::default();
        for hop in 1..=hops_max {
            let mut ways: BTreeMap<&End, Vec<Way>> = BTreeMap::new();
            for src in &front {
                for (dst, allowed) in onward.get(src).into_iter().flatten() {
                    if known.contains(dst) {
                        continue;
                    }
                    let grounds = self.grounds_between(engine, members, (src, dst), at);
                    let (src, to) = ((*src).clone(), (*dst).clone());
                    let way = Way { src, dst: to, allowed: allowed.clone(), grounds };
                    match dst {
                        End::Workload(_) => ways.entry(dst).or_default().push(way),
                        End::Outside(_) | End::Name(_) | End::Entry(_) => {
                            blast.outside.push((hop, way));
                        }
                    }
                }
            }
            front = ways.keys().copied().collect();
            known.extend(&front);
            for (end, ways) in ways {
                if let End::Workload(workload) = end {
                    blast.reached.push(Reached { workload: Arc::clone(workload), hop, ways });
                }
            }
            if front.is_empty() {
                break;
            }
        }
        blast
    }

    /// The rules that let any pod of the one reach any of the other. `at`: an address outside to
    /// stand for the range that it is in.
    pub(super) fn grounds_between(
        &mut self,
        engine: &Engine,
        members: &BTreeMap<Arc<str>, Vec<EndpointId>>,
        (src, dst): (&End, &End),
        at: Option<IpAddr>,
    ) -> Vec<Ground> {
        let (from, to) = (self.kinds_of(src, members, at), self.kinds_of(dst, members, at));
        let mut grounds = Vec::new();
        for src in from {
            for dst in &to {
                grounds.extend(self.grounds(engine, src, *dst));
            }
        }
        joined(grounds)
    }

    /// One slot of each kind that stands at the end.
    fn kinds_of(
        &self,
        end: &End,
        members: &BTreeMap<Arc<str>, Vec<EndpointId>>,
        at: Option<IpAddr>,
    ) -> Vec<u32> {
        match end {
            End::Workload(name) => {
                let endpoints = members.get(name).into_iter().flatten();
                let slots = endpoints.flat_map(|endpoint| self.slots_of(endpoint)).copied();
                let kinds = self.by_key(&slots.collect());
                kinds.into_iter().filter_map(|(_, slots)| slots.min()).collect()
            }
            End::Outside(range) => {
                // No endpoint has the first address: ranges begin outside.
                let address = at.filter(|at| range.contains(*at)).unwrap_or(range.first);
                self.slot_outside(address).into_iter().collect()
            }
            End::Name(_) | End::Entry(_) => Vec::new(),
        }
    }
}
