//! `bulkhead eval`, as a user runs it, says of random packets in random worlds what the slow reading
//! of the rules says: the verdict, the tier, policy and rule, and who has logged, at both ends.
//!
//! Objects go in as manifests and packets as lines of flows, so that loading, addressing, compiling
//! and answering are all on the way. `BULKHEAD_AGREE_CASES` is the number of packets,
//! `BULKHEAD_LAW_SEED` draws other worlds. A failure prints the smallest world that still fails.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "tests fail by panic"
)]

use std::cell::Cell;
use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;

use bulkhead_api::{Object, addressing};
use bulkhead_policy::World as Oracle;
use bulkhead_testbed::Shape;
use bulkhead_testbed::worlds::{List, Packets, Worlds};
use bulkhead_types::{Decision, Direction, NO_NAMES, Packet, Protocol, RuleRef, Verdict};
use proptest::strategy::Strategy;
use proptest::test_runner::{Config, RngSeed, TestCaseError, TestRunner};
use serde_json::{Value, json};

const PACKETS_PER_WORLD: u64 = 1_000;

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().unwrap())
}

/// What `eval` refuses to judge is no pair: protocol 0, a port 0, and ICMP of the other IP version.
fn can_be_asked(packet: &Packet) -> bool {
    let v4 = packet.src.is_ipv4();
    match packet.protocol {
        Protocol::ICMP => v4,
        Protocol::ICMPV6 => !v4,
        Protocol(0) => false,
        protocol => !protocol.has_ports() || packet.dst_port > 0,
    }
}

fn line(id: usize, packet: &Packet) -> Value {
    let mut line = json!({
        "id": id, "src": packet.src.to_string(), "dst": packet.dst.to_string(),
        "protocol": packet.protocol.0,
    });
    if packet.protocol.has_ports() {
        line["port"] = json!(packet.dst_port);
        line["srcPort"] = json!(packet.src_port);
    }
    if packet.protocol.is_icmp() {
        line["icmpType"] = json!(packet.icmp_type);
        line["icmpCode"] = json!(packet.icmp_code);
    }
    line
}

fn log_rule(rule: &RuleRef) -> Value {
    match rule {
        RuleRef::Rule { tier, policy, index, .. } => {
            json!({"tier": tier, "policy": policy.to_string(), "rule": index})
        }
        RuleRef::Profile { name } => json!({"profile": name}),
        other => panic!("{other:?} logs nothing"),
    }
}

fn side(verdict: &Verdict) -> Value {
    let logged: Vec<Value> = verdict.logged.iter().map(log_rule).collect();
    let (tier, policy, rule) = match &verdict.rule {
        RuleRef::Rule { tier, policy, index, .. } => {
            (json!(tier), json!(policy.to_string()), json!(index))
        }
        RuleRef::TierDefault { tier } => (json!(tier), Value::Null, Value::Null),
        _ => (Value::Null, Value::Null, Value::Null),
    };
    let verdict = if verdict.decision == Decision::Allow { "allow" } else { "deny" };
    let mut side = json!({"verdict": verdict, "tier": tier, "policy": policy, "rule": rule});
    if !logged.is_empty() {
        side["logged"] = json!(logged);
    }
    side
}

/// What `eval` is to answer, by the slow reading.
fn expected(world: &Oracle, id: usize, packet: &Packet) -> Value {
    let owner = |address| world.endpoint_at(address).map(|endpoint| endpoint.id.clone());
    let (src, dst) = (owner(packet.src), owner(packet.dst));
    if src.is_some() && src == dst {
        return json!({"id": id, "verdict": "allow", "egress": null, "ingress": null});
    }
    let way = world.way([None, None], packet, &NO_NAMES);
    let word = |end| way.said(end).map_or(Value::Null, |verdict| side(&verdict));
    let (egress, ingress) = (word(Direction::Egress), word(Direction::Ingress));
    let verdict = if way.is_allowed() { "allow" } else { "deny" };
    json!({"id": id, "verdict": verdict, "egress": egress, "ingress": ingress})
}

/// Gives the number of packets, or what disagreed.
fn compare(folder: &Path, objects: &[Object], packets: &[Packet]) -> Result<u64, String> {
    let mut manifests = String::new();
    for object in objects {
        let _ = writeln!(manifests, "---\n{}", object.to_value().unwrap());
    }
    let mut flows = String::new();
    for (id, packet) in packets.iter().enumerate() {
        let _ = writeln!(flows, "{}", line(id, packet));
    }
    let [world_file, flows_file] = ["world.yaml", "flows.jsonl"].map(|name| folder.join(name));
    std::fs::write(&world_file, manifests).unwrap();
    std::fs::write(&flows_file, flows).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_bulkhead"))
        .args(["eval", "-f"])
        .arg(&world_file)
        .arg("--flows")
        .arg(&flows_file)
        .output()
        .unwrap();
    if !output.status.success() {
        return Err(format!("eval fails: {}", String::from_utf8_lossy(&output.stderr)));
    }
    let mut objects = objects.to_vec();
    addressing::assign(&mut objects);
    let oracle = Oracle::from_objects(&objects);
    let answers = String::from_utf8(output.stdout).unwrap();
    let answers: Vec<&str> = answers.lines().collect();
    if answers.len() != packets.len() {
        return Err(format!("{} answers to {} packets", answers.len(), packets.len()));
    }
    for (id, (packet, answer)) in packets.iter().zip(answers).enumerate() {
        let expected = expected(&oracle, id, packet);
        let found: Value = serde_json::from_str(answer).unwrap();
        if found != expected {
            return Err(format!("{packet:?}\n  decide: {expected}\n  eval:   {found}"));
        }
    }
    Ok(packets.len() as u64)
}

#[test]
fn eval_agrees_with_decide() {
    let wanted = number("BULKHEAD_AGREE_CASES", 5_000);
    let mut runner = TestRunner::new(Config {
        rng_seed: RngSeed::Fixed(number("BULKHEAD_LAW_SEED", 1)),
        failure_persistence: None,
        max_shrink_iters: 5_000,
        ..Config::default()
    });
    // What `eval` would refuse as a manifest is another test's business.
    let sound = Shape { broken: false, ..Shape::default() };
    let shapes = vec![sound, Shape { policies: 12, rules: 6, ..sound }];
    let folder = tempfile::tempdir().unwrap();
    let n_cases = Cell::new(0);
    while n_cases.get() < wanted {
        let left = (wanted - n_cases.get()).min(PACKETS_PER_WORLD) as usize;
        // More than are needed, because some cannot be asked.
        let strategy = (Worlds(shapes.clone()), Packets(left + left / 4 + 50));
        let tree = strategy.new_tree(&mut runner).unwrap();
        let law = |(world, packets): (List<Object>, List<Packet>)| {
            let packets: Vec<Packet> =
                packets.0.into_iter().filter(can_be_asked).take(left).collect();
            let n = compare(folder.path(), &world.0, &packets).map_err(TestCaseError::fail)?;
            n_cases.set(n_cases.get() + n);
            Ok(())
        };
        runner.run_one(tree, law).unwrap_or_else(|failure| panic!("{failure}"));
    }
    println!("{} cases, 0 disagreements", n_cases.get());
}
