//! Where inputs come from: what is right, so that small changes make what is nearly right.

use std::path::Path;

use bulkhead_policy::{Engine, Event};
use bulkhead_testbed::worlds::{Shape, World};
use bulkhead_types::{Direction, EndpointId, Labels, Packet, Protocol, Revision, RuleRef, Verdict};
use bulkhead_wire::{
    Ack, Codec, FlowEvent, FlowRecord, FromNode, Hello, Nack, NodeProgram, NodeStatus, Peer, ToNode,
};
use serde_json::Value;

const WORLDS: u64 = 24;

pub fn of(target: &str) -> Vec<Vec<u8>> {
    match target {
        "selector" => SELECTORS.iter().map(|text| text.as_bytes().to_vec()).collect(),
        "lower" => worlds().map(|world| json(&world).into_bytes()).collect(),
        "yaml" => yaml(),
        "wire" => wire(),
        other => panic!("there are no seeds for `{other}`"),
    }
}

const SELECTORS: [&str; 14] = [
    "",
    "all()",
    "a == 'b' && c != \"d\" || !has(e)",
    "a in {'x', 'y'} || b not in {'z',}",
    "!(a contains 'x' && (b starts with 'y' || c ends with 'z'))",
    "global() && !!all( )",
    "in in {'in'} && not not in {}",
    "has(projectcalico.org/namespace)",
    "a startswith'b'||a endswith\"it's\"",
    "((((((has(a)))))))",
    "a == 'é' && 1/x.y_z-0 == ''",
    "app=='web'&&tier=='front'||env in{'prod'}",
    "a not  in {'b'} && a starts  with 'c'",
    "!a == 'b' && !b != 'c' && !c in {'d'}",
];

fn worlds() -> impl Iterator<Item = World> {
    let shape = Shape { pods: 3, workloads: 1, network_sets: 2, policies: 3, ..Shape::default() };
    (1..=WORLDS).map(move |seed| World::shaped(seed, shape))
}

fn json(world: &World) -> String {
    let values = world.objects.iter().map(|object| object.to_value().expect("objects are JSON"));
    Value::Array(values.collect()).to_string()
}

/// The blocks of the Markdown cases, and the objects of worlds one by one.
fn yaml() -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates/policy/tests/cases");
    let mut paths: Vec<_> = std::fs::read_dir(folder)
        .expect("the cases")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "md"))
        .collect();
    paths.sort();
    let mut seeds = Vec::new();
    for path in paths {
        let text = std::fs::read_to_string(path).expect("a case file");
        let blocks = text.split("```yaml\n").skip(1).take(6);
        seeds.extend(blocks.filter_map(|block| block.split("```").next()).map(|b| b.into()));
    }
    for world in worlds().take(6) {
        let values = world.objects.iter().map(|object| object.to_value().expect("JSON"));
        seeds.extend(values.map(|value| value.to_string().into_bytes()));
    }
    seeds.push(b"a: &a [1, 2]\nb: *a\nc: {<<: *a}\n".to_vec());
    seeds
}

/// The kind's byte, then the message, as the target wants it.
fn wire() -> Vec<Vec<u8>> {
    let kind = |kind: u8, message: Vec<u8>| [vec![kind], message].concat();
    let mut seeds = Vec::new();
    for world in worlds() {
        let mut engine = Engine::new();
        for object in &world.objects {
            engine.apply(Event::Upsert(object.clone()));
        }
        let changes = engine.take_changes();
        for (node, delta) in changes.nodes {
            let program = engine.program(&node).expect("a known node");
            seeds.push(kind(0, program.encode()));
            seeds.push(kind(1, delta.encode()));
            seeds.push(kind(2, ToNode::Program(program.clone()).encode()));
            seeds.push(kind(2, ToNode::Delta(delta).encode()));
            seeds.extend(records(&node, &program).iter().map(|record| kind(4, record.encode())));
        }
    }
    let hello = Hello { version: 1, node: "node-1".to_owned(), ..Hello::default() };
    let status = NodeStatus { waiting: vec![EndpointId::pod("a", "b")], ..NodeStatus::default() };
    for message in [
        FromNode::Hello(hello),
        FromNode::Ack(Ack { revision: Revision(7), at_ns: 1 }),
        FromNode::Nack(Nack { revision: Revision(7), reason: "full".to_owned() }),
        FromNode::Status(status),
        FromNode::WantSnapshot { reason: "gap".to_owned() },
    ] {
        seeds.push(kind(3, message.encode()));
    }
    seeds
}

/// A flow record for each rule that the program knows.
fn records(node: &str, program: &NodeProgram) -> Vec<FlowRecord> {
    let Some(id) = program.endpoints.keys().next() else { return Vec::new() };
    let packet = Packet {
        src: [10, 0, 0, 1].into(),
        dst: [10, 0, 0, 2].into(),
        protocol: Protocol::TCP,
        src_port: 40_000,
        dst_port: 80,
        icmp_type: 0,
        icmp_code: 0,
    };
    let labels = Labels::from([("a".to_owned(), "b".to_owned())]);
    let peer = Peer { id: id.clone().into(), labels: labels.into() };
    let record = |rule: &RuleRef| FlowRecord {
        node: node.into(),
        event: FlowEvent::New,
        reporter: id.clone().into(),
        direction: Direction::Ingress,
        packet,
        src: None,
        dst: Some(peer.clone().into()),
        names: bulkhead_types::Names::new(["a.org"]),
        verdict: Verdict { logged: vec![rule.clone()], ..Verdict::deny(rule.clone()) }.into(),
        revision: Revision(3),
        packets_forward: 1,
        bytes_forward: 60,
        packets_reverse: 0,
        bytes_reverse: 0,
        started_ns: 1,
        seen_ns: 2,
    };
    program.rules.values().take(3).map(|rule| record(rule)).collect()
}
