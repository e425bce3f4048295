//! Three engines, one answer: the slow reading of the rules, the compiled program and the kernel, on
//! random worlds of real objects that come and change one by one.

use std::collections::BTreeMap;
use std::net::IpAddr;

use bulkhead_policy::{Engine, Event, World as Oracle};
use bulkhead_testbed::worlds::{Change, outcome};
use bulkhead_testbed::{Shape, World};
use bulkhead_types::{Decision, Direction, EndpointId, Packet, Revision};
use bulkhead_wire::NodeProgram;

use crate::bench::Bench;
use crate::packets::Frame;

/// `BULKHEAD_CASES=1000000` for a long run.
fn n_cases() -> usize {
    std::env::var("BULKHEAD_CASES").ok().and_then(|n| n.parse().ok()).unwrap_or(10_000)
}

/// What may stand on a wire as it is: the last header of an IPv6 packet is not an extension header,
/// and reports to a group never leave the link.
fn is_plain(packet: &Packet) -> bool {
    let is_extension = matches!(packet.protocol.0, 0 | 43 | 44 | 51 | 60);
    let is_report = packet.protocol.0 == 2 && packet.dst.is_multicast();
    packet.src.is_ipv4() == packet.dst.is_ipv4()
        && !(packet.src.is_ipv6() && is_extension)
        && !is_report
}

/// The endpoint that an address is judged as, on the one interface of the test.
fn owners(program: &NodeProgram) -> BTreeMap<IpAddr, EndpointId> {
    let all = program.endpoints.iter();
    all.flat_map(|(id, endpoint)| endpoint.addresses.keys().map(|a| (*a, id.clone()))).collect()
}

#[test]
fn three_engines_agree() {
    let mut bench = Bench::new();
    let (mut n_cases_done, mut n_allowed, mut revision) = (0, 0, 0u64);
    for seed in 0.. {
        if n_cases_done >= n_cases() {
            break;
        }
        let world = World::shaped(seed, Shape::tidy());
        let mut engine = Engine::after(Revision(revision));
        for object in &world.objects {
            engine.apply(Event::Upsert(object.clone()));
        }
        let mut changes = world.objects.iter().cloned().map(Change::Upsert).collect::<Vec<_>>();
        // The world as made, and after each of a few changes.
        for change in std::iter::once(None).chain(world.changes(6).into_iter().map(Some)) {
            if let Some(change) = change {
                engine.apply(match change.clone() {
                    Change::Upsert(object) => Event::Upsert(object),
                    Change::Delete(key) => Event::Delete(key),
                });
                changes.push(change);
            }
            let oracle = Oracle::from_objects(&outcome(&changes));
            revision = revision.max(engine.take_changes().revision.0);
            let nodes: Vec<String> = engine.nodes().map(str::to_owned).collect();
            for node in nodes {
                let Some(program) = engine.program(&node) else { continue };
                bench.enforce(&program);
                let owners = owners(&program);
                for packet in world.packets(400).iter().filter(|packet| is_plain(packet)) {
                    for direction in Direction::BOTH {
                        let local = match direction {
                            Direction::Ingress => packet.dst,
                            Direction::Egress => packet.src,
                        };
                        let Some(id) = owners.get(&local) else { continue };
                        let slow = oracle.decide(id, direction, packet);
                        let compiled = program.decide(id, direction, packet);
                        let passed = bench.passes(direction, &Frame::new(*packet));
                        let records = bench.records();
                        let context = format!("seed {seed}, {id} {direction}, {packet:?}");
                        assert_eq!(slow, compiled, "{context}");
                        assert_eq!(passed, compiled.decision == Decision::Allow, "{context}");
                        let [record] = records.as_slice() else { panic!("{context} {records:?}") };
                        assert_eq!(*record.verdict, compiled, "{context}");
                        bench.forget_flows();
                        n_cases_done += 1;
                        n_allowed += usize::from(passed);
                    }
                }
            }
        }
    }
    let n_denied = n_cases_done - n_allowed;
    assert!(n_allowed * 10 > n_cases_done && n_denied * 10 > n_cases_done, "{n_allowed} allowed");
}
