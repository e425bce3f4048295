//! Worlds D, E and F: one change in a large world.

use std::time::Duration;

use bulkhead_api::Object;
use bulkhead_policy::{Changes, Engine, Event};
use serde_json::{Map, Value, json};

use crate::compile::{B_NAMESPACES, fill, node_name, world_b, world_c};
use crate::make::{Flow, global_policy, kubernetes_policy, labels, pod, roll};
use crate::meter::{Meter, Times, cpu};

type Figures = Map<String, Value>;

/// One pod's label changes so that another one of 10,000 selectors matches it.
pub fn d() -> Figures {
    let mut engine = Engine::new();
    drop(fill(&mut engine, world_c(), &mut Meter::start(None)));
    let mut times = Times::new();
    let mut n_nodes = 0;
    for round in 0..3000u32 {
        let index = (roll(0xd, 1) % 10_000) as u32;
        let label = format!("p-{}", roll(0xd, round.into()) % 10_000);
        let own = labels(&[("pod", &label)]);
        let name = format!("p-{index}");
        let moved = pod("one", &name, own, &node_name(index % 100), (10 << 24) + index);
        let (time, changes) = timed(&mut engine, Event::Upsert(moved));
        n_nodes = n_nodes.max(changes.nodes.len());
        times.add(time);
    }
    let mut all = Figures::new();
    all.insert("D_p99_us".into(), json!(times.p99(1e3)));
    all.insert("D_percentiles".into(), times.percentiles());
    all.insert("D_nodes_concerned_max".into(), json!(n_nodes));
    all
}

/// One pod joins a group of 100,000 that 10 nodes have rules about; and one of 10,000 for 100 and
/// 1,000 nodes, because each such node holds every address of the group.
pub fn e() -> Figures {
    let mut all = Figures::new();
    for (n_nodes, n_members) in [(10u32, 100_000u32), (100, 10_000), (1000, 10_000)] {
        let mut engine = Engine::new();
        drop(fill(&mut engine, world_e(n_nodes, n_members), &mut Meter::start(None)));
        let mut times = Times::new();
        for round in 0..1000u32 {
            let join = client(n_members + round);
            let key = join.key();
            let (time, changes) = timed(&mut engine, Event::Upsert(join));
            assert!(changes.nodes.len() >= n_nodes as usize, "all are told");
            times.add(time);
            drop(timed(&mut engine, Event::Delete(key)));
        }
        if n_nodes == 10 {
            all.insert("E_p99_us".into(), json!(times.p99(1e3)));
            all.insert("E_nodes_concerned".into(), json!(n_nodes));
        }
        all.insert(format!("E_{n_nodes}_nodes_percentiles"), times.percentiles());
    }
    all
}

fn client(index: u32) -> Object {
    let own = labels(&[("role", "client")]);
    pod("shop", &format!("client-{index}"), own, &node_name(index % 1000), (10 << 24) + index)
}

fn world_e(n_nodes: u32, n_members: u32) -> impl Iterator<Item = Object> {
    let servers = (0..n_nodes).map(|index| {
        let own = labels(&[("role", "server")]);
        pod("shop", &format!("server-{index}"), own, &node_name(index), (11 << 24) + index)
    });
    let (subject, peer) = ("role == 'server'".to_owned(), "role == 'client'".to_owned());
    let policy = global_policy("servers", subject, peer, 8080);
    (0..n_members).map(client).chain(servers).chain([policy])
}

/// One policy is added to world B.
pub fn f() -> Figures {
    let mut engine = Engine::new();
    drop(fill(&mut engine, world_b(), &mut Meter::start(None)));
    let mut times = Times::new();
    let mut n_nodes = 0;
    for round in 0..1000u32 {
        let space = format!("ns-{}", roll(0xf, round.into()) % u64::from(B_NAMESPACES));
        let flow = Flow { peer: &[("app", "db")], namespaces: None, protocol: "TCP", port: 9000 };
        let subject = [("app", "web")];
        let policy = kubernetes_policy(&space, "more", &subject, Some(&[flow]), None);
        let key = policy.key();
        let (time, changes) = timed(&mut engine, Event::Upsert(policy));
        assert!(!changes.nodes.is_empty(), "someone is told");
        n_nodes = n_nodes.max(changes.nodes.len());
        times.add(time);
        drop(timed(&mut engine, Event::Delete(key)));
    }
    let mut all = Figures::new();
    all.insert("F_p99_ms".into(), json!(times.p99(1e6)));
    all.insert("F_percentiles".into(), times.percentiles());
    all.insert("F_nodes_concerned_max".into(), json!(n_nodes));
    all
}

/// CPU time: what else the machine does is not the engine's.
fn timed(engine: &mut Engine, event: Event) -> (Duration, Changes) {
    let start = cpu();
    engine.apply(event);
    let changes = engine.take_changes();
    (cpu() - start, changes)
}
