//! A change recomputes what it must and nothing else: the list of what was done, as a snapshot.
#![expect(clippy::expect_used, reason = "makers of a test; a broken one must stop it")]

use bulkhead_api::Object;
use bulkhead_policy::{Engine, Event};
use serde_json::{Value, json};

fn object(value: Value) -> Object {
    Object::from_value(value).expect("an object of a known kind")
}

fn mk_pod(name: &str, node: &str, ip: &str, labels: Value) -> Object {
    object(json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": name, "namespace": "shop", "labels": labels},
        "spec": {"nodeName": node}, "status": {"podIPs": [{"ip": ip}]},
    }))
}

fn mk_policy(name: &str, subject: &str, peer: &str, port: u16) -> Object {
    object(json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
        "metadata": {"name": name, "namespace": "shop"},
        "spec": {
            "podSelector": {"matchLabels": {"app": subject}},
            "ingress": [{
                "from": [{"podSelector": {"matchLabels": {"app": peer}}}],
                "ports": [{"port": port}],
            }],
        },
    }))
}

/// `web` and `api` on node-1, `db` on node-2; `db` is open to `web` alone.
fn mk_engine() -> Engine {
    let mut engine = Engine::new();
    for object in [
        mk_pod("web", "node-1", "10.0.0.1", json!({"app": "web"})),
        mk_pod("api", "node-1", "10.0.0.2", json!({"app": "api"})),
        mk_pod("db", "node-2", "10.0.0.3", json!({"app": "db"})),
        mk_policy("db", "db", "web", 5432),
    ] {
        engine.apply(Event::Upsert(object));
    }
    engine.take_changes();
    engine.record_work();
    engine
}

fn check(engine: &mut Engine, event: Event, expected: &[&str]) {
    engine.apply(event);
    engine.take_changes();
    let work: Vec<String> = engine.take_work().iter().map(ToString::to_string).collect();
    assert_eq!(work, expected);
}

#[test]
fn a_label_that_no_selector_names_moves_no_class() {
    let labels = json!({"app": "web", "colour": "blue"});
    check(
        &mut mk_engine(),
        Event::Upsert(mk_pod("web", "node-1", "10.0.0.1", labels)),
        &["matched shop/web against 1 selectors", "judged shop/web", "emitted node-1"],
    );
}

#[test]
fn a_new_pod_of_a_known_class_is_one_address_for_the_node_that_cares() {
    check(
        &mut mk_engine(),
        Event::Upsert(mk_pod("web-2", "node-1", "10.0.0.4", json!({"app": "web"}))),
        &["classified 10.0.0.4/32", "judged shop/web-2", "emitted node-1", "emitted node-2"],
    );
}

#[test]
fn a_new_pod_that_no_rule_sees_concerns_its_own_node_only() {
    check(
        &mut mk_engine(),
        Event::Upsert(mk_pod("api-2", "node-1", "10.0.0.4", json!({"app": "api"}))),
        &["classified 10.0.0.4/32", "judged shop/api-2", "emitted node-1"],
    );
}

#[test]
fn a_pod_that_leaves_a_class_takes_one_address_along() {
    let mut engine = mk_engine();
    engine.apply(Event::Delete(mk_pod("web", "node-1", "10.0.0.1", json!({})).key()));
    let changes = engine.take_changes();
    let delta = &changes.nodes["node-2"];
    assert_eq!(delta.classes.unset, ["10.0.0.1/32".parse().expect("net")]);
    assert!(delta.endpoints.is_empty() && delta.classes.set.is_empty());
}

#[test]
fn a_policy_for_nobody_is_resolved_and_that_is_all() {
    check(
        &mut mk_engine(),
        Event::Upsert(mk_policy("cache", "cache", "web", 6379)),
        &["resolved ingress of KubernetesNetworkPolicy shop/cache"],
    );
}

#[test]
fn a_changed_rule_compiles_one_program_on_one_node() {
    check(
        &mut mk_engine(),
        Event::Upsert(mk_policy("db", "db", "web", 5433)),
        &[
            "resolved ingress of KubernetesNetworkPolicy shop/db",
            "compiled an ingress program of 1 policies",
            "judged shop/db",
            "painted an ingress row for 0 groups",
            "painted an ingress row for 1 groups",
            "emitted node-2",
        ],
    );
}

#[test]
fn an_object_that_says_nothing_new_changes_nothing() {
    check(&mut mk_engine(), Event::Upsert(mk_policy("db", "db", "web", 5432)), &[]);
    check(
        &mut mk_engine(),
        Event::Upsert(mk_pod("web", "node-1", "10.0.0.1", json!({"app": "web"}))),
        &["judged shop/web"],
    );
}

#[test]
fn deletions_and_returns_within_one_round_change_nothing() {
    let mut engine = mk_engine();
    let policy = mk_policy("db", "db", "web", 5432);
    engine.apply(Event::Delete(policy.key()));
    check(&mut engine, Event::Upsert(policy), &["judged shop/db"]);
}
