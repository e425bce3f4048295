//! Namespaces, service accounts, nodes, pods, workloads and network sets.

use std::net::{Ipv4Addr, Ipv6Addr};

use bulkhead_api::Object;
use rand::Rng;
use serde_json::{Value, json};

use super::words::{ACCOUNTS, DOMAINS, NAMESPACES, PORT_NAMES, PORTS, labels, nets, pick};
use super::{Shape, services};

pub fn add(rng: &mut impl Rng, shape: Shape, objects: &mut Vec<Object>) {
    for namespace in NAMESPACES {
        // Not every namespace and account is declared.
        if rng.random_bool(0.7) {
            objects.push(declare_namespace(rng, namespace));
        }
        for account in ACCOUNTS {
            if rng.random_bool(0.3) {
                objects.push(declare_account(rng, namespace, account));
            }
        }
    }
    for index in 0..shape.nodes {
        objects.push(declare_node(rng, index));
    }
    for index in 0..shape.pods {
        objects.push(pod(rng, shape, index));
    }
    for index in 0..shape.workloads {
        objects.push(workload(rng, shape, index));
    }
    for index in 0..shape.network_sets {
        objects.push(network_set(rng, shape, index));
    }
    services::add(rng, shape, objects);
}

pub fn object(value: Value) -> Object {
    Object::from_value(value.clone()).unwrap_or_else(|e| panic!("{e}: {value}"))
}

pub fn declare_namespace(rng: &mut impl Rng, name: &str) -> Object {
    object(json!({
        "apiVersion": "v1", "kind": "Namespace",
        "metadata": {"name": name, "labels": labels(rng)},
    }))
}

pub fn declare_node(rng: &mut impl Rng, index: usize) -> Object {
    let low = 200 + index;
    let mut addresses = Vec::new();
    for (kind, address) in [
        ("InternalIP", format!("10.0.0.{low}")),
        ("InternalIP", format!("fd00::{low:x}")),
        ("ExternalIP", format!("203.0.113.{low}")),
        ("Hostname", format!("node-{index}")),
    ] {
        if rng.random_bool(0.7) {
            addresses.push(json!({"type": kind, "address": address}));
        }
    }
    object(json!({
        "apiVersion": "v1", "kind": "Node",
        "metadata": {"name": format!("node-{index}"), "labels": labels(rng)},
        "status": {"addresses": addresses},
    }))
}

pub fn declare_account(rng: &mut impl Rng, namespace: &str, name: &str) -> Object {
    object(json!({
        "apiVersion": "v1", "kind": "ServiceAccount",
        "metadata": {"name": name, "namespace": namespace, "labels": labels(rng)},
    }))
}

pub fn pod(rng: &mut impl Rng, shape: Shape, index: usize) -> Object {
    let addresses: Vec<Value> =
        addresses(rng, shape, index).into_iter().map(|ip| json!({"ip": ip})).collect();
    let phase = if shape.untidy {
        pick(rng, &["Running", "Running", "Running", "Failed"])
    } else {
        "Running"
    };
    let ports: Vec<Value> = named_ports(rng, shape)
        .into_iter()
        .map(|(name, protocol, port)| {
            json!({"name": name, "protocol": protocol, "containerPort": port})
        })
        .collect();
    object(json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {
            "name": format!("pod-{index}"), "namespace": pick(rng, &NAMESPACES),
            "labels": labels(rng),
        },
        "spec": {
            "nodeName": node(rng, shape), "serviceAccountName": pick(rng, &ACCOUNTS),
            "containers": [{"name": "main", "image": "none", "ports": ports}],
        },
        "status": {"phase": phase, "podIPs": addresses},
    }))
}

pub fn workload(rng: &mut impl Rng, shape: Shape, index: usize) -> Object {
    let ports: Vec<Value> = named_ports(rng, shape)
        .into_iter()
        .map(|(name, protocol, port)| json!({"name": name, "protocol": protocol, "port": port}))
        .collect();
    object(json!({
        "apiVersion": "bulkhead.dev/v1", "kind": "Workload",
        "metadata": {
            "name": format!("workload-{index}"), "namespace": pick(rng, &NAMESPACES),
            "labels": labels(rng),
        },
        "spec": {
            "nodeName": node(rng, shape), "addresses": addresses(rng, shape, shape.pods + index),
            "ports": ports,
        },
    }))
}

pub fn network_set(rng: &mut impl Rng, shape: Shape, index: usize) -> Object {
    let v6 = rng.random_bool(0.3);
    let mut nets: Vec<&str> = nets(rng, v6);
    if shape.broken && rng.random_bool(0.05) {
        nets.push("10.0.0.0/33");
    }
    let mut spec = json!({"nets": nets});
    if rng.random_bool(0.2) {
        spec["allowedEgressDomains"] = json!([pick(rng, &DOMAINS)]);
    }
    let mut metadata = json!({"name": format!("set-{index}"), "labels": labels(rng)});
    let kind = if rng.random_bool(0.5) {
        metadata["namespace"] = json!(pick(rng, &NAMESPACES));
        "NetworkSet"
    } else {
        "GlobalNetworkSet"
    };
    object(json!({
        "apiVersion": "projectcalico.org/v3", "kind": kind,
        "metadata": metadata, "spec": spec,
    }))
}

fn node(rng: &mut impl Rng, shape: Shape) -> Value {
    if shape.untidy && rng.random_bool(0.1) {
        return Value::Null;
    }
    json!(format!("node-{}", rng.random_range(0..shape.nodes.max(1))))
}

/// Tidy: one of each family, nobody else's.
fn addresses(rng: &mut impl Rng, shape: Shape, index: usize) -> Vec<String> {
    let own = u8::try_from(index + 1).expect("worlds are small");
    let [low, other] =
        if shape.untidy { [1, 2].map(|_| rng.random_range(1..=9)) } else { [own; 2] };
    let v4 = Ipv4Addr::new(10, 0, 0, low).to_string();
    let v6 = Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, u16::from(other)).to_string();
    match if shape.untidy { rng.random_range(0..10) } else { 9 } {
        0 => Vec::new(),
        1 | 2 => vec![v4],
        3 => vec![v6],
        _ => vec![v4, v6],
    }
}

/// Tidy: each name and each port once.
fn named_ports(rng: &mut impl Rng, shape: Shape) -> Vec<(&'static str, &'static str, u16)> {
    let one = |rng: &mut _| {
        (*pick(rng, &PORT_NAMES), *pick(rng, &["TCP", "UDP", "SCTP"]), *pick(rng, &PORTS))
    };
    let mut ports: Vec<_> = (0..rng.random_range(0..=2)).map(|_| one(rng)).collect();
    if !shape.untidy {
        ports.dedup_by(|a, b| a.0 == b.0 || (a.1, a.2) == (b.1, b.2));
    }
    ports
}
