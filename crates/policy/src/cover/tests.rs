//! Which pairs of rules are claimed to cover one another, and which are not.

use bulkhead_api::Object;
use serde_json::{Value, json};

use super::{is_covered, never};
use crate::rule::Rule;

/// Rules as a Calico policy writes them.
fn rules(written: &Value) -> Vec<Rule> {
    let object = Object::from_value(json!({
        "apiVersion": "projectcalico.org/v3", "kind": "GlobalNetworkPolicy",
        "metadata": {"name": "p"}, "spec": {"ingress": written},
    }));
    let (policy, said) = crate::lower::policy(&object.expect("object")).expect("policy");
    assert!(said.is_empty(), "{said:?}");
    policy.ingress.expect("rules").to_vec()
}

/// Whether the last rule is covered by those before it.
fn is_last_covered(written: Value) -> bool {
    let rules = rules(&written);
    let (last, earlier) = rules.split_last().expect("a rule");
    is_covered(last, earlier)
}

fn allow(fields: Value) -> Value {
    let mut rule = json!({"action": "Allow"});
    let map = rule.as_object_mut().expect("map");
    map.extend(fields.as_object().expect("map").clone());
    rule
}

fn tcp(ports: Value) -> Value {
    allow(json!({"protocol": "TCP", "destination": {"ports": ports}}))
}

#[test]
fn several_rules_cover_one_together() {
    assert!(is_last_covered(json!([
        tcp(json!(["0:99"])),
        tcp(json!(["100:65535"])),
        tcp(json!([50]))
    ])));
    let all = allow(json!({"protocol": "TCP"}));
    assert!(is_last_covered(json!([tcp(json!(["0:99"])), tcp(json!(["100:65535"])), all])));
    assert!(!is_last_covered(json!([tcp(json!(["0:99"])), tcp(json!(["101:65535"])), all])));
    let from = |net: &str| allow(json!({"source": {"nets": [net]}}));
    let halves = json!([from("10.0.0.0/9"), from("10.128.0.0/9"), from("10.0.0.0/8")]);
    assert!(is_last_covered(halves));
    assert!(!is_last_covered(json!([
        from("10.0.0.0/9"),
        from("10.192.0.0/10"),
        from("10.0.0.0/8")
    ])));
    let everywhere = json!([from("0.0.0.0/0"), from("::/0"), allow(json!({}))]);
    assert!(is_last_covered(everywhere));
    assert!(!is_last_covered(json!([from("0.0.0.0/0"), allow(json!({}))])));
}

#[test]
fn an_earlier_rule_that_asks_for_anything_more_covers_nothing() {
    let any = allow(json!({}));
    let strict = [
        allow(json!({"protocol": "TCP"})),
        allow(json!({"notProtocol": "TCP"})),
        allow(json!({"ipVersion": 4})),
        allow(json!({"source": {"selector": "all()"}})),
        allow(json!({"source": {"notSelector": "a == 'b'"}})),
        allow(json!({"destination": {"notNets": ["10.0.0.0/8"]}})),
        allow(json!({"protocol": "ICMP", "icmp": {"type": 8}})),
        tcp(json!([80])),
    ];
    for strict in strict {
        assert!(!is_last_covered(json!([strict, any])), "{strict}");
        assert!(is_last_covered(json!([any, strict])), "{strict}");
        assert!(is_last_covered(json!([strict, strict])), "{strict}");
    }
}

#[test]
fn named_ports_count_only_under_a_selector_that_is_as_wide() {
    let named = |selector: &str, ports: Value| {
        allow(json!({"protocol": "TCP", "destination": {"selector": selector, "ports": ports}}))
    };
    let wide = named("has(app)", json!(["http"]));
    let narrow = named("app == 'web'", json!(["http"]));
    assert!(is_last_covered(json!([wide, narrow])));
    assert!(!is_last_covered(json!([narrow, wide])));
    let all = named("app == 'web'", json!(["0:65535"]));
    assert!(is_last_covered(json!([all, narrow])));
    let excluded = allow(json!({"protocol": "TCP", "destination": {"notPorts": ["http"]}}));
    assert!(!is_last_covered(json!([excluded, tcp(json!([80]))])));
    let excluded = allow(json!({"protocol": "TCP", "destination": {"notPorts": [22]}}));
    assert!(is_last_covered(json!([excluded, tcp(json!([80]))])));
    assert!(!is_last_covered(json!([excluded, tcp(json!(["20:30"]))])));
}

#[test]
fn rules_that_match_nothing_say_why() {
    let why = |fields: Value| rules(&json!([allow(fields)])).first().and_then(never);
    let never_matches = [
        (json!({"protocol": "TCP", "notProtocol": "TCP"}), "are both TCP"),
        (json!({"source": {"selector": "has(a) && !has(a)"}}), "contradicts itself"),
        (json!({"source": {"selector": "a == 'b'", "notSelector": "has(a)"}}), "notSelector"),
        (json!({"source": {"nets": ["10.1.0.0/16"], "notNets": ["10.0.0.0/8"]}}), "notNets"),
        (json!({"ipVersion": 6, "source": {"nets": ["10.1.0.0/16"]}}), "other IP version"),
        (
            json!({"source": {"nets": ["10.0.0.0/8"]}, "destination": {"nets": ["fd00::/8"]}}),
            "at once",
        ),
        (
            json!({"protocol": "TCP", "destination": {"ports": [80], "notPorts": ["1:100"]}}),
            "notPorts",
        ),
    ];
    for (fields, expected) in never_matches {
        let said = why(fields.clone()).unwrap_or_default();
        assert!(said.contains(expected), "{fields}: {said}");
    }
    let may_match = [
        json!({}),
        json!({"protocol": "TCP", "notProtocol": "UDP"}),
        json!({"source": {"selector": "has(a)", "notSelector": "a == 'b'"}}),
        json!({"source": {"nets": ["10.0.0.0/8"], "notNets": ["10.1.0.0/16"]}}),
        json!({"protocol": "TCP", "destination": {"ports": ["80:90"], "notPorts": [80]}}),
    ];
    for fields in may_match {
        assert_eq!(why(fields.clone()), None, "{fields}");
    }
}
