//! What cannot be understood is read closed and named; each case beside its sound twin.

use serde_json::{Value, json};

use super::{lower, mk_gnp, mk_knp, mk_np, show};

/// A rule of the given action with the given criteria: how it is lowered, and what is said.
fn broken(action: &str, criteria: Value) -> (Vec<String>, Vec<String>) {
    let mut rule = criteria;
    rule["action"] = json!(action);
    let (policy, said) = lower(mk_gnp(json!({"ingress": [{"action": "Log"}, rule]})));
    let rules = show::rules(policy.ingress.as_deref()).expect("ingress");
    (rules[1..].to_vec(), said)
}

#[test]
fn a_broken_allow_is_left_out_and_a_broken_deny_or_pass_denies_everything() {
    let criteria = || json!({"source": {"selector": "app = 'web'"}});
    for (action, expected) in
        [("Allow", vec![]), ("Log", vec![]), ("Deny", vec!["1 deny"]), ("Pass", vec!["1 deny"])]
    {
        let (rules, said) = broken(action, criteria());
        assert_eq!(rules, expected, "{action}");
        let [said] = said.as_slice() else { panic!("{said:?}") };
        assert!(said.starts_with("error spec.ingress[1].source.selector: selector: at byte 4"));
        let effect = if expected.is_empty() { "left out" } else { "denies everything" };
        assert!(said.ends_with(&format!("the rule {effect}").replace("rule left", "rule is left")));
    }
    let (rules, said) = broken("Deny", json!({"source": {"selector": "app == 'web'"}}));
    assert_eq!((rules, said), (vec![r#"1 deny | src is app == "web""#.to_owned()], vec![]));
}

#[test]
fn every_kind_of_nonsense_is_named() {
    let tcp = |side: Value| json!({"protocol": "TCP", "destination": side});
    for (criteria, field, message) in [
        (json!({"protocol": "TPC"}), "protocol", "unknown protocol `TPC`"),
        (json!({"protocol": 0}), "protocol", "`0` is not a protocol number"),
        (json!({"notProtocol": 256}), "notProtocol", "`256` is not a protocol number"),
        (json!({"ipVersion": 5}), "ipVersion", "`5` is not an IP version"),
        (json!({"protocol": "ICMP", "icmp": {"code": 1}}), "icmp.code", "a code needs a `type`"),
        (json!({"protocol": "ICMP", "icmp": {"type": 255}}), "icmp.type", "`255` is out of range"),
        (
            json!({"protocol": 1, "notICMP": {"type": 1, "code": 256}}),
            "notICMP.code",
            "out of range",
        ),
        (json!({"protocol": "TCP", "icmp": {"type": 8}}), "icmp", "need `protocol` ICMP or ICMPv6"),
        (json!({"source": {"nets": ["10.0.0/8"]}}), "source.nets[0]", "`10.0.0/8` is not an IP"),
        (json!({"source": {"notNets": ["::/0"]}}), "source.notNets", "excludes every address"),
        (json!({"destination": {"ports": [80]}}), "destination.ports", "numbers need `protocol`"),
        (
            json!({"protocol": "ICMP", "destination": {"ports": ["http"]}}),
            "destination.ports",
            "protocol `ICMP` has no ports",
        ),
        (tcp(json!({"ports": ["90:80"]})), "destination.ports[0]", "`90:80` is out of order"),
        (tcp(json!({"ports": [65536]})), "destination.ports[0]", "a port is 0 to 65535"),
        (tcp(json!({"notPorts": ["a b"]})), "destination.notPorts[0]", "`a b` is not a port"),
        (
            json!({"source": {"selector": "global()"}}),
            "source.selector",
            "only in a rule's `namespaceSelector`",
        ),
        (
            json!({"source": {"namespaceSelector": "global() || has(a)"}}),
            "source.namespaceSelector",
            "must stand alone",
        ),
        (
            json!({"source": {"serviceAccounts": {"selector": "("}}}),
            "source.serviceAccounts.selector",
            "selector: at byte 1",
        ),
    ] {
        let (rules, said) = broken("Deny", criteria.clone());
        assert_eq!(rules, ["1 deny"], "{criteria}");
        let [said] = said.as_slice() else { panic!("{criteria}: {said:?}") };
        assert!(said.starts_with(&format!("error spec.ingress[1].{field}: ")), "{said}");
        assert!(said.contains(message), "{said}");
        assert_eq!(broken("Allow", criteria.clone()).0, Vec::<String>::new(), "{criteria}");
    }
}

#[test]
fn nobody_passes_a_policy_whose_subject_is_unknown() {
    let allow = || json!([{"action": "Allow"}]);
    for (object, subject) in [
        (
            mk_np(json!({"selector": "a = 'b'", "ingress": allow(), "egress": allow()})),
            r#"projectcalico.org/namespace == "shop""#,
        ),
        (
            mk_gnp(json!({
                "namespaceSelector": "x = 'y'", "selector": "has(a)",
                "ingress": allow(), "egress": allow(),
            })),
            "has(a)",
        ),
        (
            mk_gnp(json!({
                "serviceAccountSelector": "global()", "namespaceSelector": "has(x)",
                "ingress": allow(), "egress": allow(),
            })),
            "has(pcns.x)",
        ),
    ] {
        let (policy, said) = lower(object);
        assert_eq!(policy.subject.canonical(), subject, "what is understood still narrows");
        for rules in [&policy.ingress, &policy.egress] {
            assert_eq!(show::rules(rules.as_deref()), Some(vec!["0 deny".to_owned()]));
        }
        assert_eq!(said.len(), 1);
        assert!(said[0].ends_with(
            "the policy denies everything in its directions to all endpoints of its scope"
        ));
    }
}

#[test]
fn a_broken_policy_is_closed_only_in_its_directions() {
    let (policy, _) = lower(mk_np(json!({"selector": "(", "types": ["Egress"]})));
    assert_eq!(policy.ingress, None);
    assert_eq!(show::rules(policy.egress.as_deref()), Some(vec!["0 deny".to_owned()]));
}

/// Kubernetes rules only allow, so what is broken is left out and its neighbours stay.
#[test]
fn broken_kubernetes_peers_and_ports_are_left_out() {
    let good = || json!({"ipBlock": {"cidr": "1.0.0.0/8"}});
    for (peer, message) in [
        (json!({}), "a peer needs"),
        (json!({"ipBlock": {"cidr": "1.0.0/8"}}), "`1.0.0/8` is not an IP address or a CIDR"),
        (json!({"ipBlock": {"cidr": "1.0.0.0/8"}, "podSelector": {}}), "cannot be combined"),
        (
            json!({"ipBlock": {"cidr": "1.0.0.0/8", "except": ["2.0.0.0/9"]}}),
            "`2.0.0.0/9` is not strictly within `1.0.0.0/8`",
        ),
        (
            json!({"ipBlock": {"cidr": "1.0.0.0/8", "except": ["1.0.0.0/8"]}}),
            "is not strictly within",
        ),
        (json!({"podSelector": {"matchLabels": {"a b": "c"}}}), "`a b` is not a label key"),
        (
            json!({"podSelector": {"matchExpressions": [{"key": "a", "operator": "in", "values": ["b"]}]}}),
            "`in` is unknown",
        ),
        (
            json!({"namespaceSelector": {"matchExpressions": [{"key": "a", "operator": "In"}]}}),
            "need values",
        ),
        (
            json!({"podSelector": {"matchExpressions": [
                {"key": "a", "operator": "Exists", "values": ["b"]},
            ]}}),
            "take no values",
        ),
    ] {
        let (policy, said) =
            lower(mk_knp(json!({"podSelector": {}, "ingress": [{"from": [peer, good()]}]})));
        let expected = vec!["0 allow | src nets 1.0.0.0/8".to_owned()];
        assert_eq!(show::rules(policy.ingress.as_deref()), Some(expected), "{peer}");
        assert_eq!(said.len(), 1, "{said:?}");
        assert!(said[0].contains(message), "{said:?}");
        assert!(said[0].ends_with("the peer is left out"), "{said:?}");
    }
    for (port, message) in [
        (json!({"port": 80, "protocol": "ICMP"}), "`ICMP` is not supported"),
        (json!({"port": 0}), "is not a range within 1 to 65535"),
        (json!({"port": 90, "endPort": 80}), "`90` to `80` is not a range"),
        (json!({"endPort": 80}), "`endPort` needs `port`"),
        (json!({"port": "http", "endPort": 80}), "cannot begin at the named port `http`"),
    ] {
        let rules = json!([{"ports": [port, {"port": 443}]}]);
        let (policy, said) = lower(mk_knp(json!({"podSelector": {}, "ingress": rules})));
        let expected = vec!["0 allow proto TCP | dst ports 443".to_owned()];
        assert_eq!(show::rules(policy.ingress.as_deref()), Some(expected), "{port}");
        assert!(said[0].contains(message) && said[0].ends_with("the port is left out"), "{said:?}");
    }
}

/// Leaving out the only peer must not turn "from these" into "from everybody".
#[test]
fn a_rule_whose_peers_are_all_broken_allows_nobody() {
    let rules = json!([{"from": [{"ipBlock": {"cidr": "x"}}]}]);
    let (policy, _) = lower(mk_knp(json!({"podSelector": {}, "ingress": rules})));
    assert_eq!(show::rules(policy.ingress.as_deref()), Some(vec![]));
    let rules = json!([{"ports": [{"port": 0}]}]);
    let (policy, _) = lower(mk_knp(json!({"podSelector": {}, "ingress": rules})));
    assert_eq!(show::rules(policy.ingress.as_deref()), Some(vec![]));
}

#[test]
fn a_kubernetes_policy_with_a_broken_subject_isolates_its_namespace() {
    let spec = json!({
        "podSelector": {"matchExpressions": [{"key": "a", "operator": "Maybe"}]}, "ingress": [{}],
    });
    let (policy, said) = lower(mk_knp(spec));
    assert_eq!(show::rules(policy.ingress.as_deref()), Some(vec!["0 deny".to_owned()]));
    assert!(said[0].contains("isolates all pods of its namespace"), "{said:?}");
    let spec = json!({"podSelector": {}, "policyTypes": ["ingress"], "ingress": [{}]});
    let (policy, said) = lower(mk_knp(spec));
    assert!(policy.ingress.is_some() && policy.egress.is_some());
    assert!(said[0].contains("`ingress` is not a policy type"), "{said:?}");
}
