//! World G: who may reach whom, by `policy::reach`.

use bulkhead_api::Object;
use bulkhead_policy::reach::Reach;
use bulkhead_policy::{Engine, Event};
use bulkhead_types::EndpointId;
use serde_json::{Map, Value, json};

use crate::compile::{B_NAMESPACES, fill, world_b};
use crate::make::{Flow, kubernetes_policy, labels, object, pod, roll};
use crate::meter::{Meter, Times, cpu, rounded};

const WORKLOADS: u32 = 400;

/// Pods of 400 Deployments in one namespace; one policy for each but the last one, and one that
/// closes the rest. Policies name three other workloads, a port range and a net with a hole.
fn small_world() -> Vec<Object> {
    let mut objects: Vec<Object> = (0..WORKLOADS)
        .map(|index| {
            let own = labels(&[("app", &format!("app-{index}"))]);
            pod("shop", &format!("app-{index}"), own, "node", (10 << 24) + index)
        })
        .collect();
    objects.push(kubernetes_policy("shop", "closed", &[], Some(&[]), None));
    objects.extend((1..WORKLOADS).map(|index| {
        let peers: Vec<Value> = (1..4)
            .map(|step| {
                let app = format!("app-{}", (index + step * 7) % WORKLOADS);
                json!({"podSelector": {"matchLabels": {"app": app}}})
            })
            .collect();
        let net = format!("172.{}.0.0/16", 16 + index % 16);
        let hole = format!("172.{}.{}.0/24", 16 + index % 16, index % 250);
        object(json!({
            "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
            "metadata": {"namespace": "shop", "name": format!("app-{index}")},
            "spec": {
                "podSelector": {"matchLabels": {"app": format!("app-{index}")}},
                "ingress": [
                    {"from": peers, "ports": [{"port": 8000, "endPort": 8000 + index % 100}]},
                    {
                        "from": [{"ipBlock": {"cidr": net, "except": [hole]}}],
                        "ports": [{"port": 443}, {"port": 53, "protocol": "UDP"}],
                    },
                ],
            },
        }))
    }));
    objects
}

/// 400 workloads under 400 policies, from objects to connections.
pub fn small() -> Map<String, Value> {
    let mut all = Map::new();
    let mut times = Times::new();
    let mut n_connections = 0;
    for _ in 0..20 {
        let objects = small_world();
        let start = cpu();
        let mut engine = Engine::new();
        objects.into_iter().for_each(|object| engine.apply(Event::Upsert(object)));
        drop(engine.take_changes());
        let matrix = Reach::of(&engine).matrix(EndpointId::to_string, None);
        times.add(cpu() - start);
        n_connections = matrix.connections.len();
    }
    all.insert("G_400_ms".into(), json!(times.median(1e6)));
    all.insert("G_400_percentiles".into(), times.percentiles());
    all.insert("G_400_connections".into(), json!(n_connections));
    all
}

/// A policy comes and goes, a pod comes and changes its label: from each change to the pairs that it
/// altered. Once with a policy about its own namespace, once with one that names everybody.
pub fn large() -> Map<String, Value> {
    let mut all = Map::new();
    let mut engine = Engine::new();
    engine.watch();
    drop(fill(&mut engine, world_b(), &mut Meter::start(None)));
    drop(engine.take_watched());
    let start = cpu();
    let mut reach = Reach::of(&engine);
    all.insert("G_100k_first_ms".into(), json!(rounded((cpu() - start).as_secs_f64() * 1e3, 1)));
    let near: Flow<'_> =
        Flow { peer: &[("app", "db")], namespaces: None, protocol: "TCP", port: 9000 };
    let (times, own, n_pairs) = follow(&mut engine, &mut reach, &near, 200);
    all.insert("G_100k_change_ms".into(), json!(times.p99(1e6)));
    all.insert("G_100k_percentiles".into(), times.percentiles());
    all.insert("G_100k_reach_alone_percentiles".into(), own.percentiles());
    all.insert("G_100k_altered_pairs_max".into(), json!(n_pairs));
    let everybody = Flow { peer: &[], namespaces: Some(&[]), protocol: "TCP", port: 9000 };
    let (times, own, n_pairs) = follow(&mut engine, &mut reach, &everybody, 5);
    all.insert("G_100k_wide_percentiles".into(), times.percentiles());
    all.insert("G_100k_wide_reach_alone_percentiles".into(), own.percentiles());
    all.insert("G_100k_wide_altered_pairs_max".into(), json!(n_pairs));
    all
}

/// Times of whole changes and of reach's share, and the most pairs that one altered.
fn follow(
    engine: &mut Engine,
    reach: &mut Reach,
    flow: &Flow<'_>,
    n_rounds: u32,
) -> (Times, Times, u64) {
    let (mut times, mut own) = (Times::new(), Times::new());
    let mut n_pairs = 0u64;
    for round in 0..n_rounds {
        let space = format!("ns-{}", roll(0x9, round.into()) % u64::from(B_NAMESPACES));
        for event in changes(&space, round, flow) {
            let start = cpu();
            engine.apply(event);
            drop(engine.take_changes());
            let compiled = cpu();
            let watched = engine.take_watched();
            let change = reach.follow(engine, &watched);
            times.add(cpu() - start);
            own.add(cpu() - compiled);
            assert!(!change.is_everything, "one change is told pair by pair");
            let pairs = change.altered.iter().map(|pairs| pairs.src.len() * pairs.dst.len());
            n_pairs = n_pairs.max(pairs.sum());
        }
    }
    (times, own, n_pairs)
}

fn changes(space: &str, round: u32, flow: &Flow<'_>) -> [Event; 4] {
    let flow = std::slice::from_ref(flow);
    let open = kubernetes_policy(space, "more", &[("app", "web")], Some(flow), None);
    let close = open.key();
    let relabelled = |role: &str| {
        let own = labels(&[("app", role)]);
        Event::Upsert(pod(space, "new", own, "node-1", (11 << 24) + round))
    };
    [Event::Upsert(open), Event::Delete(close), relabelled("web"), relabelled("db")]
}
