//! Figures of the engine: what one change costs in a small and in a large world.
//!
//! `cargo run --release -p bulkhead-policy --example figures` prints one JSON object. Times are in
//! microseconds, medians and 99th percentiles over many changes.
#![expect(clippy::print_stdout, reason = "a program that prints its findings")]
#![expect(clippy::disallowed_methods, reason = "it measures time")]

use std::time::{Duration, Instant};

use bulkhead_api::Object;
use bulkhead_policy::{Engine, Event};
use serde_json::{Value, json};

fn main() {
    let shop = one_change_in_a_shop();
    let large = one_endpoint_with_many_rules(100_000);
    println!("{}", json!({"shop": shop, "rules_100000": large}));
}

/// 12 pods in 4 namespaces on one node, 12 policies; as in the demo.
fn one_change_in_a_shop() -> Value {
    let mut engine = Engine::new();
    for index in 0..12 {
        engine.apply(Event::Upsert(pod(index, "web")));
        engine.apply(Event::Upsert(kubernetes_policy(index, 80)));
    }
    engine.take_changes();
    let mut by_kind: [Vec<Duration>; 3] = Default::default();
    for round in 0..1000usize {
        let label = if round % 2 == 0 { "web" } else { "api" };
        let port = 80 + (round % 3) as u16;
        let events = [
            Event::Upsert(pod(3, label)),
            Event::Upsert(kubernetes_policy(5, port)),
            if round % 2 == 0 {
                Event::Delete(pod(20, "web").key())
            } else {
                Event::Upsert(pod(20, "web"))
            },
        ];
        for (times, event) in by_kind.iter_mut().zip(events) {
            times.push(timed(&mut engine, event));
        }
    }
    let [label, policy, pod] = by_kind.map(summary);
    json!({"label_us": label, "policy_us": policy, "pod_us": pod})
}

/// One pod under policies with so many rules in all, each for a net and a port of its own.
fn one_endpoint_with_many_rules(n_rules: usize) -> Value {
    let mut engine = Engine::new();
    engine.apply(Event::Upsert(pod(0, "web")));
    let start = Instant::now();
    for chunk in 0..n_rules.div_ceil(1000) {
        engine.apply(Event::Upsert(net_policy(chunk, (n_rules - chunk * 1000).min(1000))));
    }
    let lowered = start.elapsed();
    engine.take_changes();
    let compiled = start.elapsed();
    let n_entries = engine.program("node-0").map_or(0, |program| program.entries.len());
    let mut label = Vec::new();
    let mut other = Vec::new();
    for round in 0..200 {
        let text = if round % 2 == 0 { "db" } else { "web" };
        label.push(timed(&mut engine, Event::Upsert(pod(1, text))));
    }
    for round in 0..6 {
        other.push(timed(&mut engine, Event::Upsert(kubernetes_policy(0, 80 + round))));
    }
    json!({
        "lowered_ms": lowered.as_millis(), "compiled_ms": compiled.as_millis(),
        "entries": n_entries, "label_us": summary(label), "other_policy_us": summary(other),
    })
}

fn timed(engine: &mut Engine, event: Event) -> Duration {
    let start = Instant::now();
    engine.apply(event);
    engine.take_changes();
    start.elapsed()
}

fn summary(mut times: Vec<Duration>) -> Value {
    times.sort_unstable();
    let at =
        |share: usize| times.get((times.len() - 1) * share / 100).map_or(0, Duration::as_micros);
    json!({"p50": at(50), "p99": at(99)})
}

fn object(value: Value) -> Object {
    Object::from_value(value).unwrap_or_else(|error| unreachable!("{error}"))
}

fn pod(index: usize, app: &str) -> Object {
    object(json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {
            "name": format!("pod-{index}"), "namespace": format!("ns-{}", index % 4),
            "labels": {"app": app, "pod": format!("p{index}")},
        },
        "spec": {
            "nodeName": "node-0",
            "containers": [{"name": "c", "ports": [{"name": "http", "containerPort": 8080}]}],
        },
        "status": {"podIPs": [{"ip": format!("10.0.0.{}", index + 1)}]},
    }))
}

fn kubernetes_policy(index: usize, port: u16) -> Object {
    object(json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
        "metadata": {"name": format!("policy-{index}"), "namespace": format!("ns-{}", index % 4)},
        "spec": {
            "podSelector": {}, "policyTypes": ["Ingress", "Egress"],
            "ingress": [
                {"from": [{"namespaceSelector": {}, "podSelector": {"matchLabels": {"app": "web"}}}],
                 "ports": [{"port": port}, {"port": "http"}]},
                {"from": [{"ipBlock": {"cidr": "10.1.0.0/16", "except": ["10.1.2.0/24"]}}]},
            ],
            "egress": [{"to": [{"podSelector": {}}]}],
        },
    }))
}

fn net_policy(chunk: usize, n_rules: usize) -> Object {
    let rules: Vec<Value> = (0..n_rules)
        .map(|index| {
            let number = chunk * 1000 + index;
            let net =
                format!("172.{}.{}.{}/32", 16 + (number >> 16), number >> 8 & 255, number & 255);
            json!({
                "action": "Allow", "protocol": "TCP",
                "source": {"nets": [net]}, "destination": {"ports": [1024 + number % 60_000]},
            })
        })
        .collect();
    object(json!({
        "apiVersion": "projectcalico.org/v3", "kind": "GlobalNetworkPolicy",
        "metadata": {"name": format!("many-{chunk}")},
        "spec": {"selector": "pod == 'p0'", "ingress": rules},
    }))
}
