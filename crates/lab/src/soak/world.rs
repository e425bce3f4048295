//! The world of a soak: two nodes, five pods, one policy in two forms.

use anyhow::Result;
use bulkhead_api::Object;
use bulkhead_types::Protocol;
use serde_json::{Value, json};

use crate::probe::Probe;

/// Answers come back.
pub const ECHO: u16 = 80;
/// The server speaks unasked.
pub const PUSH: u16 = 81;
/// Nobody may.
pub const SHUT: u16 = 99;
/// Open by UDP to the client, in every form.
pub const MANY: (u16, u16) = (20_000, 60_000);
/// Open in odd turns.
pub const TURNING: u16 = 1000;

fn pod(name: &str, node: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"namespace": "app", "name": name, "labels": {"app": name}},
        "spec": {"nodeName": node, "containers": [
            {"name": "c", "image": "x", "ports": [{"containerPort": ECHO}]}]},
    })
}

pub fn objects() -> Result<Vec<Object>> {
    let spare = json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
        "metadata": {"namespace": "app", "name": "spare"},
        "spec": {"podSelector": {"matchLabels": {"app": "spare"}}, "policyTypes": ["Ingress"],
                 "ingress": [{"from": friends(), "ports": [{"port": ECHO}]}]},
    });
    let pods = [
        pod("client", "n1"),
        pod("server", "n1"),
        pod("spare", "n1"),
        pod("foe", "n1"),
        pod("far", "n2"),
    ];
    let objects = pods.into_iter().chain([spare]).map(|value| Ok(Object::from_value(value)?));
    let mut objects = objects.collect::<Result<Vec<_>>>()?;
    objects.push(policy(0)?);
    bulkhead_api::addressing::assign(&mut objects);
    Ok(objects)
}

fn friends() -> Value {
    let names = ["client", "far", "spare"];
    json!([{"podSelector": {"matchExpressions": [
        {"key": "app", "operator": "In", "values": names}]}}])
}

/// The server takes some ports of its friends and opens nothing itself.
pub fn policy(turn: u64) -> Result<Object> {
    let mut ports = vec![
        json!({"port": ECHO}),
        json!({"port": PUSH}),
        json!({"protocol": "UDP", "port": MANY.0, "endPort": MANY.1}),
        // never the same twice, so that every turn is news to the node
        json!({"port": 2000 + turn % 50_000}),
    ];
    if turn % 2 == 1 {
        ports.push(json!({"port": TURNING}));
    }
    Ok(Object::from_value(json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
        "metadata": {"namespace": "app", "name": "server"},
        "spec": {"podSelector": {"matchLabels": {"app": "server"}},
                 "policyTypes": ["Ingress", "Egress"],
                 "ingress": [{"from": friends(), "ports": ports}]},
    }))?)
}

/// More addresses than the kernel's tables hold; the whole set would open what is shut.
pub fn too_large() -> Result<Vec<Object>> {
    let set = |n: u32| {
        let nets: Vec<String> = (0..30_000_u32)
            .map(|i| format!("{}.{}.{}.{}/32", 20 + n, (i >> 16) & 255, (i >> 8) & 255, i & 255))
            .collect();
        json!({
            "apiVersion": "projectcalico.org/v3", "kind": "GlobalNetworkSet",
            "metadata": {"name": format!("large-{n}"), "labels": {"large": n.to_string()}},
            "spec": {"nets": nets},
        })
    };
    let policy = json!({
        "apiVersion": "projectcalico.org/v3", "kind": "GlobalNetworkPolicy",
        "metadata": {"name": "large"},
        "spec": {"selector": "app == 'server'", "order": 1, "ingress": [
            {"action": "Allow", "protocol": "UDP", "destination": {"ports": [SHUT]}},
            {"action": "Deny", "source": {"selector": "has(large)"}}]},
    });
    (0..5).map(set).chain([policy]).map(|value| Ok(Object::from_value(value)?)).collect()
}

/// What a turn opens and what it does not.
pub fn probes(turn: u64) -> Vec<(Probe, bool)> {
    let tcp = |from: &str, to: &str, port| Probe::tcp(from, to, port);
    vec![
        (tcp("app/client", "app/server", ECHO), true),
        (tcp("app/client", "app/server", ECHO).v6(), true),
        (tcp("app/far", "app/server", ECHO), true),
        (tcp("app/client", "app/spare", ECHO), true),
        (tcp("app/client", "app/server", TURNING), turn % 2 == 1),
        (tcp("app/client", "app/server", SHUT), false),
        (tcp("app/client", "app/server", SHUT).v6(), false),
        (tcp("app/foe", "app/server", ECHO), false),
        (tcp("app/server", "app/client", ECHO), false),
        (Probe::new("app/foe", "app/spare", Protocol::TCP, ECHO), false),
    ]
}
