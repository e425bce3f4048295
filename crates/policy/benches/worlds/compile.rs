//! Worlds A, B and C: everything from nothing.

use bulkhead_api::Object;
use bulkhead_policy::{Changes, Engine, Event};
use peak_alloc::PeakAlloc;
use serde_json::{Map, Value, json};

use crate::make::{Flow, global_policy, kubernetes_policy, labels, namespace, node, pod, roll};
use crate::meter::Meter;

type Figures = Map<String, Value>;

/// 250,000 endpoints, 200 of them on the node that is compiled for; 10,000 policies by tag. Ten pods
/// share a deployment and thereby their labels; each has two of 10,000 tags.
pub fn a(heap: Option<&PeakAlloc>) -> Figures {
    let mut meter = Meter::start(heap);
    let mut engine = Engine::serving(["node-0"]);
    let first = fill(&mut engine, world_a(), &mut meter);
    assert_eq!(first.nodes.len(), 1, "one node is served");
    let program = engine.program("node-0").expect("it has endpoints");
    assert_eq!(program.endpoints.len(), 200);
    let mut all = Figures::new();
    all.insert("A_addresses".into(), json!(program.classes.len()));
    drop((first, program));
    meter.report("A", meter.held_mb(), &mut all);
    if heap.is_some() {
        let bytes = (meter.held_mb() * 1e6 / 250_000.0).round();
        all.insert("A_bytes_per_endpoint".into(), json!(bytes));
    }
    all
}

pub fn world_a() -> impl Iterator<Item = Object> {
    let tag = |index: u64, which: u64| roll(0xa + which, index) % 10_000;
    let pods = (0..250_000u32).map(move |index| {
        let deployment = u64::from(index / 10);
        let own = labels(&[
            ("app", &format!("app-{deployment}")),
            ("pod-template-hash", &format!("{:08x}", roll(0xaa, deployment) as u32)),
            ("env", &format!("env-{}", deployment % 3)),
            (&format!("tag-{}", tag(deployment, 1)), "enabled"),
            (&format!("tag-{}", tag(deployment, 2)), "enabled"),
        ]);
        let space = format!("team-{}", deployment % 250);
        let name = format!("app-{deployment}-{:05x}", roll(0xab, index.into()) & 0xf_ffff);
        pod(&space, &format!("{name}-{index}"), own, &node_name(index % 1250), (10 << 24) + index)
    });
    let policies = (0..10_000u64).map(|index| {
        let peer = roll(0xac, index) % 10_000;
        let subject = format!("has(tag-{index})");
        let port = 1024 + (index % 1000) as i32;
        global_policy(&format!("tag-{index}"), subject, format!("has(tag-{peer})"), port)
    });
    pods.chain(policies)
}

/// 100,000 pods in 25,000 namespaces on 1,000 nodes; three policies a namespace.
pub fn b(heap: Option<&PeakAlloc>) -> Figures {
    let mut meter = Meter::start(heap);
    let mut engine = Engine::new();
    let first = fill(&mut engine, world_b(), &mut meter);
    assert_eq!(first.nodes.len(), 1000, "every node has a program");
    let mut all = Figures::new();
    let count = |of: fn(&bulkhead_wire::ProgramDelta) -> usize| -> usize {
        first.nodes.values().map(|delta| of(delta)).sum()
    };
    all.insert("B_endpoints".into(), json!(count(|delta| delta.endpoints.set.len())));
    all.insert("B_addresses".into(), json!(count(|delta| delta.classes.set.len())));
    all.insert("B_entries".into(), json!(count(|delta| delta.entries.set.len())));
    all.insert("B_rows".into(), json!(count(|delta| delta.rows.set.len())));
    drop(first);
    meter.report("B", meter.held_mb(), &mut all);
    all
}

pub const B_NAMESPACES: u32 = 25_000;
pub const B_NODES: u32 = 1_000;

pub fn world_b() -> impl Iterator<Item = Object> {
    let nodes = (0..B_NODES).map(|index| node(&node_name(index)));
    let spaces = (0..B_NAMESPACES).flat_map(|space| {
        let name = format!("ns-{space}");
        let team = format!("team-{}", space % 500);
        let mut objects = vec![namespace(&name, &[("team", &team)])];
        for member in 0..4u32 {
            let role = if member < 2 { "web" } else { "db" };
            let index = space * 4 + member;
            let home = (roll(0xb, index.into()) % u64::from(B_NODES)) as u32;
            let own = labels(&[("app", role), ("team", &team)]);
            let address = (10 << 24) + index;
            objects.push(pod(&name, &format!("{role}-{member}"), own, &node_name(home), address));
        }
        objects.extend(policies_of_b(&name));
        objects
    });
    nodes.chain(spaces)
}

/// Whoever is not named may not enter; web talks to web and db, db hears web alone.
fn policies_of_b(space: &str) -> [Object; 3] {
    let from = |app: &'static [(&'static str, &'static str)], port| Flow {
        peer: app,
        namespaces: None,
        protocol: "TCP",
        port,
    };
    const WEB: &[(&str, &str)] = &[("app", "web")];
    const DB: &[(&str, &str)] = &[("app", "db")];
    [
        kubernetes_policy(space, "isolate", &[], Some(&[]), None),
        kubernetes_policy(
            space,
            "web",
            WEB,
            Some(&[from(WEB, 8080)]),
            Some(&[from(DB, 5432), from(WEB, 8080)]),
        ),
        kubernetes_policy(space, "db", DB, Some(&[from(WEB, 5432)]), None),
    ]
}

/// 10,000 policies, each with a selector of its own and that of the next as its peer, over 10,000
/// pods on 100 nodes.
pub fn c(heap: Option<&PeakAlloc>) -> Figures {
    let mut meter = Meter::start(heap);
    let mut engine = Engine::new();
    let first = fill(&mut engine, world_c(), &mut meter);
    assert_eq!(first.nodes.len(), 100, "every node has a program");
    drop(first);
    let mut all = Figures::new();
    meter.report("C", meter.held_mb(), &mut all);
    all
}

pub fn world_c() -> impl Iterator<Item = Object> {
    let pods = (0..10_000u32).map(|index| {
        let own = labels(&[("pod", &format!("p-{index}"))]);
        pod("one", &format!("p-{index}"), own, &node_name(index % 100), (10 << 24) + index)
    });
    let policies = (0..10_000u32).map(|index| {
        let (own, next) = (format!("p-{index}"), format!("p-{}", (index + 1) % 10_000));
        let peer = [("pod", next.as_str())];
        let flow = Flow { peer: &peer, namespaces: None, protocol: "TCP", port: 8080 };
        let name = format!("policy-{index}");
        kubernetes_policy("one", &name, &[("pod", &own)], Some(&[flow]), None)
    });
    pods.chain(policies)
}

pub fn node_name(index: u32) -> String {
    format!("node-{index}")
}

/// Takes the objects in, a hundred at a time, and compiles them in one round.
pub fn fill(
    engine: &mut Engine,
    objects: impl Iterator<Item = Object>,
    meter: &mut Meter<'_>,
) -> Changes {
    let mut objects = objects.peekable();
    while objects.peek().is_some() {
        let some: Vec<Event> = objects.by_ref().take(100).map(Event::Upsert).collect();
        meter.run(|| some.into_iter().for_each(|event| engine.apply(event)));
    }
    if std::env::var_os("BENCH_PHASES").is_some() {
        eprintln!("taken in after {:.3} s CPU, {} MB", meter.cpu_s(), meter.held_mb());
    }
    meter.run(|| engine.take_changes())
}
