//! What one verdict costs, by the number of rules on the endpoint. Needs root.
//!
//! ```text
//! cargo run --release -p bulkhead-enforce --example bench_verdict
//! ```
//!
//! The kernel runs the loaded program itself (BPF_PROG_TEST_RUN) on a frame, many times, and says how
//! long it took: header parsing, endpoint, flow table and, for a first packet, class, entry, row and
//! interval. Rounds alternate between the sizes, so that what else the machine does hits all alike;
//! each figure is the median of its rounds.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    reason = "a bench stops at the first failure and prints its result"
)]

#[expect(dead_code, reason = "the bench needs a part of what the tests need")]
#[path = "../tests/kernel/bench.rs"]
mod bench;
#[expect(dead_code, reason = "the bench needs a part of what the tests need")]
#[path = "../tests/kernel/packets.rs"]
mod packets;

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};

use bench::Bench;
use bulkhead_enforce::MapSizes;
use bulkhead_types::{
    Decision, Direction, EndpointId, Labels, Packet, PolicyKind, PolicyRef, Protocol, Revision,
    RuleRef,
};
use bulkhead_wire::id::content_hash;
use bulkhead_wire::row::{Leaf, Outcome, Row, Span, Spans};
use bulkhead_wire::{ClassId, EndpointProgram, Judges, NodeProgram, ProgramId, RowId, RuleId};
use packets::{ACK, Frame, SYN, mk_packet};

const SIZES: [u32; 4] = [1, 10, 1_000, 100_000];
const ROUNDS: usize = 15;
const FRAMES: u32 = 8;
const REPEAT: u32 = 20_000;
/// Rules about one peer group; so 100,000 rules have 1,000 groups.
const RULES_PER_GROUP: u32 = 100;
const LOCAL: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1));

fn main() {
    let mut benches: Vec<(u32, Bench)> = SIZES.map(|n| (n, mk_bench(n))).into();
    let mut worst = mk_worst();
    let mut worst_samples = Vec::new();
    let mut first: BTreeMap<u32, Vec<u64>> = BTreeMap::new();
    let mut known: BTreeMap<u32, Vec<u64>> = BTreeMap::new();
    for _ in 0..ROUNDS {
        for (n_rules, bench) in &mut benches {
            for number in 0..FRAMES {
                let (syn, ack) = mk_frames(*n_rules, number);
                first.entry(*n_rules).or_default().push(cost(bench, &syn));
                assert!(bench.passes_bytes(Direction::Ingress, &ack));
                known.entry(*n_rules).or_default().push(cost(bench, &ack));
                bench.forget_flows();
            }
        }
        let src = IpAddr::V4(Ipv4Addr::new(100, 64, 200, 17));
        let packet = mk_packet(src, LOCAL, Protocol::TCP, (40_000, 43_690));
        worst_samples.push(cost(&mut worst, &Frame::new(packet).bytes()));
    }
    worst_samples.sort_unstable();
    let first = medians(&first);
    let ratio = |n: u32| {
        let times = first[&100_000] as f64 / first[&n].max(1) as f64;
        (times * 1000.0).round() / 1000.0
    };
    let result = serde_json::json!({
        "verdict_ns": named(&first),
        "verdict_established_ns": named(&medians(&known)),
        "verdict_worst_ns": worst_samples[worst_samples.len() / 2],
        "verdict_ratio_100000_to_10": ratio(10),
        "verdict_100k_over_1_ebpf": ratio(1),
    });
    println!("{result}");
}

fn cost(bench: &mut Bench, frame: &[u8]) -> u64 {
    let (verdict, ns) = bench.run(Direction::Ingress, frame, REPEAT);
    assert_eq!(verdict, u32::MAX, "the bench's packets are allowed");
    ns
}

fn medians(samples: &BTreeMap<u32, Vec<u64>>) -> BTreeMap<u32, u64> {
    samples
        .iter()
        .map(|(n, samples)| {
            let mut samples = samples.clone();
            samples.sort_unstable();
            (*n, samples[samples.len() / 2])
        })
        .collect()
}

fn named(medians: &BTreeMap<u32, u64>) -> BTreeMap<String, u64> {
    medians.iter().map(|(n, ns)| (n.to_string(), *ns)).collect()
}

fn n_groups(n_rules: u32) -> u32 {
    n_rules.div_ceil(RULES_PER_GROUP)
}

/// Ten pods of each group; every second group also has a network.
fn peer(group: u32, number: u32) -> Ipv4Addr {
    Ipv4Addr::from(u32::from_be_bytes([10, 64, 0, 0]) + group * 10 + number)
}

fn port(index: u32) -> u16 {
    (1_000 + index * 500 % 60_000) as u16
}

/// A first packet that the last rule of a far group allows, and one of its connection.
fn mk_frames(n_rules: u32, number: u32) -> (Vec<u8>, Vec<u8>) {
    let groups = n_groups(n_rules);
    let group = (groups - 1).saturating_sub(number * groups / FRAMES / 2);
    let last = n_rules.min(RULES_PER_GROUP) - 1;
    let src = IpAddr::V4(peer(group, number % 10));
    let ports = (40_000 + number as u16, port(last.saturating_sub(number)));
    let packet: Packet = mk_packet(src, LOCAL, Protocol::TCP, ports);
    let frame = |flags| Frame::new(packet).flags(flags).bytes();
    (frame(SYN), frame(ACK))
}

/// The ugliest lookup: no exact address but 100,000 networks, all of one class, whose row has an
/// interval for every single port.
fn mk_worst() -> Bench {
    let mut program = NodeProgram { revision: Revision(1), ..NodeProgram::default() };
    let tier = |name: &str| RuleRef::TierDefault { tier: name.to_owned() };
    let deny = leaf(&mut program, Decision::Deny, tier("deny"));
    let allow = leaf(&mut program, Decision::Allow, tier("allow"));
    let spans = (0..=u16::MAX)
        .map(|start| {
            let outcome = Outcome::Leaf(if start.is_multiple_of(2) { allow } else { deny });
            Span { start, outcome }
        })
        .collect();
    let row = Row { tcp: Spans::new(spans).unwrap(), ..Row::uniform(deny) };
    for n in 0..100_000 {
        let net = Ipv4Addr::from(u32::from_be_bytes([100, 64, 0, 0]) + n * 16);
        program.classes.insert(ipnet::Ipv4Net::new(net, 28).unwrap().into(), ClassId(1));
    }
    let id = ProgramId(content_hash([&b"worst"[..]]));
    for (class, row) in [(ClassId::OUTSIDE, Row::uniform(deny)), (ClassId(1), row)] {
        program.entries.insert((id, class), RowId::of(&row));
        program.rows.insert(RowId::of(&row), row.into());
    }
    mk_judged(program, id)
}

/// One endpoint with `n_rules` rules: each allows one group to one port.
fn mk_bench(n_rules: u32) -> Bench {
    let mut program = NodeProgram { revision: Revision(1), ..NodeProgram::default() };
    let policy = PolicyRef {
        kind: PolicyKind::GlobalNetworkPolicy,
        namespace: String::new(),
        name: "bench".to_owned(),
    };
    let deny = leaf(&mut program, Decision::Deny, RuleRef::TierDefault { tier: "bench".into() });
    let id = ProgramId(content_hash([&n_rules.to_le_bytes()[..]]));
    let row_of = |row: Row, class: ClassId, program: &mut NodeProgram| {
        let row_id = RowId::of(&row);
        program.rows.insert(row_id, row.into());
        program.entries.insert((id, class), row_id);
    };
    row_of(Row::uniform(deny), ClassId::OUTSIDE, &mut program);
    for group in 0..n_groups(n_rules) {
        let class = ClassId(u64::from(group) + 1);
        let mut allowed = BTreeMap::new();
        for rule in 0..RULES_PER_GROUP.min(n_rules) {
            let index = group * RULES_PER_GROUP + rule;
            let written = RuleRef::Rule {
                tier: "bench".to_owned(),
                policy: policy.clone(),
                direction: Direction::Ingress,
                index,
            };
            allowed.insert(port(rule), leaf(&mut program, Decision::Allow, written));
        }
        let tcp = mk_spans(deny, &allowed);
        row_of(Row { tcp, ..Row::uniform(deny) }, class, &mut program);
        for number in 0..10 {
            program.classes.insert(IpAddr::V4(peer(group, number)).into(), class);
        }
        if group % 2 == 0 {
            let net = Ipv4Addr::from(u32::from_be_bytes([172, 16, 0, 0]) + group * 64);
            program.classes.insert(ipnet::Ipv4Net::new(net, 26).unwrap().into(), class);
        }
    }
    mk_judged(program, id)
}

/// The program with its one endpoint, enforced.
fn mk_judged(mut program: NodeProgram, id: ProgramId) -> Bench {
    let judges = Judges { ingress: id, egress: id };
    let endpoint = EndpointProgram {
        id: EndpointId::pod("bench", "endpoint"),
        labels: Labels::new().into(),
        addresses: [(LOCAL, judges)].into(),
        staged: bulkhead_wire::JudgedAddresses::default(),
        interface: None,
        mac: None,
    };
    program.endpoints.insert(endpoint.id.clone(), endpoint.into());
    let mut bench = Bench::sized(MapSizes::DEFAULT);
    bench.enforce(&program);
    bench
}

fn leaf(program: &mut NodeProgram, decision: Decision, rule: RuleRef) -> Leaf {
    let id = RuleId::of(&rule);
    program.rules.insert(id, rule.into());
    Leaf { decision, rule: id }
}

fn mk_spans(deny: Leaf, allowed: &BTreeMap<u16, Leaf>) -> Spans {
    let mut spans = vec![Span { start: 0, outcome: Outcome::Leaf(deny) }];
    for (port, leaf) in allowed {
        spans.push(Span { start: *port, outcome: Outcome::Leaf(*leaf) });
        spans.push(Span { start: port + 1, outcome: Outcome::Leaf(deny) });
    }
    Spans::new(spans).unwrap()
}
