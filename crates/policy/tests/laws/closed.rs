//! What is nonsense is named, and opens nothing.

use std::cell::Cell;
use std::collections::BTreeSet;

use bulkhead_api::Object;
use bulkhead_policy::{Severity, World as Oracle};
use bulkhead_testbed::Shape;
use bulkhead_testbed::worlds::{Packets, Worlds};
use bulkhead_types::{Decision, Direction, Packet};
use serde_json::{Value, json};

use crate::agreement::compare;
use crate::hold;
use crate::programs_of::{fresh, same};

/// Values that are right nowhere, or only by accident.
fn nonsense(which: usize) -> Value {
    let all = [
        json!("§ nonsense §"),
        json!("app = 'web'"),
        json!(""),
        json!("10.0.0.0/33"),
        json!("0.0.0.0/0"),
        json!("1970-13-01T00:00:00Z"),
        json!(99_999),
        json!(-1),
        json!(0),
        json!(300),
        json!([]),
        json!({}),
        json!(null),
        json!(["§"]),
        json!("90:80"),
        json!("x".repeat(2_000)),
    ];
    all[which % all.len()].clone()
}

/// The same world with nonsense at one place of one policy's spec, if that can be an object at all.
fn broken(world: &[Object], object: usize, place: usize, which: usize) -> Option<Vec<Object>> {
    let is_policy = |o: &&Object| o.key().policy().is_some();
    let policies: Vec<&Object> = world.iter().filter(is_policy).collect();
    let chosen = *policies.get(object % policies.len().max(1))?;
    let mut value = chosen.to_value().expect("objects are JSON");
    let mut places = Vec::new();
    inner_places(&value["spec"], "/spec", &mut places);
    let at = places.get(place % places.len().max(1))?;
    *value.pointer_mut(at)? = nonsense(which);
    let mutated = Object::from_value(value).ok()?;
    let keep = |o: &Object| if o.key() == chosen.key() { mutated.clone() } else { o.clone() };
    Some(world.iter().map(keep).collect())
}

fn inner_places(value: &Value, at: &str, into: &mut Vec<String>) {
    let children: Vec<(String, &Value)> = match value {
        Value::Object(fields) => fields.iter().map(|(k, v)| (k.replace('/', "~1"), v)).collect(),
        Value::Array(items) => items.iter().enumerate().map(|(i, v)| (i.to_string(), v)).collect(),
        _ => return,
    };
    for (name, child) in children {
        let place = format!("{at}/{name}");
        into.push(place.clone());
        inner_places(child, &place, into);
    }
}

fn errors(world: &Oracle) -> BTreeSet<String> {
    let errors = world.diagnostics().iter().filter(|d| d.severity == Severity::Error);
    errors.map(|d| format!("{} {d}", d.object)).collect()
}

/// Whom the world lets through where, for packets as they are and addressed to each endpoint.
fn allowed(world: &Oracle, packets: &[Packet]) -> BTreeSet<String> {
    let mut allowed = BTreeSet::new();
    for endpoint in world.endpoints() {
        for direction in Direction::BOTH {
            for packet in packets {
                for &own in
                    endpoint.addresses.iter().filter(|a| a.is_ipv4() == packet.src.is_ipv4())
                {
                    let packet = match direction {
                        Direction::Ingress => Packet { dst: own, ..*packet },
                        Direction::Egress => Packet { src: own, ..*packet },
                    };
                    if world.decide(&endpoint.id, direction, &packet).decision == Decision::Allow {
                        allowed.insert(format!("{} {direction} {packet:?}", endpoint.id));
                    }
                }
            }
        }
    }
    allowed
}

/// Breaking a rule that allows takes away, breaking one that denies or passes denies more, breaking
/// the subject denies to all: whatever is broken, no packet passes that did not pass before. And the
/// two engines read the broken world alike.
#[test]
fn nonsense_in_a_policy_is_named_and_opens_nothing() {
    let (n_broken, n_told) = (Cell::new(0), Cell::new(0));
    // Sound to begin with, so that what is said afterwards is about what was broken.
    let shape = Shape { broken: false, policies: 8, ..Shape::default() };
    let strategy = (Worlds(vec![shape]), Packets(12), 0..64usize, 0..4_096usize, 0..64usize);
    hold(250, strategy, |(world, packets, object, place, which)| {
        let Some(broken) = broken(&world.0, *object, *place, *which) else { return Ok(()) };
        n_broken.set(n_broken.get() + 1);
        let (before, after) = (Oracle::from_objects(&world.0), Oracle::from_objects(&broken));
        let told: Vec<String> = errors(&after).difference(&errors(&before)).cloned().collect();
        compare(&broken, &packets.0, None)?;
        if told.is_empty() {
            return Ok(());
        }
        n_told.set(n_told.get() + 1);
        let opened: Vec<String> = allowed(&after, &packets.0)
            .difference(&allowed(&before, &packets.0))
            .take(3)
            .cloned()
            .collect();
        if opened.is_empty() { Ok(()) } else { Err(format!("{told:#?}\nopened {opened:#?}")) }
    });
    assert!(n_told.get() * 5 > n_broken.get(), "{} of {}", n_told.get(), n_broken.get());
}

fn object(value: Value) -> Object {
    Object::from_value(value).expect("an object of a known kind")
}

fn pod(name: &str, ip: &str) -> Object {
    object(json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": name, "namespace": "shop", "labels": {"app": name}},
        "spec": {"nodeName": "node-1"}, "status": {"podIPs": [{"ip": ip}]},
    }))
}

fn global(name: &str, spec: Value) -> Object {
    object(json!({
        "apiVersion": "projectcalico.org/v3", "kind": "GlobalNetworkPolicy",
        "metadata": {"name": name}, "spec": spec,
    }))
}

/// No manifest can write these numbers, but a program that feeds the engine could.
#[test]
fn orders_that_are_no_numbers_still_order() {
    let odd = [f64::NAN, -f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -0.0, 0.0, f64::MIN_POSITIVE];
    let tier = |index: usize, order: f64| {
        let mut tier = object(json!({
            "apiVersion": "projectcalico.org/v3", "kind": "Tier",
            "metadata": {"name": format!("t{index}")}, "spec": {"defaultAction": "Pass"},
        }));
        if let Object::Tier(tier) = &mut tier {
            tier.spec.order = Some(order);
        }
        tier
    };
    let policy = |tier: usize, order: f64, index: usize| {
        let action = if index.is_multiple_of(2) { "Allow" } else { "Deny" };
        let rules = json!([{"action": action, "protocol": "TCP", "destination": {"ports": [index + 1]}},
                           {"action": "Log"}]);
        let spec = json!({"tier": format!("t{tier}"), "ingress": rules});
        let mut policy = global(&format!("p{tier}-{index}"), spec);
        if let Object::GlobalNetworkPolicy(policy) = &mut policy {
            policy.spec.common.order = Some(order);
        }
        policy
    };
    let mut objects = vec![pod("web", "10.0.0.1"), pod("db", "10.0.0.2")];
    for (index, order) in odd.into_iter().enumerate() {
        objects.push(tier(index, order));
        objects.extend(odd.into_iter().enumerate().map(|(n, order)| policy(index, order, n)));
    }
    let forward = fresh(&objects);
    let oracle = Oracle::from_objects(&objects);
    for port in 0..9 {
        let endpoint = oracle.endpoint_at("10.0.0.2".parse().expect("address")).expect("db");
        let packet = Packet {
            src: "10.0.0.1".parse().expect("address"),
            dst: "10.0.0.2".parse().expect("address"),
            protocol: bulkhead_types::Protocol::TCP,
            src_port: 40_000,
            dst_port: port,
            icmp_type: 0,
            icmp_code: 0,
        };
        let slow = oracle.decide(&endpoint.id, Direction::Ingress, &packet);
        let compiled = forward["node-1"].decide(&endpoint.id, Direction::Ingress, &packet);
        assert_eq!(slow, compiled, "port {port}");
    }
    objects.reverse();
    same(&forward, &fresh(&objects)).expect("their order of arrival is irrelevant");
}

/// One key, two objects: the later one counts, as if the first had never been.
#[test]
fn of_two_objects_with_one_key_the_later_one_counts() {
    let allow = global("twice", json!({"ingress": [{"action": "Allow"}]}));
    let deny = global("twice", json!({"ingress": [{"action": "Deny"}]}));
    let pods = [pod("web", "10.0.0.1"), pod("db", "10.0.0.2")];
    let with = |last: &[&Object]| -> Vec<Object> {
        pods.iter().chain(last.iter().copied()).cloned().collect()
    };
    for (first, last) in [(&allow, &deny), (&deny, &allow)] {
        same(&fresh(&with(&[last])), &fresh(&with(&[first, last]))).expect("the later one counts");
    }
    assert!(fresh(&with(&[&allow])) != fresh(&with(&[&deny])));
}

/// Much of everything: nothing overflows, nothing is forgotten, and the last rule still counts.
#[test]
fn thousands_of_rules_tiers_and_operands_are_only_slow() {
    let mut rules: Vec<Value> = (0..3_000u16)
        .map(|n| json!({"action": "Allow", "protocol": "TCP", "destination": {"ports": [n * 2]}}))
        .collect();
    rules.push(json!({"action": "Allow", "protocol": "TCP", "destination": {"ports": [65_535]}}));
    let wide: Vec<String> = (0..2_000).map(|n| format!("has(label-{n})")).collect();
    let mut objects = vec![
        pod("web", "10.0.0.1"),
        pod("db", "10.0.0.2"),
        global("many-rules", json!({"order": 1, "selector": "app == 'db'", "ingress": rules})),
        global(
            "wide",
            json!({
                "order": 2, "ingress": [{"action": "Allow", "source": {"selector": wide.join(" || ")}}],
            }),
        ),
        global(
            "deep",
            json!({"selector": format!("{}app == 'db'{}", "(".repeat(90), ")".repeat(90))}),
        ),
    ];
    for index in 0..500 {
        objects.push(object(json!({
            "apiVersion": "projectcalico.org/v3", "kind": "Tier",
            "metadata": {"name": format!("tier-{index}")}, "spec": {"order": 10},
        })));
    }
    let program = &fresh(&objects)["node-1"];
    let db = bulkhead_types::EndpointId::pod("shop", "db");
    let ask = |port| Packet {
        src: "10.0.0.1".parse().expect("address"),
        dst: "10.0.0.2".parse().expect("address"),
        protocol: bulkhead_types::Protocol::TCP,
        src_port: 40_000,
        dst_port: port,
        icmp_type: 0,
        icmp_code: 0,
    };
    for (port, expected) in
        [(5_998, Decision::Allow), (5_999, Decision::Deny), (65_535, Decision::Allow)]
    {
        let found = program.decide(&db, Direction::Ingress, &ask(port));
        assert_eq!(found.decision, expected, "port {port}");
    }
}
