//! What a workload is open to beyond the workloads that exist.
//!
//! Tomorrow's pods are asked about like today's: pods that nobody has declared are put into an
//! engine of their own world, one for what every selector of a rule asks of its peers, and one that
//! no selector asks for. What the workload's own programs say about them is its exposure; what the
//! other end would say is not known yet.
//!
//! Invariant: answers come from the compiled engine. That an imagined pod is what it was made for is
//! the engine's word too.

mod imagine;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use bulkhead_api::Object;
use bulkhead_types::{Direction, EndpointId, Selector};

pub use imagine::Imagined;

use super::matrix::in_common;
use super::pool::TrafficId;
use super::traffic::Traffic;
use super::{Reach, outside};
use crate::engine::Engine;
use crate::rule::Side;

/// More imagined pods than this are not asked about.
pub const IMAGINED_MAX: usize = 1024;

/// What one workload is open to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exposure {
    pub workload: Arc<str>,
    pub direction: Direction,
    /// Whether any policy has a say; if not, everything is open.
    pub is_protected: bool,
    /// Peers whom the workload treats alike, the widest first. A narrower peer is listed where it
    /// may do something else than every wider one that it is part of.
    pub peers: Vec<(Peer, Traffic)>,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Peer {
    /// Any pod of the cluster that no narrower peer stands for.
    Cluster,
    /// Any pod like this one.
    Pods(Imagined),
    /// Every address outside, of one IP version where the workload has both and treats them unlike.
    Outside { is_v4: Option<bool> },
}

/// The selectors that rules ask of their peers.
pub fn peer_selectors(engine: &Engine) -> BTreeSet<Selector> {
    let mut selectors = engine.peer_selectors();
    for policy in engine.policies_held() {
        for direction in Direction::BOTH {
            for rule in policy.rules(direction).into_iter().flat_map(|rules| rules.iter()) {
                let (_, remote) = rule.local_and_remote(direction);
                let Side { selector, not_selector, .. } = remote;
                selectors.extend(selector.iter().chain(not_selector).cloned());
            }
        }
    }
    selectors
}

/// Imagined pods with the objects that make them, at addresses that no rule names if there are any.
#[derive(Debug, Default)]
pub struct Sandbox {
    pub objects: Vec<Object>,
    /// The imagined pods in order; the first asks for nothing.
    pub pods: Vec<(EndpointId, Imagined)>,
    /// Whether some were left out.
    pub is_cut_short: bool,
}

impl Sandbox {
    /// `reach` and `engine` are those of the world without it.
    pub fn of(reach: &Reach, engine: &Engine) -> Self {
        let mut imagined: BTreeSet<Imagined> = BTreeSet::from([Imagined::default()]);
        for selector in peer_selectors(engine) {
            imagined.extend(imagine::pods(&selector));
        }
        let mut sandbox = Self { is_cut_short: imagined.len() > IMAGINED_MAX, ..Self::default() };
        let n = imagined.len().min(IMAGINED_MAX);
        let (mut v4, mut v6) =
            (reach.quiet(true, n).into_iter(), reach.quiet(false, n).into_iter());
        for (number, pod) in imagined.into_iter().take(IMAGINED_MAX).enumerate() {
            let addresses: Vec<IpAddr> = v4.next().into_iter().chain(v6.next()).collect();
            let (id, objects) = pod.objects(number, &addresses);
            sandbox.objects.extend(objects);
            sandbox.pods.push((id, pod));
        }
        sandbox
    }
}

impl Reach {
    /// Addresses outside that the fewest prefixes say anything about.
    fn quiet(&self, is_v4: bool, n: usize) -> Vec<IpAddr> {
        let taken = self.taken();
        let mut segments = self.segments();
        segments.retain(|segment| segment.range.is_v4() == is_v4);
        let asked = |slot: u32| self.slot(slot).map_or(usize::MAX, |slot| slot.class.len());
        segments.sort_by_key(|segment| asked(segment.slot));
        let mut found = Vec::new();
        for segment in segments {
            // Not from the bottom: the first addresses of many a range are special.
            let mut next = Some(segment.range.last).and_then(outside::before);
            while let Some(address) = next.filter(|a| found.len() < n && segment.range.contains(*a))
            {
                if !taken.contains(&address) {
                    found.push(address);
                }
                next = outside::before(address);
            }
        }
        found
    }

    /// Asked of the reach of the world with the sandbox in it. `members` are those without.
    pub fn exposure(
        &mut self,
        engine: &Engine,
        members: &BTreeMap<Arc<str>, Vec<EndpointId>>,
        sandbox: &Sandbox,
    ) -> Vec<Exposure> {
        let mut exposures = Vec::new();
        for (workload, endpoints) in members {
            for direction in Direction::BOTH {
                let slots = endpoints.iter().flat_map(|endpoint| self.slots_of(endpoint));
                let slots: Vec<u32> = slots.copied().collect();
                if slots.is_empty() {
                    continue;
                }
                let is_protected = slots.iter().any(|slot| {
                    let program = self.slot(*slot).and_then(|slot| slot.program(direction));
                    let program = program.and_then(|program| engine.program_of(program));
                    program.is_some_and(|program| !program.tiers.is_empty())
                });
                let peers = self.peers(&slots, direction, sandbox);
                let workload = Arc::clone(workload);
                exposures.push(Exposure { workload, direction, is_protected, peers });
            }
        }
        exposures
    }

    fn peers(
        &mut self,
        slots: &[u32],
        direction: Direction,
        sandbox: &Sandbox,
    ) -> Vec<(Peer, Traffic)> {
        let mut told: Vec<(&Imagined, Traffic)> = Vec::new();
        for (id, pod) in &sandbox.pods {
            let remotes: Vec<u32> = self.slots_of(id).to_vec();
            let traffic = self.own_word(slots, direction, &remotes);
            told.push((pod, traffic));
        }
        let mut peers = Vec::new();
        for (pod, traffic) in &told {
            let wider = told.iter().filter(|(wider, _)| wider.is_wider_than(pod));
            // Of the wider ones only those count that have nothing in between.
            let nearest = wider
                .clone()
                .filter(|(one, _)| !wider.clone().any(|(other, _)| one.is_wider_than(other)));
            let mut nearest = nearest.map(|(_, traffic)| traffic).peekable();
            let is_news = match nearest.peek() {
                None => !traffic.is_empty(),
                Some(_) => nearest.any(|wider| wider != traffic),
            };
            if is_news {
                let peer = match pod.is_anybody() {
                    true => Peer::Cluster,
                    false => Peer::Pods((*pod).clone()),
                };
                peers.push((peer, traffic.clone()));
            }
        }
        let outside: Vec<u32> = self.slots.outside.iter().collect();
        for (is_v4, everywhere) in self.word_about_all(slots, direction, &outside) {
            if !everywhere.is_empty() {
                peers.push((Peer::Outside { is_v4 }, everywhere));
            }
        }
        peers
    }

    /// What some of the slots allow by themselves with some of the remote ones.
    fn own_word(&mut self, slots: &[u32], direction: Direction, remotes: &[u32]) -> Traffic {
        let mut word = TrafficId::NOTHING;
        let mut families = BTreeSet::new();
        for own in slots {
            for remote in remotes {
                if let Some((traffic, is_v4)) = self.says(*own, direction, *remote) {
                    families.insert(is_v4);
                    word = self.answers.pool.join(word, traffic);
                }
            }
        }
        let traffic = self.pool().get(word);
        match families.iter().collect::<Vec<_>>().as_slice() {
            [only] => traffic.of_family(**only),
            _ => Traffic::clone(&traffic),
        }
    }

    /// What each of the slots allows by itself with every remote one of its IP version.
    fn word_about_all(
        &mut self,
        slots: &[u32],
        direction: Direction,
        remotes: &[u32],
    ) -> Vec<(Option<bool>, Traffic)> {
        let mut by_family = [None, None];
        for (whole, is_v4) in by_family.iter_mut().zip([true, false]) {
            let mut word = None;
            for own in slots {
                for remote in remotes {
                    let said = self.says(*own, direction, *remote);
                    let Some((traffic, _)) = said.filter(|(_, family)| *family == is_v4) else {
                        continue;
                    };
                    let known = word.unwrap_or(TrafficId::EVERYTHING);
                    word = Some(self.answers.pool.meet(known, traffic));
                }
            }
            *whole = word.map(|word| self.pool().get(word).of_family(is_v4));
        }
        match by_family {
            [Some(v4), Some(v6)] => {
                let common = in_common(&v4, &v6);
                let (v4, v6) = (v4.but_not(&common), v6.but_not(&common));
                vec![(None, common), (Some(true), v4), (Some(false), v6)]
            }
            [one, other] => vec![(None, one.or(other).unwrap_or_default())],
        }
    }

    fn says(&self, own: u32, direction: Direction, remote: u32) -> Option<(TrafficId, bool)> {
        let (own, remote) = (self.slot(own)?, self.slot(remote)?);
        if own.is_v4() != remote.is_v4() {
            return None;
        }
        let word = match own.program(direction) {
            Some(program) => self.answers.traffic(program, &remote.class, &self.slots),
            None => TrafficId::EVERYTHING,
        };
        Some((word, own.is_v4()))
    }
}
