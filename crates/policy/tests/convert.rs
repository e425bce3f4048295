//! A converted policy says the same as the one that it was, in random worlds; what cannot be
//! converted is refused with its field.

#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "makers of a test; a broken one must stop it"
)]

use bulkhead_api::Object;
use bulkhead_policy::World;
use bulkhead_policy::convert::{Surroundings, to_calico, to_kubernetes};
use bulkhead_testbed::worlds;
use bulkhead_types::{Decision, Packet};
use serde_json::{Value, json};

fn verdicts(objects: &[Object], packets: &[Packet]) -> Vec<[Option<Decision>; 2]> {
    let world = World::from_objects(objects);
    let word = |trace: &Option<bulkhead_policy::Trace>| trace.as_ref().map(|t| t.verdict.decision);
    let judged = packets.iter().map(|packet| world.judge(packet));
    judged.map(|judged| [word(&judged.egress), word(&judged.ingress)]).collect()
}

/// The objects with `converted` in the place of what it was made of.
fn with(objects: &[Object], at: usize, converted: Object) -> Vec<Object> {
    let mut objects = objects.to_vec();
    // A Calico policy of the same name would be replaced instead of judged beside it.
    let is_taken = objects.iter().enumerate().any(|(i, o)| i != at && o.key() == converted.key());
    if !is_taken {
        objects[at] = converted;
    }
    objects
}

#[test]
fn what_is_converted_says_the_same_there_and_back() {
    let (mut n_there, mut n_back, mut n_calico) = (0, 0, 0);
    for seed in 0..250 {
        let shape = worlds::Shape { policies: 6, broken: seed % 2 == 0, ..worlds::Shape::tidy() };
        let drawn = worlds::World::shaped(seed, shape);
        let packets = drawn.packets(120);
        let before = verdicts(&drawn.objects, &packets);
        for (at, object) in drawn.objects.iter().enumerate() {
            match object {
                Object::KubernetesNetworkPolicy(policy) => {
                    let Ok(calico) = to_calico(policy) else { continue };
                    n_there += 1;
                    let objects =
                        with(&drawn.objects, at, Object::NetworkPolicy(Box::new(calico.clone())));
                    assert_eq!(verdicts(&objects, &packets), before, "seed {seed}: {calico:#?}");
                    let back = to_kubernetes(&calico, Surroundings::of(&objects));
                    let back = back.expect("what came from Kubernetes goes back");
                    n_back += 1;
                    let back = Object::KubernetesNetworkPolicy(Box::new(back));
                    let objects = with(&drawn.objects, at, back);
                    assert_eq!(verdicts(&objects, &packets), before, "seed {seed}");
                }
                Object::NetworkPolicy(policy) => {
                    let around = Surroundings::of(&drawn.objects);
                    let Ok(kubernetes) = to_kubernetes(policy, around) else { continue };
                    n_calico += 1;
                    let converted = Object::KubernetesNetworkPolicy(Box::new(kubernetes));
                    let objects = with(&drawn.objects, at, converted.clone());
                    assert_eq!(verdicts(&objects, &packets), before, "seed {seed}: {converted:#?}");
                }
                _ => {}
            }
        }
    }
    assert!(n_there > 150 && n_back > 150 && n_calico > 0, "{n_there} {n_back} {n_calico}");
}

fn calico(spec: Value) -> Object {
    let object = json!({
        "apiVersion": "projectcalico.org/v3", "kind": "NetworkPolicy",
        "metadata": {"name": "p", "namespace": "shop"}, "spec": spec,
    });
    Object::from_value(object).expect("object")
}

fn refusals(spec: Value, others: &[Object]) -> Vec<String> {
    let object = calico(spec);
    let Object::NetworkPolicy(policy) = &object else { unreachable!() };
    let around = Surroundings::of(others.iter().chain([&object]));
    match to_kubernetes(policy, around) {
        Ok(_) => Vec::new(),
        Err(refusals) => refusals.into_iter().map(|r| format!("{}: {}", r.field, r.why)).collect(),
    }
}

#[test]
fn every_field_that_kubernetes_cannot_say_is_refused_by_name() {
    let rule = |fields: Value| {
        let mut rule = json!({"action": "Allow"});
        let map = rule.as_object_mut().expect("map");
        map.extend(fields.as_object().expect("map").clone());
        json!({"order": 1000, "selector": "app == 'web'", "ingress": [rule]})
    };
    let source = |fields: Value| rule(json!({"source": fields}));
    let cases = [
        (json!({"tier": "early", "order": 1000}), "spec.tier"),
        (json!({"order": 1000, "selector": "a contains 'b'"}), "spec.selector"),
        (json!({"order": 1000, "selector": "a == 'b' || c == 'd'"}), "spec.selector"),
        (
            json!({"order": 1000, "serviceAccountSelector": "a == 'b'"}),
            "spec.serviceAccountSelector",
        ),
        (rule(json!({"action": "Deny"})), "spec.ingress[0].action"),
        (rule(json!({"action": "Pass"})), "spec.ingress[0].action"),
        (rule(json!({"ipVersion": 4})), "spec.ingress[0].ipVersion"),
        (rule(json!({"notProtocol": "TCP"})), "spec.ingress[0].notProtocol"),
        (rule(json!({"protocol": "ICMP", "icmp": {"type": 8}})), "spec.ingress[0].icmp"),
        (rule(json!({"protocol": 47})), "spec.ingress[0].protocol"),
        (rule(json!({"http": {"methods": ["GET"]}})), "spec.ingress[0].http"),
        (rule(json!({"destination": {"nets": ["10.0.0.0/8"]}})), "spec.ingress[0].destination"),
        (
            rule(json!({"protocol": "TCP", "source": {"ports": [80]}})),
            "spec.ingress[0].source.ports",
        ),
        (
            rule(json!({"protocol": "TCP", "destination": {"notPorts": [80]}})),
            "spec.ingress[0].destination.notPorts",
        ),
        (source(json!({"notSelector": "has(a)"})), "spec.ingress[0].source.notSelector"),
        (
            source(json!({"serviceAccounts": {"names": ["a"]}})),
            "spec.ingress[0].source.serviceAccounts",
        ),
        (source(json!({"services": {"name": "a"}})), "spec.ingress[0].source.services"),
        (
            source(json!({"selector": "has(a)", "nets": ["10.0.0.0/8"]})),
            "spec.ingress[0].source.nets",
        ),
        (
            source(json!({"namespaceSelector": "global()"})),
            "spec.ingress[0].source.namespaceSelector",
        ),
    ];
    for (spec, field) in cases {
        let said = refusals(spec.clone(), &[]);
        assert!(said.iter().any(|why| why.starts_with(&format!("{field}:"))), "{spec}: {said:?}");
    }
    let fine = [
        rule(json!({})),
        rule(json!({"protocol": "TCP", "destination": {"ports": [80, "90:99", "http"]}})),
        source(
            json!({"selector": "app == 'a' && tier in {'b', 'c'}", "namespaceSelector": "all()"}),
        ),
        source(json!({"nets": ["10.0.0.0/8"], "notNets": ["10.1.0.0/16", "192.0.2.0/24"]})),
    ];
    for spec in fine {
        assert_eq!(refusals(spec.clone(), &[]), Vec::<String>::new(), "{spec}");
    }
}

#[test]
fn order_and_network_sets_matter_only_where_there_is_something_to_tell_apart() {
    let spec = json!({
        "order": 5, "selector": "app == 'web'",
        "ingress": [{"action": "Allow", "source": {"selector": "has(a)"}}],
    });
    assert_eq!(refusals(spec.clone(), &[]), Vec::<String>::new());
    let deny = Object::from_value(json!({
        "apiVersion": "projectcalico.org/v3", "kind": "GlobalNetworkPolicy",
        "metadata": {"name": "g"}, "spec": {"ingress": [{"action": "Deny"}]},
    }));
    let said = refusals(spec.clone(), &[deny.expect("object")]);
    assert!(said.len() == 1 && said[0].starts_with("spec.order:"), "{said:?}");
    let set = Object::from_value(json!({
        "apiVersion": "projectcalico.org/v3", "kind": "NetworkSet",
        "metadata": {"name": "s", "namespace": "shop"}, "spec": {"nets": ["192.0.2.0/24"]},
    }));
    let said = refusals(spec, &[set.expect("object")]);
    assert!(said.len() == 1 && said[0].contains("network sets"), "{said:?}");
}
