//! Evaluation order: tiers, policies, rules, ends. Each denial beside the change that allows.

use bulkhead_api::Object;
use bulkhead_types::{Decision, Direction, EndpointId, Packet, Protocol, Verdict};
use serde_json::{Value, json};

use super::World;
use crate::explain;

fn object(value: Value) -> Object {
    Object::from_value(value.clone()).unwrap_or_else(|e| panic!("{e}: {value}"))
}

fn mk_pod() -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": "db", "namespace": "shop", "labels": {"app": "db"}},
        "spec": {"containers": [{"name": "c", "ports": [
            {"name": "sql", "containerPort": 5432},
            {"name": "sql", "containerPort": 5433, "protocol": "UDP"},
        ]}]},
        "status": {"podIPs": [{"ip": "10.0.0.1"}, {"ip": "fd00::1"}]},
    })
}

fn mk_gnp(name: &str, spec: Value) -> Value {
    json!({
        "apiVersion": "projectcalico.org/v3", "kind": "GlobalNetworkPolicy",
        "metadata": {"name": name}, "spec": spec,
    })
}

fn mk_tier(name: &str, order: i64, default: &str) -> Value {
    json!({
        "apiVersion": "projectcalico.org/v3", "kind": "Tier", "metadata": {"name": name},
        "spec": {"order": order, "defaultAction": default},
    })
}

fn mk_packet(src: &str, dst: &str, protocol: Protocol, dst_port: u16) -> Packet {
    Packet {
        src: src.parse().expect("address"),
        dst: dst.parse().expect("address"),
        protocol,
        src_port: 40000,
        dst_port,
        icmp_type: 0,
        icmp_code: 0,
    }
}

/// TCP 5432 from 192.0.2.1 to the pod `shop/db`.
fn ingress(objects: Vec<Value>) -> Verdict {
    let objects: Vec<Object> = objects.into_iter().chain([mk_pod()]).map(object).collect();
    let packet = mk_packet("192.0.2.1", "10.0.0.1", Protocol::TCP, 5432);
    World::from_objects(&objects).decide(
        &EndpointId::pod("shop", "db"),
        Direction::Ingress,
        &packet,
    )
}

fn check(objects: Vec<Value>, expected: &str) {
    assert_eq!(explain::verdict(&ingress(objects)), expected);
}

#[test]
fn without_policy_the_profile_allows() {
    check(vec![], "allowed by profile kns.shop: no tier decided");
}

#[test]
fn a_policy_that_applies_closes_its_tier() {
    let end = "denied at the end of tier default: its policies apply and no rule matched";
    check(vec![mk_gnp("p", json!({"types": ["Ingress"]}))], end);
    let logged =
        format!("{end}; logged by rule 0 (ingress) of GlobalNetworkPolicy p in tier default");
    check(vec![mk_gnp("p", json!({"ingress": [{"action": "Log"}]}))], &logged);
    // Not for this direction, or not for this endpoint.
    let open = "allowed by profile kns.shop: no tier decided";
    check(vec![mk_gnp("p", json!({"types": ["Egress"]}))], open);
    check(vec![mk_gnp("p", json!({"selector": "app == 'web'", "types": ["Ingress"]}))], open);
}

#[test]
fn the_first_match_in_a_policy_decides() {
    let rules = |first: &str, second: &str| {
        vec![mk_gnp("p", json!({"ingress": [{"action": first}, {"action": second}]}))]
    };
    check(
        rules("Allow", "Deny"),
        "allowed by rule 0 (ingress) of GlobalNetworkPolicy p in tier default",
    );
    check(
        rules("Deny", "Allow"),
        "denied by rule 0 (ingress) of GlobalNetworkPolicy p in tier default",
    );
    check(
        rules("Log", "Allow"),
        "allowed by rule 1 (ingress) of GlobalNetworkPolicy p in tier default; logged by rule 0 \
         (ingress) of GlobalNetworkPolicy p in tier default",
    );
}

#[test]
fn policies_go_by_order_and_then_by_name() {
    let p = |name: &str, order: Value, action: &str| {
        mk_gnp(name, json!({"order": order, "ingress": [{"action": action}]}))
    };
    for (first, second, winner) in [
        (p("a", json!(2), "Allow"), p("b", json!(1), "Deny"), Decision::Deny),
        (p("a", json!(1), "Allow"), p("b", json!(2), "Deny"), Decision::Allow),
        (p("a", json!(1), "Allow"), p("b", json!(1), "Deny"), Decision::Allow),
        (p("a", json!(null), "Allow"), p("b", json!(1e9), "Deny"), Decision::Deny),
        (p("a", json!(null), "Allow"), p("b", json!(null), "Deny"), Decision::Allow),
    ] {
        assert_eq!(ingress(vec![second, first]).decision, winner);
    }
}

#[test]
fn tiers_go_by_order_and_a_missing_one_is_last_and_closed() {
    let p = |tier: &str, action: &str| {
        mk_gnp(tier, json!({"tier": tier, "ingress": [{"action": action}]}))
    };
    let early = || mk_tier("early", 1, "Deny");
    check(
        vec![early(), p("early", "Deny"), p("default", "Allow")],
        "denied by rule 0 (ingress) of GlobalNetworkPolicy early in tier early",
    );
    check(
        vec![early(), p("early", "Pass"), p("default", "Allow")],
        "allowed by rule 0 (ingress) of GlobalNetworkPolicy default in tier default",
    );
    // The tier is not there: after all others.
    check(
        vec![p("early", "Deny"), p("default", "Allow")],
        "allowed by rule 0 (ingress) of GlobalNetworkPolicy default in tier default",
    );
    check(
        vec![mk_gnp("p", json!({"tier": "ghost", "types": ["Ingress"]}))],
        "denied at the end of tier ghost: its policies apply and no rule matched",
    );
}

#[test]
fn the_end_of_a_tier_denies_or_passes() {
    let quiet = || mk_gnp("quiet", json!({"tier": "early", "types": ["Ingress"]}));
    check(
        vec![mk_tier("early", 1, "Deny"), quiet()],
        "denied at the end of tier early: its policies apply and no rule matched",
    );
    check(
        vec![mk_tier("early", 1, "Pass"), quiet()],
        "allowed by profile kns.shop: no tier decided",
    );
}

#[test]
fn a_pass_skips_the_rest_of_the_tier() {
    let policies = |last: Value| {
        vec![
            mk_tier("early", 1, "Deny"),
            mk_gnp("a", json!({"tier": "early", "ingress": [{"action": "Pass"}]})),
            last,
        ]
    };
    let deny = |tier: &str| mk_gnp("b", json!({"tier": tier, "ingress": [{"action": "Deny"}]}));
    check(policies(deny("early")), "allowed by profile kns.shop: no tier decided");
    check(
        policies(deny("default")),
        "denied by rule 0 (ingress) of GlobalNetworkPolicy b in tier default",
    );
}

#[test]
fn a_named_port_is_what_the_workload_calls_so() {
    let allow = json!({"action": "Allow", "destination": {"ports": ["sql"]}});
    let tcp = json!({"action": "Allow", "protocol": "TCP", "destination": {"ports": ["sql"]}});
    for (rule, protocol, port, decision) in [
        (&allow, Protocol::TCP, 5432, Decision::Allow),
        (&allow, Protocol::TCP, 5433, Decision::Deny),
        (&allow, Protocol::UDP, 5433, Decision::Allow),
        (&allow, Protocol::UDP, 5432, Decision::Deny),
        (&tcp, Protocol::TCP, 5432, Decision::Allow),
        (&tcp, Protocol::UDP, 5433, Decision::Deny),
    ] {
        let objects = [mk_pod(), mk_gnp("p", json!({"ingress": [rule]}))].map(object);
        let packet = mk_packet("192.0.2.1", "10.0.0.1", protocol, port);
        let verdict = World::from_objects(&objects).decide(
            &EndpointId::pod("shop", "db"),
            Direction::Ingress,
            &packet,
        );
        assert_eq!(verdict.decision, decision, "{rule} {protocol} {port}");
    }
}

/// A positive selector asks for something known; a negated one lets the unknown in.
#[test]
fn unknown_addresses_and_negation() {
    let with = |source: Value| {
        vec![mk_gnp("p", json!({"ingress": [{"action": "Allow", "source": source}]}))]
    };
    for (source, decision) in [
        (json!({"selector": "!has(x)"}), Decision::Deny),
        (json!({"notSelector": "has(x)"}), Decision::Allow),
        (json!({"selector": "all()"}), Decision::Deny),
        (json!({"notSelector": "all()"}), Decision::Allow),
        (json!({"namespaceSelector": "global()"}), Decision::Deny),
        (json!({"notNets": ["192.0.2.0/24"]}), Decision::Deny),
        (json!({"notNets": ["192.0.3.0/24"]}), Decision::Allow),
    ] {
        assert_eq!(ingress(with(source.clone())).decision, decision, "{source}");
    }
    let set = |kind: &str, namespace: Value| {
        json!({
            "apiVersion": "projectcalico.org/v3", "kind": kind,
            "metadata": {"name": "s", "namespace": namespace, "labels": {"y": "z"}},
            "spec": {"nets": ["192.0.2.0/24"]},
        })
    };
    for (source, kind, decision) in [
        (json!({"selector": "!has(x)"}), "GlobalNetworkSet", Decision::Allow),
        (json!({"selector": "y == 'z'"}), "GlobalNetworkSet", Decision::Allow),
        (json!({"namespaceSelector": "global()"}), "GlobalNetworkSet", Decision::Allow),
        (json!({"namespaceSelector": "global()"}), "NetworkSet", Decision::Deny),
        (json!({"namespaceSelector": "all()"}), "NetworkSet", Decision::Allow),
        (json!({"namespaceSelector": "all()"}), "GlobalNetworkSet", Decision::Deny),
    ] {
        let namespace = if kind == "NetworkSet" { json!("shop") } else { json!(null) };
        let mut objects = with(source.clone());
        objects.push(set(kind, namespace));
        assert_eq!(ingress(objects).decision, decision, "{source} {kind}");
    }
}

#[test]
fn what_is_not_the_endpoints_own_is_unknown() {
    let world = World::from_objects(&[object(mk_pod())]);
    let packet = mk_packet("192.0.2.1", "10.0.0.2", Protocol::TCP, 80);
    for id in [EndpointId::pod("shop", "db"), EndpointId::pod("shop", "nobody")] {
        assert_eq!(world.decide(&id, Direction::Ingress, &packet), Verdict::unknown());
    }
}

#[test]
fn a_connection_needs_both_ends() {
    let mut peer = mk_pod();
    peer["metadata"]["name"] = json!("web");
    peer["status"]["podIPs"] = json!([{"ip": "10.0.0.2"}]);
    let packet = mk_packet("10.0.0.2", "10.0.0.1", Protocol::TCP, 5432);
    for (spec, allowed) in [
        (json!({"selector": "app == 'x'"}), true),
        (json!({"types": ["Ingress"]}), false),
        (json!({"types": ["Egress"]}), false),
        (json!({"ingress": [{"action": "Allow"}], "egress": [{"action": "Allow"}]}), true),
    ] {
        let objects = [mk_pod(), peer.clone(), mk_gnp("p", spec.clone())].map(object);
        let judgement = World::from_objects(&objects).judge(&packet);
        assert!(judgement.egress.is_some() && judgement.ingress.is_some());
        assert_eq!(judgement.is_allowed(), allowed, "{spec}");
    }
}
