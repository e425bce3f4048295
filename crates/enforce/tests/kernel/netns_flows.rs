//! Flow records of real traffic.

use std::net::UdpSocket;
use std::time::{Duration, Instant};

use bulkhead_types::{Decision, Direction, Protocol};
use bulkhead_wire::{FlowEvent, FlowRecord};
use tokio::sync::mpsc;

use crate::netns_node::{connect, enforce, listen, mk_allow_all, mk_program, talk};
use crate::programs::mk_rule;
use crate::world::{World, inside, wait_for};

/// The first record that fits; what comes before is thrown away.
fn await_record(
    records: &mut mpsc::Receiver<FlowRecord>,
    what: &str,
    fits: impl Fn(&FlowRecord) -> bool,
) -> FlowRecord {
    wait_for(what, || {
        while let Ok(record) = records.try_recv() {
            if fits(&record) {
                return Some(record);
            }
        }
        None
    })
}

#[test]
fn a_connection_is_told_by_both_ends_with_equal_counters() {
    let world = World::new(2);
    let (handle, mut records) = world.start();
    enforce(&handle, mk_allow_all(&world, 1));
    for target in [world.pods[1].v4_port(80), world.pods[1].v6_port(80)] {
        let listener = listen(&world.pods[1].netns, target);
        let client = connect(&world.pods[0].netns, target).unwrap();
        let (server, _) = listener.accept().unwrap();
        for _ in 0..10 {
            talk(&client, &server).unwrap();
        }
        drop((client, server));
        let mut found: Vec<FlowRecord> = Vec::new();
        wait_for("both ends of the connection", || {
            while let Ok(record) = records.try_recv() {
                if record.event == FlowEvent::Ended && record.packet.dst == target.ip() {
                    found.push(record);
                }
            }
            (found.len() == 2).then_some(())
        });
        found.sort_by_key(|record| record.direction);
        let [ingress, egress] = found.as_slice() else { panic!("{found:?}") };
        assert_eq!(ingress.reporter.name, "pod1");
        assert_eq!(egress.reporter.name, "pod0");
        assert_eq!(ingress.packet, egress.packet);
        let counters = |r: &FlowRecord| {
            (r.packets_forward, r.bytes_forward, r.packets_reverse, r.bytes_reverse)
        };
        assert_eq!(counters(ingress), counters(egress));
        // 10 lines of 6 bytes each way, in packets with a header.
        assert!(ingress.packets_forward >= 12 && ingress.bytes_forward > 60 + 12 * 40);
        assert_eq!(ingress.src.as_ref().unwrap().labels["name"], "pod0");
        assert_eq!(egress.dst.as_ref().unwrap().id.name, "pod1");
        assert!(egress.started_ns <= egress.seen_ns);
    }
}

#[test]
fn datagrams_are_counted_exactly() {
    let world = World::new(2);
    let (handle, mut records) = world.start();
    enforce(&handle, mk_allow_all(&world, 1));
    let server =
        inside(&world.pods[1].netns, || UdpSocket::bind(world.pods[1].v4_port(53)).unwrap());
    let client =
        inside(&world.pods[0].netns, || UdpSocket::bind(world.pods[0].v4_port(4_000)).unwrap());
    client.connect(world.pods[1].v4_port(53)).unwrap();
    for _ in 0..20 {
        client.send(&[1; 100]).unwrap();
        let (n, from) = server.recv_from(&mut [0; 200]).unwrap();
        assert_eq!(n, 100);
        server.send_to(&[2; 30], from).unwrap();
        client.recv(&mut [0; 200]).unwrap();
    }
    let update = await_record(&mut records, "the whole exchange", |record| {
        record.event == FlowEvent::Update && record.packets_reverse == 20
    });
    assert_eq!((update.packets_forward, update.bytes_forward), (20, 20 * 128));
    assert_eq!(update.bytes_reverse, 20 * 58);
}

#[test]
fn a_denied_packet_is_told_with_its_rule_and_repeats_are_counted() {
    let world = World::new(2);
    let (handle, mut records) = world.start();
    enforce(&handle, mk_program(&world, 1, |maker| (maker.allow_ports(&[80]), maker.allow())));
    let client =
        inside(&world.pods[0].netns, || UdpSocket::bind(world.pods[0].v6_port(4_000)).unwrap());
    let began = Instant::now();
    client.send_to(b"no", world.pods[1].v6_port(81)).unwrap();
    let denied =
        await_record(&mut records, "the denial", |record| record.event == FlowEvent::Denied);
    assert!(began.elapsed() < Duration::from_secs(2));
    assert_eq!(denied.verdict.decision, Decision::Deny);
    assert_eq!(denied.verdict.rule, mk_rule("deny"));
    assert_eq!((denied.direction, denied.packet.protocol), (Direction::Ingress, Protocol::UDP));
    for _ in 0..9 {
        client.send_to(b"no", world.pods[1].v6_port(81)).unwrap();
    }
    await_record(&mut records, "the repeats", |record| {
        record.event == FlowEvent::Update && record.packets_forward == 10
    });
}
