//! Tiers and policies of every dialect.

use bulkhead_api::Object;
use rand::Rng;
use serde_json::{Map, Value, json};

use super::inventory::object;
use super::words::{
    ACCOUNTS, DOMAINS, ENDS, NAMESPACES, PORT_NAMES, PORTS, SERVICES, TIERS, expires,
    label_selector, nets, pick, selector,
};
use super::{Shape, cluster};

pub fn add(rng: &mut impl Rng, shape: Shape, objects: &mut Vec<Object>) {
    for name in ["early", "lax"] {
        if rng.random_bool(0.8) {
            objects.push(tier(rng, name));
        }
    }
    for index in 0..shape.policies {
        objects.push(policy(rng, shape, index));
    }
}

pub fn tier(rng: &mut impl Rng, name: &str) -> Object {
    let order = pick(rng, &[json!(10), json!(20), json!(2e6), json!(null)]).clone();
    let default = *pick(rng, &["Deny", "Pass"]);
    object(json!({
        "apiVersion": "projectcalico.org/v3", "kind": "Tier",
        "metadata": {"name": name}, "spec": {"order": order, "defaultAction": default},
    }))
}

pub fn policy(rng: &mut impl Rng, shape: Shape, index: usize) -> Object {
    // A staged policy and another one may have one name.
    let name = format!("policy-{}", index / 2);
    let written = match rng.random_range(0..7) {
        0 | 1 => kubernetes(rng, shape, &name),
        2 | 3 => {
            let namespace = *pick(rng, &NAMESPACES);
            calico(rng, shape, &name, Some(namespace))
        }
        4 | 5 => calico(rng, shape, &name, None),
        _ => cluster::policy(rng, shape, &name),
    };
    if rng.random_bool(0.15) { staged(rng, written) } else { written }
}

/// The policy as it would be staged; a kind that cannot be staged stays.
fn staged(rng: &mut impl Rng, policy: Object) -> Object {
    let mut value = policy.to_value().expect("objects are JSON");
    let kind = match policy {
        Object::KubernetesNetworkPolicy(_) => "StagedKubernetesNetworkPolicy",
        Object::NetworkPolicy(_) => "StagedNetworkPolicy",
        Object::GlobalNetworkPolicy(_) => "StagedGlobalNetworkPolicy",
        _ => return policy,
    };
    value["apiVersion"] = json!("projectcalico.org/v3");
    value["kind"] = json!(kind);
    let action = *pick(rng, &["", "Set", "Set", "Delete", "Learn", "Ignore"]);
    if action == "Delete" {
        let tier = value["spec"].get("tier").cloned();
        value["spec"] = tier.map_or_else(|| json!({}), |tier| json!({"tier": tier}));
        if kind == "StagedKubernetesNetworkPolicy" {
            value["spec"] = json!({"podSelector": {}});
        }
    }
    if !action.is_empty() {
        value["spec"]["stagedAction"] = json!(action);
    }
    object(value)
}

fn some<T>(
    rng: &mut impl Rng,
    chance: f64,
    make: impl FnOnce(&mut dyn rand::RngCore) -> T,
) -> Option<T> {
    rng.random_bool(chance).then(|| make(rng))
}

// === Kubernetes ===

fn kubernetes(rng: &mut impl Rng, shape: Shape, name: &str) -> Object {
    let types = match rng.random_range(0..4) {
        0 => json!(null),
        1 => json!(["Ingress"]),
        2 => json!(["Egress"]),
        _ => json!(["Ingress", "Egress"]),
    };
    let mut spec = json!({"podSelector": label_selector(rng), "policyTypes": types});
    for (list, peers) in [("ingress", "from"), ("egress", "to")] {
        if rng.random_bool(0.7) {
            let n_rules = rng.random_range(0..=shape.rules);
            let rules: Vec<Value> =
                (0..n_rules).map(|_| kubernetes_rule(rng, shape, peers)).collect();
            spec[list] = json!(rules);
        }
    }
    object(json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
        "metadata": {"name": name, "namespace": pick(rng, &NAMESPACES)}, "spec": spec,
    }))
}

fn kubernetes_rule(rng: &mut impl Rng, shape: Shape, peers: &str) -> Value {
    let mut rule = Map::new();
    if rng.random_bool(0.8) {
        let list: Vec<Value> =
            (0..rng.random_range(0..=2)).map(|_| kubernetes_peer(rng, shape)).collect();
        rule.insert(peers.to_owned(), json!(list));
    }
    if rng.random_bool(0.6) {
        let list: Vec<Value> =
            (0..rng.random_range(0..=2)).map(|_| kubernetes_port(rng, shape)).collect();
        rule.insert("ports".to_owned(), json!(list));
    }
    Value::Object(rule)
}

fn kubernetes_peer(rng: &mut impl Rng, shape: Shape) -> Value {
    match rng.random_range(0..if shape.broken { 21 } else { 20 }) {
        0..=5 => json!({"podSelector": label_selector(rng)}),
        6..=9 => json!({"namespaceSelector": label_selector(rng)}),
        10..=13 => json!({
            "podSelector": label_selector(rng), "namespaceSelector": label_selector(rng),
        }),
        14 | 15 => json!({"ipBlock": {"cidr": "10.0.0.0/24", "except": ["10.0.0.4/30"]}}),
        16 => json!({"ipBlock": {"cidr": "fd00::/64", "except": ["fd00::2/127"]}}),
        17..=19 => {
            let v6 = rng.random_bool(0.3);
            json!({"ipBlock": {"cidr": nets(rng, v6)[0]}})
        }
        _ => json!({"ipBlock": {"cidr": "10.0.0.0/24", "except": ["11.0.0.0/30"]}}),
    }
}

fn kubernetes_port(rng: &mut impl Rng, shape: Shape) -> Value {
    let protocol =
        pick(rng, &[json!("TCP"), json!("TCP"), json!("UDP"), json!("SCTP"), json!(null)]).clone();
    match rng.random_range(0..if shape.broken { 11 } else { 10 }) {
        0 | 1 => json!({"protocol": protocol}),
        2..=5 => json!({"protocol": protocol, "port": pick(rng, &PORTS)}),
        6 | 7 => json!({"protocol": protocol, "port": pick(rng, &PORT_NAMES)}),
        8 | 9 => json!({"protocol": protocol, "port": 8000, "endPort": 8010}),
        _ => json!({"protocol": protocol, "port": 8010, "endPort": 8000}),
    }
}

// === projectcalico.org/v3 ===

fn calico(rng: &mut impl Rng, shape: Shape, name: &str, namespace: Option<&str>) -> Object {
    let mut spec = Map::new();
    spec.insert("tier".to_owned(), json!(pick(rng, &TIERS)));
    spec.insert(
        "order".to_owned(),
        pick(rng, &[json!(1), json!(1000), json!(2000), json!(null)]).clone(),
    );
    if let Some(text) = some(rng, 0.7, |mut rng| selector(&mut rng, 1)) {
        spec.insert("selector".to_owned(), json!(text));
    }
    if shape.broken && rng.random_bool(0.03) {
        spec.insert("selector".to_owned(), json!("app = 'web'"));
    }
    if let Some(text) = some(rng, 0.1, |mut rng| selector(&mut rng, 0)) {
        spec.insert("serviceAccountSelector".to_owned(), json!(text));
    }
    if namespace.is_none()
        && let Some(text) = some(rng, 0.3, |mut rng| selector(&mut rng, 0))
    {
        spec.insert("namespaceSelector".to_owned(), json!(text));
    }
    let types = match rng.random_range(0..5) {
        0 | 1 => json!(null),
        2 => json!(["Ingress"]),
        3 => json!(["Egress"]),
        _ => json!(["Ingress", "Egress"]),
    };
    spec.insert("types".to_owned(), types);
    for list in ["ingress", "egress"] {
        if rng.random_bool(0.7) {
            let n_rules = rng.random_range(0..=shape.rules);
            let rules: Vec<Value> = (0..n_rules).map(|_| rule(rng, shape, list)).collect();
            spec.insert(list.to_owned(), json!(rules));
        }
    }
    let mut spec = Value::Object(spec);
    expires(rng, &mut spec);
    let (kind, mut metadata) = match namespace {
        Some(namespace) => ("NetworkPolicy", json!({"name": name, "namespace": namespace})),
        None => ("GlobalNetworkPolicy", json!({"name": name})),
    };
    if spec.get("expires").is_none() && rng.random_bool(0.05) {
        metadata["annotations"] = json!({"bulkhead.dev/expires": pick(rng, &ENDS)});
    }
    object(json!({
        "apiVersion": "projectcalico.org/v3", "kind": kind, "metadata": metadata, "spec": spec,
    }))
}

pub fn rule(rng: &mut impl Rng, shape: Shape, direction: &str) -> Value {
    let actions = ["Allow", "Allow", "Allow", "Deny", "Deny", "Pass", "Log"];
    let mut rule = Map::new();
    let action = *pick(rng, &actions);
    rule.insert("action".to_owned(), json!(action));
    let protocols = [
        json!("TCP"),
        json!("TCP"),
        json!("UDP"),
        json!("SCTP"),
        json!("ICMP"),
        json!("ICMPv6"),
        json!("UDPLite"),
        json!(6),
        json!(1),
        json!(58),
        json!(47),
    ];
    let protocol = some(rng, 0.6, |mut rng| pick(&mut rng, &protocols).clone());
    let has_ports = protocol
        .as_ref()
        .is_some_and(|p| [json!("TCP"), json!("UDP"), json!("SCTP"), json!(6)].contains(p));
    let is_icmp = protocol
        .as_ref()
        .is_none_or(|p| [json!("ICMP"), json!("ICMPv6"), json!(1), json!(58)].contains(p));
    let is_tcp = protocol.as_ref().is_none_or(|p| *p == json!("TCP"));
    if let Some(protocol) = protocol {
        rule.insert("protocol".to_owned(), protocol);
    }
    let is_request = action == "Allow" && direction == "ingress" && is_tcp && rng.random_bool(0.06);
    if is_request {
        let requests =
            [json!({}), json!({"methods": ["GET"]}), json!({"paths": [{"prefix": "/"}]})];
        rule.insert("http".to_owned(), pick(rng, &requests).clone());
    }
    if !is_request && rng.random_bool(0.1) {
        rule.insert("notProtocol".to_owned(), pick(rng, &protocols).clone());
    }
    if rng.random_bool(0.1) {
        rule.insert("ipVersion".to_owned(), json!(pick(rng, &[4, 6])));
    }
    for (field, chance) in [("icmp", 0.2), ("notICMP", 0.1)] {
        if is_icmp && rng.random_bool(chance) {
            let choices = [
                json!({"type": 8}),
                json!({"type": 8, "code": 0}),
                json!({"type": 128}),
                json!({}),
            ];
            rule.insert(field.to_owned(), pick(rng, &choices).clone());
        }
    }
    let remote = if direction == "ingress" { "source" } else { "destination" };
    for side in ["source", "destination"] {
        if side == remote && rng.random_bool(0.1) {
            rule.insert(side.to_owned(), behind_service(rng));
        } else if rng.random_bool(0.6) {
            let mut entity = entity(rng, shape, has_ports);
            if direction == "egress" && side == "destination" && rng.random_bool(0.1) {
                let domains: Vec<&str> =
                    (0..rng.random_range(1..=2)).map(|_| *pick(rng, &DOMAINS)).collect();
                entity["domains"] = json!(domains);
            }
            rule.insert(side.to_owned(), entity);
        }
    }
    Value::Object(rule)
}

/// A service says all about its side.
fn behind_service(rng: &mut impl Rng) -> Value {
    json!({"services": {"name": pick(rng, &SERVICES), "namespace": pick(rng, &NAMESPACES)}})
}

fn entity(rng: &mut impl Rng, shape: Shape, has_ports: bool) -> Value {
    let mut entity = Map::new();
    let v6 = rng.random_bool(0.3);
    let mut put = |name: &str, value: Value| entity.insert(name.to_owned(), value);
    if rng.random_bool(0.3) {
        put("nets", json!(nets(rng, v6)));
    }
    if rng.random_bool(0.15) {
        // Everything excluded is an error; see the unit tests.
        let mut excluded = nets(rng, v6);
        excluded.retain(|net| !net.ends_with("/0"));
        put("notNets", json!(excluded));
    }
    if rng.random_bool(0.35) {
        put("selector", json!(selector(rng, 1)));
    }
    if rng.random_bool(0.15) {
        put("notSelector", json!(selector(rng, 0)));
    }
    if rng.random_bool(0.2) {
        let text = match rng.random_range(0..4) {
            0 => "global()".to_owned(),
            1 => "all()".to_owned(),
            _ => selector(rng, 0),
        };
        put("namespaceSelector", json!(text));
    }
    if rng.random_bool(0.1) {
        put(
            "serviceAccounts",
            match rng.random_range(0..3) {
                0 => json!({"names": [pick(rng, &ACCOUNTS)]}),
                1 => json!({"selector": selector(rng, 0)}),
                _ => json!({}),
            },
        );
    }
    if rng.random_bool(0.3) {
        put("ports", ports(rng, shape, has_ports));
    }
    if rng.random_bool(0.15) {
        put("notPorts", ports(rng, shape, has_ports));
    }
    Value::Object(entity)
}

/// Without a protocol that has ports only names are legal.
fn ports(rng: &mut impl Rng, shape: Shape, has_ports: bool) -> Value {
    let numbers = has_ports || (shape.broken && rng.random_bool(0.05));
    let one = |rng: &mut _| match Rng::random_range(rng, 0..if numbers { 4 } else { 1 }) {
        0 => json!(pick(rng, &PORT_NAMES)),
        1 => json!("8000:8010"),
        _ => json!(pick(rng, &PORTS)),
    };
    json!((0..rng.random_range(1..=2)).map(|_| one(rng)).collect::<Vec<_>>())
}
