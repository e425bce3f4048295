//! Reach says what both programs say, and of a change what changed.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use bulkhead_api::Object;
use bulkhead_policy::reach::{self, Place, Reach, Traffic, TrafficId};
use bulkhead_policy::{Engine, Event, World as Oracle};
use bulkhead_testbed::worlds::{Change, Lives, Packets, Worlds};
use bulkhead_types::{Decision, Direction, Packet, Protocol};

use crate::programs_of::event;
use crate::{hold, shapes};

fn engine_of(objects: &[Object]) -> Engine {
    let mut engine = Engine::new();
    for object in objects {
        engine.apply(Event::Upsert(object.clone()));
    }
    engine.take_changes();
    engine
}

fn address(place: &Place, within: IpAddr) -> Option<IpAddr> {
    match place {
        Place::Endpoint(_, address) => Some(*address),
        Place::Outside(prefix) => prefix.contains(&within).then_some(within),
    }
}

/// Pairs and packets that were asked about.
#[derive(Clone, Copy, Default)]
struct Asked {
    allowed: u64,
    denied: u64,
    /// With an endpoint that is on no node; these the slow reading of the rules was asked about too.
    allowed_unenforced: u64,
    denied_unenforced: u64,
}

/// Asks both engines about the packet between any two slots.
fn compare(objects: &[Object], packets: &[Packet], asked: &mut Asked) -> Result<(), String> {
    let oracle = Oracle::from_objects(objects);
    let mut engine = engine_of(objects);
    let mut reach = Reach::of(&engine);
    let nodes: Vec<String> = engine.nodes().map(str::to_owned).collect();
    let mut programs = BTreeMap::new();
    for node in nodes {
        let program = engine.program(&node).expect("a known node");
        for id in program.endpoints.keys() {
            programs.insert(id.clone(), Arc::clone(&program));
        }
    }
    let slots: Vec<(u32, Place)> = reach.slots().map(|(id, s)| (id, s.place.clone())).collect();
    let outside = |reach: &Reach, address| reach.slot_outside(address);
    for packet in
        packets.iter().filter(|p| !p.protocol.has_ports() || p.dst_port * p.src_port.min(1) > 0)
    {
        for (src, src_place) in &slots {
            for (dst, dst_place) in &slots {
                let (Some(from), Some(to)) =
                    (address(src_place, packet.src), address(dst_place, packet.dst))
                else {
                    continue;
                };
                let is_out = |place: &Place| matches!(place, Place::Outside(_));
                if from.is_ipv4() != to.is_ipv4() || (is_out(src_place) && is_out(dst_place)) {
                    continue;
                }
                // The outside is what the longest prefix says, and no endpoint's address.
                let taken = reach.taken();
                let is_elsewhere = |place: &Place, slot: u32, at: IpAddr| {
                    is_out(place) && (taken.contains(&at) || outside(&reach, at) != Some(slot))
                };
                if is_elsewhere(src_place, *src, from) || is_elsewhere(dst_place, *dst, to) {
                    continue;
                }
                let packet = Packet { src: from, dst: to, ..*packet };
                let is_unenforced = |place: &Place| match place {
                    Place::Outside(_) => false,
                    Place::Endpoint(id, _) => {
                        let endpoint = oracle.endpoint(id).expect("it is an object");
                        assert_eq!(endpoint.node.is_none(), !programs.contains_key(id), "{id}");
                        endpoint.node.is_none()
                    }
                };
                let says = |place: &Place, direction| match place {
                    Place::Outside(_) => true,
                    place if is_unenforced(place) => true,
                    Place::Endpoint(id, _) => {
                        let verdict = programs[id].decide(id, direction, &packet);
                        verdict.decision == Decision::Allow
                    }
                };
                let truth =
                    says(src_place, Direction::Egress) && says(dst_place, Direction::Ingress);
                let is_unenforced = [src_place, dst_place].map(is_unenforced);
                if is_unenforced.contains(&true) {
                    let ends = [(src_place, Direction::Egress), (dst_place, Direction::Ingress)];
                    let slow = ends.iter().zip(is_unenforced).all(|((place, direction), free)| {
                        let Place::Endpoint(id, _) = place else { return true };
                        let decide = || oracle.decide(id, *direction, &packet).decision;
                        free || decide() == Decision::Allow
                    });
                    if slow != truth {
                        return Err(format!("{src_place:?} to {dst_place:?}: rules say {slow}"));
                    }
                    asked.allowed_unenforced += u64::from(truth);
                    asked.denied_unenforced += u64::from(!truth);
                }
                let traffic = reach.pair(*src, *dst);
                let told = reach.pool().get(traffic).contains(&packet);
                if truth != told {
                    return Err(format!(
                        "{src_place:?} to {dst_place:?} {packet:?}: programs say {truth}, reach {told}"
                    ));
                }
                asked.allowed += u64::from(truth);
                asked.denied += u64::from(!truth);
                let in_row =
                    reach.row(*src).iter().find(|(_, part)| part.contains(*dst)).map(|p| p.0);
                let in_column =
                    reach.column(*dst).iter().find(|(_, part)| part.contains(*src)).map(|p| p.0);
                let told = (traffic != TrafficId::NOTHING).then_some(traffic);
                if in_row != told || in_column != told {
                    return Err(format!(
                        "{src_place:?} to {dst_place:?}: pair {told:?}, row {in_row:?}, column {in_column:?}"
                    ));
                }
            }
        }
    }
    Ok(())
}

#[test]
fn reach_agrees_with_both_programs() {
    let asked = Cell::new(Asked::default());
    hold(24, (Worlds(shapes()), Packets(5)), |(objects, packets)| {
        let mut sum = asked.get();
        let held = compare(&objects.0, &packets.0, &mut sum);
        asked.set(sum);
        held
    });
    let Asked { allowed, denied, allowed_unenforced, denied_unenforced } = asked.get();
    assert!(allowed > 1000 && denied > 1000, "{allowed} allowed, {denied} denied");
    let (free, shut) = (allowed_unenforced, denied_unenforced);
    assert!(free > 100 && shut > 100, "without a node: {free} allowed, {shut} denied");
}

/// Every pair's traffic by what stands at its ends. An address outside is asked for one by one.
fn table(reach: &mut Reach, probes: &[IpAddr]) -> BTreeMap<(String, String), Arc<Traffic>> {
    let mut ends: Vec<(String, u32)> = reach
        .slots()
        .filter_map(|(id, slot)| match &slot.place {
            Place::Endpoint(endpoint, address) => Some((format!("{endpoint} {address}"), id)),
            Place::Outside(_) => None,
        })
        .collect();
    let taken = reach.taken();
    for probe in probes.iter().filter(|probe| !taken.contains(probe)) {
        ends.push((format!("{probe}"), reach.slot_outside(*probe).expect("the roots")));
    }
    let mut table = BTreeMap::new();
    for (src, a) in &ends {
        for (dst, b) in &ends {
            let is_outside = |name: &str| !name.contains(' ');
            if is_outside(src) && is_outside(dst) {
                continue;
            }
            let traffic = reach.pair(*a, *b);
            let traffic = reach.pool().get(traffic);
            if !traffic.is_empty() {
                table.insert((src.clone(), dst.clone()), traffic);
            }
        }
    }
    table
}

fn live(changes: &[Change], step: usize, probes: &[IpAddr]) -> Result<(), String> {
    let mut engine = Engine::new();
    engine.watch();
    let mut reach = Reach::of(&engine);
    let mut before = table(&mut reach, probes);
    for (round, batch) in changes.chunks(step).enumerate() {
        let taken_before = reach.taken();
        for change in batch {
            engine.apply(event(change));
        }
        engine.take_changes();
        let watched = engine.take_watched();
        let change = reach.follow(&engine, &watched);
        let after = table(&mut reach, probes);
        let fresh = table(&mut Reach::of(&engine), probes);
        if let Some(pair) = difference(&after, &fresh) {
            return Err(format!("round {round}: {pair:?} followed is not as fresh"));
        }
        // What the change says, pair by pair.
        let mut told: BTreeMap<(String, String), (Arc<Traffic>, Arc<Traffic>)> = BTreeMap::new();
        let taken = reach.taken();
        let names = |slot: u32, reach: &Reach| -> Vec<String> {
            let place = change.gone.get(&slot).or(reach.slot(slot).map(|slot| &slot.place));
            match place {
                Some(Place::Endpoint(endpoint, address)) => vec![format!("{endpoint} {address}")],
                Some(Place::Outside(prefix)) => probes
                    .iter()
                    .filter(|probe| prefix.contains(*probe))
                    .filter(|probe| !taken.contains(*probe) && !taken_before.contains(*probe))
                    .filter(|probe| innermost(&change, reach, **probe) == Some(*prefix))
                    .map(IpAddr::to_string)
                    .collect(),
                None => Vec::new(),
            }
        };
        for altered in &change.altered {
            for src in &altered.src {
                for dst in &altered.dst {
                    for src in names(src, &reach) {
                        for dst in names(dst, &reach) {
                            let get = |id| reach.pool().get(id);
                            let step = (get(altered.before), get(altered.after));
                            if step.0 == step.1 {
                                return Err(format!("round {round}: {src} {dst} told as altered"));
                            }
                            if told.insert((src.clone(), dst), step).is_some() {
                                return Err(format!("round {round}: a pair from {src} told twice"));
                            }
                        }
                    }
                }
            }
        }
        let pairs: BTreeSet<_> = before.keys().chain(after.keys()).collect();
        let nothing = Arc::new(Traffic::nothing());
        for pair in pairs {
            let is_probe = |name: &str| {
                name.parse::<IpAddr>()
                    .is_ok_and(|a| taken.contains(&a) || taken_before.contains(&a))
            };
            if is_probe(&pair.0) || is_probe(&pair.1) {
                continue;
            }
            let was = before.get(pair).unwrap_or(&nothing);
            let is = after.get(pair).unwrap_or(&nothing);
            let truth = (was != is).then(|| (Arc::clone(was), Arc::clone(is)));
            if told.get(pair) != truth.as_ref() {
                let told = told.get(pair).map(|(a, b)| (a.in_short(), b.in_short()));
                let truth = truth.map(|(a, b)| (a.in_short(), b.in_short()));
                return Err(format!(
                    "round {round}: {pair:?}\n  told  {told:?}\n  truth {truth:?}"
                ));
            }
        }
        before = after;
    }
    Ok(())
}

/// The narrowest outside prefix over an address, before or after the change.
fn innermost(change: &reach::Change, reach: &Reach, address: IpAddr) -> Option<ipnet::IpNet> {
    let places = change.gone.values().chain(reach.slots().map(|(_, slot)| &slot.place));
    let prefixes = places.filter_map(|place| match place {
        Place::Outside(prefix) if prefix.contains(&address) => Some(*prefix),
        _ => None,
    });
    prefixes.max_by_key(ipnet::IpNet::prefix_len)
}

fn difference(
    one: &BTreeMap<(String, String), Arc<Traffic>>,
    other: &BTreeMap<(String, String), Arc<Traffic>>,
) -> Option<(String, String)> {
    let mut pairs = one.keys().chain(other.keys());
    pairs.find(|pair| one.get(*pair) != other.get(*pair)).cloned()
}

#[test]
fn a_change_alters_what_it_says_and_nothing_else() {
    let lives = Lives { shapes: shapes(), changes: 16 };
    hold(20, (lives, 1usize..5, Packets(6)), |(changes, batch, packets)| {
        let ends = packets.0.iter().flat_map(|packet| [packet.src, packet.dst]);
        let far = ["203.0.113.200", "2001:db8:ffff::1"].map(|a| a.parse::<IpAddr>().expect("ip"));
        let probes: BTreeSet<IpAddr> = ends.chain(far).collect();
        let probes: Vec<IpAddr> = probes.into_iter().collect();
        live(&changes.0, *batch, &probes)
    });
}

#[test]
fn protocols_are_told_apart() {
    let everything = Traffic::everything();
    let packet = |protocol, dst_port| Packet {
        src: "192.0.2.1".parse().expect("ip"),
        dst: "192.0.2.2".parse().expect("ip"),
        protocol,
        src_port: 40_000,
        dst_port,
        icmp_type: 8,
        icmp_code: 0,
    };
    for protocol in [Protocol::TCP, Protocol::UDP, Protocol::SCTP, Protocol::ICMP, Protocol(47)] {
        assert!(everything.contains(&packet(protocol, 80)));
        assert!(!Traffic::nothing().contains(&packet(protocol, 80)));
    }
    assert!(!everything.contains(&packet(Protocol::TCP, 0)), "port 0 is nobody's");
}
