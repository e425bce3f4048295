//! Any objects give a world, and both engines read it alike; when all are gone, nothing is held.
//!
//! Input: JSON, an object of a kind that Bulkhead knows or a list of such. What is no object is
//! passed over, as a server does that refuses it.

use std::net::IpAddr;

use bulkhead_api::Object;
use bulkhead_policy::{Engine, Event, World};
use bulkhead_types::{Direction, Packet, Protocol};
use serde_json::Value;

/// More says nothing new and takes long.
const OBJECTS_MAX: usize = 60;

pub fn run(data: &[u8]) {
    let Ok(value) = serde_json::from_slice::<Value>(data) else { return };
    let values = match value {
        Value::Array(values) => values,
        value => vec![value],
    };
    let objects: Vec<Object> = values
        .into_iter()
        .filter_map(|value| Object::from_value(value).ok())
        .take(OBJECTS_MAX)
        .collect();
    let world = World::from_objects(&objects);
    for diagnostic in world.diagnostics() {
        assert!(!diagnostic.to_string().is_empty() && !diagnostic.field.is_empty());
    }
    let mut engine = Engine::new();
    objects.iter().for_each(|object| engine.apply(Event::Upsert(object.clone())));
    engine.take_changes();
    compare(&world, &mut engine);
    for object in &objects {
        engine.apply(Event::Delete(object.key()));
    }
    engine.take_changes();
    assert!(engine.is_idle(), "something is still held");
    assert_eq!(engine.nodes().count(), 0, "a node is left over");
}

fn compare(world: &World, engine: &mut Engine) {
    let addresses: Vec<IpAddr> =
        world.endpoints().flat_map(|e| e.addresses.iter().copied()).take(8).collect();
    for endpoint in world.endpoints() {
        let Some(node) = &endpoint.node else { continue };
        if endpoint.addresses.is_empty() {
            continue;
        }
        let Some(program) = engine.program(node) else { panic!("there is no program for {node}") };
        for &own in endpoint.addresses.iter().take(2) {
            for &other in addresses.iter().filter(|other| other.is_ipv4() == own.is_ipv4()) {
                for packet in packets(own, other) {
                    for direction in Direction::BOTH {
                        let truth = world.decide(&endpoint.id, direction, &packet);
                        let compiled = program.decide(&endpoint.id, direction, &packet);
                        assert_eq!(truth, compiled, "{} {direction} {packet:?}", endpoint.id);
                    }
                }
            }
        }
    }
}

fn packets(a: IpAddr, b: IpAddr) -> Vec<Packet> {
    let mut packets = Vec::new();
    for (src, dst) in [(a, b), (b, a)] {
        for (protocol, dst_port, icmp_type) in [
            (Protocol::TCP, 80, 0),
            (Protocol::UDP, 53, 0),
            (Protocol::ICMP, 0, 8),
            (Protocol(47), 0, 0),
        ] {
            let src_port = if protocol.has_ports() { 40_000 } else { 0 };
            packets.push(Packet {
                src,
                dst,
                protocol,
                src_port,
                dst_port,
                icmp_type,
                icmp_code: 0,
            });
        }
    }
    packets
}
