//! Services, and slices that say what stands behind some of them.

use bulkhead_api::Object;
use rand::Rng;
use serde_json::{Value, json};

use super::Shape;
use super::inventory::object;
use super::words::{NAMESPACES, PORT_NAMES, PORTS, SERVICES, labels, pick};

pub fn add(rng: &mut impl Rng, shape: Shape, objects: &mut Vec<Object>) {
    for name in SERVICES {
        for namespace in NAMESPACES {
            if rng.random_bool(0.5) {
                objects.push(service(rng, namespace, name));
            }
            if rng.random_bool(0.2) {
                objects.push(slice(rng, shape, namespace, name));
            }
        }
    }
}

/// Any of the vocabulary, for random lives.
pub fn any(rng: &mut impl Rng, shape: Shape) -> Object {
    let (namespace, name) = (*pick(rng, &NAMESPACES), *pick(rng, &SERVICES));
    if rng.random_bool(0.6) {
        service(rng, namespace, name)
    } else {
        slice(rng, shape, namespace, name)
    }
}

fn service(rng: &mut impl Rng, namespace: &str, name: &str) -> Object {
    let ports: Vec<Value> = (0..rng.random_range(1..=2))
        .map(|index| {
            let protocol = pick(rng, &["TCP", "TCP", "UDP", "SCTP"]);
            let target = match rng.random_range(0..3) {
                0 => json!(pick(rng, &PORT_NAMES)),
                1 => json!(pick(rng, &PORTS)),
                _ => Value::Null,
            };
            json!({
                "name": format!("p{index}"), "protocol": protocol, "port": pick(rng, &PORTS),
                "targetPort": target,
            })
        })
        .collect();
    let mut spec = json!({"ports": ports});
    if rng.random_bool(0.8) {
        let mut selector = labels(rng);
        // More than two labels select nearly nobody.
        if let Some(fields) = selector.as_object_mut() {
            while fields.len() > 1 {
                let last = fields.keys().next_back().cloned().expect("it is not empty");
                fields.remove(&last);
            }
        }
        spec["selector"] = selector;
    }
    object(json!({
        "apiVersion": "v1", "kind": "Service",
        "metadata": {"name": name, "namespace": namespace}, "spec": spec,
    }))
}

fn slice(rng: &mut impl Rng, shape: Shape, namespace: &str, name: &str) -> Object {
    let v6 = rng.random_bool(0.3);
    let n_endpoints = rng.random_range(0..=3);
    let endpoints: Vec<Value> = (0..n_endpoints)
        .map(|_| {
            let low = rng.random_range(1..=shape.pods + 3);
            let address = if v6 { format!("fd00::{low:x}") } else { format!("10.0.0.{low}") };
            let ready = pick(rng, &[json!(true), json!(true), json!(false), Value::Null]).clone();
            json!({"addresses": [address], "conditions": {"ready": ready}})
        })
        .collect();
    let ports: Vec<Value> = (0..rng.random_range(0..=2))
        .map(|index| {
            let protocol = pick(rng, &["TCP", "UDP", "SCTP"]);
            json!({"name": format!("p{index}"), "protocol": protocol, "port": pick(rng, &PORTS)})
        })
        .collect();
    let index = rng.random_range(0..2);
    object(json!({
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
        "metadata": {
            "name": format!("{name}-{index}"), "namespace": namespace,
            "labels": {"kubernetes.io/service-name": name},
        },
        "addressType": if v6 { "IPv6" } else { "IPv4" }, "endpoints": endpoints, "ports": ports,
    }))
}
