//! Connections between workloads, and between workloads and the world outside.
//!
//! A workload is all endpoints that the caller gives one name. Its pods are usually alike; where
//! they are not, what only some of them may do is told apart.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use bulkhead_types::{Direction, EndpointId};
use roaring::RoaringBitmap;

use super::border::Outside;
use super::pool::{TrafficId, TrafficPool};
use super::slots::Place;
use super::traffic::Traffic;
use super::{Key, Range, Reach};
use crate::rule::HttpMatch;

/// Every connection that is allowed, by source and destination.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Matrix {
    /// Sorted, each pair of ends together.
    pub connections: Vec<Connection>,
    /// What the pods of one workload may do among themselves, where it has several.
    pub within: Vec<Within>,
    /// Workloads that nobody enforces the rules of: what they may do is what others let them.
    pub unenforced: Vec<Unenforced>,
    /// Ends of which nothing is told, whether it is allowed or not.
    pub not_computed: BTreeSet<Arc<str>>,
    /// Addresses that endpoints have: ranges of the outside run across them.
    pub(super) taken: BTreeSet<IpAddr>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Connection {
    pub src: End,
    pub dst: End,
    pub extent: Extent,
    pub allowed: Arc<Traffic>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Within {
    pub workload: Arc<str>,
    pub extent: Extent,
    pub allowed: Arc<Traffic>,
}

/// Some or all pods are on no node.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Unenforced {
    pub workload: Arc<str>,
    pub pods: Pods,
}

impl Unenforced {
    pub const BECAUSE: &str = "no node: its own rules are not enforced";
}

/// Why an end is among [`Matrix::not_computed`].
pub const NOT_COMPUTED: &str = "what a host lets in, out and through is not computed";

#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum End {
    Workload(Arc<str>),
    Outside(Range),
    /// Addresses outside that were looked up under a name that the pattern means.
    Name(Arc<str>),
    /// A way in from outside that is not an address: an Ingress, an HTTPRoute, a published Service.
    Entry(Arc<str>),
}

/// A workload's name, `first-last` or one address, a pattern, or the way in.
impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            End::Outside(range) => range.fmt(f),
            End::Workload(name) | End::Name(name) | End::Entry(name) => f.write_str(name),
        }
    }
}

/// Of which of the pairs of addresses, and of which requests, a connection's traffic holds.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Extent {
    pub pods: Pods,
    /// `None`: every IP version that the ends have in common.
    pub is_v4: Option<bool>,
    /// Only for requests that match all of these; what no packet shows, a proxy must enforce.
    pub requests: Option<Arc<[HttpMatch]>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Pods {
    /// Every pod of either end.
    All,
    /// Some pairs of pods, not all.
    Some,
    /// Some of the addresses to which a name may lead, not all.
    SomeAddresses,
}

/// Traffic of the pairs of one IP version, with how many pairs have it.
#[derive(Clone, Debug, Default)]
struct Tally(Vec<(TrafficId, u64)>);

/// Workloads by number.
struct Workloads {
    names: Vec<Arc<str>>,
    of_slot: HashMap<u32, usize>,
    /// Slots of each, IPv4 and IPv6.
    slots: Vec<[RoaringBitmap; 2]>,
}

impl Reach {
    /// All connections, workload by workload. `focus`: only those with an end that it names.
    pub fn matrix(
        &mut self,
        name_of: impl Fn(&EndpointId) -> String,
        focus: Option<&BTreeSet<String>>,
    ) -> Matrix {
        let workloads = Workloads::of(self, &name_of);
        let is_wanted = |name: &Arc<str>| focus.is_none_or(|focus| focus.contains(name.as_ref()));
        let mut matrix = Matrix::default();
        for dst in 0..workloads.names.len() {
            self.columns_of(dst, &workloads, &is_wanted, &mut matrix);
        }
        matrix.not_computed = self.hosts().map(|host| name_of(host).into()).collect();
        let mut outside = Outside::of(self);
        for (name, slots) in workloads.names.iter().zip(&workloads.slots) {
            if !is_wanted(name) {
                continue;
            }
            matrix.unenforced.extend(self.unenforced(name, slots));
            for direction in Direction::BOTH {
                for own in slots.iter().filter(|own| !own.is_empty()) {
                    self.outside_of(name, own, direction, &mut outside, &mut matrix);
                }
            }
        }
        matrix.taken = outside.taken;
        matrix.connections.sort_unstable();
        matrix.within.sort_unstable();
        matrix
    }

    /// Everything that reaches one workload from workloads.
    fn columns_of(
        &mut self,
        dst: usize,
        workloads: &Workloads,
        is_wanted: &impl Fn(&Arc<str>) -> bool,
        matrix: &mut Matrix,
    ) {
        let (Some(name), Some(slots)) = (workloads.names.get(dst), workloads.slots.get(dst)) else {
            return;
        };
        let mut tallies: BTreeMap<usize, [Tally; 2]> = BTreeMap::new();
        for (own, family) in slots.iter().zip([0, 1]) {
            for (key, members) in self.by_key(own) {
                for (traffic, sources) in self.side(&key, Direction::Ingress, None) {
                    for source in sources {
                        let Some(&src) = workloads.of_slot.get(&source) else { continue };
                        let n_pairs = match src == dst {
                            false => members.len(),
                            true => self.others(source, &members),
                        };
                        if let Some(tally) = tallies.entry(src).or_default().get_mut(family) {
                            tally.add(traffic, n_pairs);
                        }
                    }
                }
            }
        }
        for (src, tallies) in tallies {
            let (Some(from), Some(of_src)) = (workloads.names.get(src), workloads.slots.get(src))
            else {
                continue;
            };
            if !is_wanted(name) && !is_wanted(from) {
                continue;
            }
            let mut n_pairs = [0, 1].map(|family| {
                let n =
                    |slots: &[RoaringBitmap; 2]| slots.get(family).map_or(0, RoaringBitmap::len);
                n(of_src) * n(slots)
            });
            if src == dst {
                n_pairs = [0, 1].map(|family| {
                    let own = slots.get(family).into_iter();
                    own.flat_map(|own| own.iter().map(|slot| self.others(slot, own))).sum()
                });
            }
            for (extent, allowed) in summed(&mut self.answers.pool, &tallies, n_pairs) {
                if src == dst {
                    let workload = Arc::clone(name);
                    matrix.within.push(Within { workload, extent, allowed });
                } else {
                    let src = End::Workload(Arc::clone(from));
                    let dst = End::Workload(Arc::clone(name));
                    matrix.connections.push(Connection { src, dst, extent, allowed });
                }
            }
        }
    }

    fn unenforced(&self, name: &Arc<str>, [v4, v6]: &[RoaringBitmap; 2]) -> Option<Unenforced> {
        let all = v4 | v6;
        let pods = match (&all & &self.slots.unguarded).len() {
            0 => return None,
            n if n == all.len() => Pods::All,
            _ => Pods::Some,
        };
        Some(Unenforced { workload: Arc::clone(name), pods })
    }

    /// How many of the slots belong to other endpoints than the slot's.
    fn others(&self, slot: u32, among: &RoaringBitmap) -> u64 {
        let Some(Place::Endpoint(endpoint, _)) = self.slot(slot).map(|slot| &slot.place) else {
            return 0;
        };
        let own = self.slots_of(endpoint).iter().filter(|own| among.contains(**own)).count();
        among.len().saturating_sub(u64::try_from(own).unwrap_or(u64::MAX))
    }

    pub(super) fn by_key(&self, slots: &RoaringBitmap) -> Vec<(Key, RoaringBitmap)> {
        let mut by_key: Vec<(Key, RoaringBitmap)> = Vec::new();
        let mut known: HashMap<Key, usize> = HashMap::new();
        for slot in slots {
            let Some(key) = self.key(slot) else { continue };
            let position = *known.entry(key.clone()).or_insert_with(|| {
                by_key.push((key, RoaringBitmap::new()));
                by_key.len() - 1
            });
            if let Some((_, members)) = by_key.get_mut(position) {
                members.insert(slot);
            }
        }
        by_key
    }
}

impl Workloads {
    fn of(reach: &Reach, name_of: impl Fn(&EndpointId) -> String) -> Self {
        let mut by_name: BTreeMap<String, Vec<&EndpointId>> = BTreeMap::new();
        for endpoint in reach.slots.endpoints() {
            by_name.entry(name_of(endpoint)).or_default().push(endpoint);
        }
        let mut workloads = Self { names: Vec::new(), of_slot: HashMap::new(), slots: Vec::new() };
        for (name, endpoints) in by_name {
            let number = workloads.names.len();
            let ids = endpoints.into_iter().flat_map(|endpoint| reach.slots_of(endpoint));
            let ids: RoaringBitmap = ids.copied().collect();
            workloads.of_slot.extend(ids.iter().map(|slot| (slot, number)));
            workloads.slots.push([true, false].map(|is_v4| &ids & reach.slots.family(is_v4)));
            workloads.names.push(name.into());
        }
        workloads
    }
}

impl Tally {
    fn add(&mut self, traffic: TrafficId, n_pairs: u64) {
        match self.0.iter_mut().find(|(known, _)| *known == traffic) {
            Some((_, n)) => *n += n_pairs,
            None => self.0.push((traffic, n_pairs)),
        }
    }

    /// What all pairs have, and what at least one has.
    fn bounds(&self, pool: &mut TrafficPool, n_pairs: u64) -> (TrafficId, TrafficId) {
        let told: Vec<TrafficId> = self.0.iter().filter(|(_, n)| *n > 0).map(|(t, _)| *t).collect();
        let any = told.iter().fold(TrafficId::NOTHING, |any, traffic| pool.join(any, *traffic));
        let n_told: u64 = self.0.iter().map(|(_, n)| n).sum();
        if n_told < n_pairs {
            return (TrafficId::NOTHING, any);
        }
        let all = told.iter().fold(TrafficId::EVERYTHING, |all, traffic| pool.meet(all, *traffic));
        (all, any)
    }
}

/// What the pairs of two workloads have, the most common first; each piece of traffic once.
fn summed(
    pool: &mut TrafficPool,
    tallies: &[Tally; 2],
    n_pairs: [u64; 2],
) -> Vec<(Extent, Arc<Traffic>)> {
    let everywhere = Extent { pods: Pods::All, is_v4: None, requests: None };
    let [v4, v6] = tallies;
    let [n_v4, n_v6] = n_pairs;
    let mut bounds = |tally: &Tally, n| (n > 0).then(|| tally.bounds(pool, n));
    let (v4, v6) = (bounds(v4, n_v4), bounds(v6, n_v6));
    if let (Some((all, any)), Some(other)) = (v4, v6)
        && all == any
        && other == (all, any)
    {
        let is_told = all != TrafficId::NOTHING;
        return is_told.then(|| (everywhere, pool.get(all))).into_iter().collect();
    }
    let get = |bounds: Option<(TrafficId, TrafficId)>, is_v4: bool| {
        bounds.map(|(all, any)| [all, any].map(|id| pool.get(id).of_family(is_v4)))
    };
    let (v4, v6) = (get(v4, true), get(v6, false));
    let mut found: Vec<(Extent, Traffic)> = Vec::new();
    let mut told = [Traffic::nothing(), Traffic::nothing()];
    for (pods, level) in [(Pods::All, 0), (Pods::Some, 1)] {
        let at =
            |levels: &Option<[Traffic; 2]>| levels.as_ref().and_then(|l| l.get(level)).cloned();
        let (of_v4, of_v6) = (at(&v4), at(&v6));
        let common = match (&of_v4, &of_v6) {
            (Some(a), Some(b)) => in_common(a, b),
            (Some(one), None) | (None, Some(one)) => one.clone(),
            (None, None) => Traffic::nothing(),
        };
        let parts = [
            (None, Some(common)),
            (Some(true), of_v4.filter(|_| v6.is_some())),
            (Some(false), of_v6.filter(|_| v4.is_some())),
        ];
        for (is_v4, part) in parts {
            let Some(part) = part else { continue };
            let [told_v4, told_v6] = &mut told;
            let known = match is_v4 {
                None => told_v4.and(told_v6),
                Some(true) => told_v4.clone(),
                Some(false) => told_v6.clone(),
            };
            let part = part.but_not(&known);
            if part.is_empty() {
                continue;
            }
            if is_v4 != Some(false) {
                *told_v4 = told_v4.or(&part);
            }
            if is_v4 != Some(true) {
                *told_v6 = told_v6.or(&part);
            }
            found.push((Extent { pods, is_v4, requests: None }, part));
        }
    }
    found.into_iter().map(|(extent, traffic)| (extent, Arc::new(traffic))).collect()
}

/// What both IP versions allow; each speaks for its own ICMP.
pub(super) fn in_common(v4: &Traffic, v6: &Traffic) -> Traffic {
    let everything = Traffic::everything();
    let icmp_v4 = everything.but_not(&everything.of_family(false));
    let icmp_v6 = everything.but_not(&everything.of_family(true));
    v4.or(&icmp_v6).and(&v6.or(&icmp_v4))
}
