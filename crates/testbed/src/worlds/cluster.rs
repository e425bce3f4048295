//! Policies of the cluster's administrators: ClusterNetworkPolicy and its forerunners.

use bulkhead_api::Object;
use rand::Rng;
use serde_json::{Map, Value, json};

use super::Shape;
use super::inventory::object;
use super::words::{DOMAINS, PORT_NAMES, PORTS, expires, label_selector, nets, pick};

/// Of one of the three kinds. There is only one BaselineAdminNetworkPolicy, `default`.
pub fn policy(rng: &mut impl Rng, shape: Shape, name: &str) -> Object {
    match rng.random_range(0..5) {
        0..=2 => cluster(rng, shape, name),
        3 => admin(rng, shape, "AdminNetworkPolicy", name),
        _ => admin(rng, shape, "BaselineAdminNetworkPolicy", "default"),
    }
}

fn cluster(rng: &mut impl Rng, shape: Shape, name: &str) -> Object {
    let mut spec = json!({
        "tier": pick(rng, &["Admin", "Baseline"]), "priority": priority(rng, shape),
        "subject": subject(rng),
    });
    for (list, peers, egress) in [("ingress", "from", false), ("egress", "to", true)] {
        if rng.random_bool(0.6) {
            let rules: Vec<Value> = (0..rng.random_range(0..=shape.rules))
                .map(|_| {
                    let mut rule = Map::new();
                    let action = pick(rng, &["Accept", "Deny", "Pass"]);
                    rule.insert("action".to_owned(), json!(action));
                    rule.insert(peers.to_owned(), self::peers(rng, shape, egress, true));
                    if rng.random_bool(0.5) {
                        rule.insert("protocols".to_owned(), protocols(rng, shape));
                    }
                    Value::Object(rule)
                })
                .collect();
            spec[list] = json!(rules);
        }
    }
    expires(rng, &mut spec);
    object(json!({
        "apiVersion": "policy.networking.k8s.io/v1alpha2", "kind": "ClusterNetworkPolicy",
        "metadata": {"name": name}, "spec": spec,
    }))
}

fn admin(rng: &mut impl Rng, shape: Shape, kind: &str, name: &str) -> Object {
    let is_baseline = kind == "BaselineAdminNetworkPolicy";
    let mut spec = json!({"subject": subject(rng)});
    if !is_baseline {
        spec["priority"] = priority(rng, shape);
    }
    let actions: &[&str] =
        if is_baseline { &["Allow", "Deny"] } else { &["Allow", "Deny", "Pass"] };
    for (list, peers, egress) in [("ingress", "from", false), ("egress", "to", true)] {
        if rng.random_bool(0.6) {
            let rules: Vec<Value> = (0..rng.random_range(0..=shape.rules))
                .map(|_| {
                    let mut rule = Map::new();
                    rule.insert("action".to_owned(), json!(pick(rng, actions)));
                    let domains = !is_baseline;
                    rule.insert(peers.to_owned(), self::peers(rng, shape, egress, domains));
                    if rng.random_bool(0.5) {
                        rule.insert("ports".to_owned(), admin_ports(rng));
                    }
                    Value::Object(rule)
                })
                .collect();
            spec[list] = json!(rules);
        }
    }
    expires(rng, &mut spec);
    object(json!({
        "apiVersion": "policy.networking.k8s.io/v1alpha1", "kind": kind,
        "metadata": {"name": name}, "spec": spec,
    }))
}

fn priority(rng: &mut impl Rng, shape: Shape) -> Value {
    if shape.broken && rng.random_bool(0.04) {
        return pick(rng, &[json!(null), json!(-1), json!(1001)]).clone();
    }
    json!(pick(rng, &[0, 10, 10, 1000]))
}

fn subject(rng: &mut impl Rng) -> Value {
    if rng.random_bool(0.5) { json!({"namespaces": label_selector(rng)}) } else { pods(rng) }
}

fn pods(rng: &mut impl Rng) -> Value {
    json!({"pods": {
        "namespaceSelector": label_selector(rng), "podSelector": label_selector(rng),
    }})
}

/// One or two.
fn peers(rng: &mut impl Rng, shape: Shape, egress: bool, domains: bool) -> Value {
    let n_peers = rng.random_range(1..=2);
    json!((0..n_peers).map(|_| peer(rng, shape, egress, domains)).collect::<Vec<_>>())
}

fn peer(rng: &mut impl Rng, shape: Shape, egress: bool, domains: bool) -> Value {
    if shape.broken && rng.random_bool(0.04) {
        return json!({});
    }
    match rng.random_range(0..if egress { 12 } else { 6 }) {
        0..=2 => json!({"namespaces": label_selector(rng)}),
        3..=5 => pods(rng),
        6 | 7 => json!({"nodes": label_selector(rng)}),
        11 if domains => json!({"domainNames": [pick(rng, &DOMAINS)]}),
        _ => {
            let v6 = rng.random_bool(0.3);
            let mut networks = nets(rng, v6);
            networks.retain(|net| net.contains('/'));
            networks.push(if v6 { "fd00::4/126" } else { "10.0.0.4/31" });
            json!({"networks": networks})
        }
    }
}

fn protocols(rng: &mut impl Rng, shape: Shape) -> Value {
    let one = |rng: &mut _| {
        let name = *pick(rng, &["tcp", "tcp", "udp", "sctp"]);
        match Rng::random_range(rng, 0..6) {
            0 => json!({name: {}}),
            1 | 2 => json!({name: {"destinationPort": {"number": pick(rng, &PORTS)}}}),
            3 => json!({name: {"destinationPort": {"range": {"start": 8000, "end": 8010}}}}),
            4 if shape.broken => {
                json!({name: {"destinationPort": {"range": {"start": 9, "end": 8}}}})
            }
            _ => json!({"destinationNamedPort": pick(rng, &PORT_NAMES)}),
        }
    };
    json!((0..rng.random_range(1..=2)).map(|_| one(rng)).collect::<Vec<_>>())
}

fn admin_ports(rng: &mut impl Rng) -> Value {
    let one = |rng: &mut _| {
        let protocol = pick(rng, &["TCP", "TCP", "UDP", "SCTP"]);
        match Rng::random_range(rng, 0..4) {
            0 | 1 => json!({"portNumber": {"protocol": protocol, "port": pick(rng, &PORTS)}}),
            2 => json!({"portRange": {"protocol": protocol, "start": 8000, "end": 8010}}),
            _ => json!({"namedPort": pick(rng, &PORT_NAMES)}),
        }
    };
    json!((0..rng.random_range(1..=2)).map(|_| one(rng)).collect::<Vec<_>>())
}
