//! ClusterNetworkPolicy, AdminNetworkPolicy and BaselineAdminNetworkPolicy.

use bulkhead_types::PolicyKind;
use serde_json::{Value, json};

use super::{check, clean, lower, show};
use crate::rule::{Order, Policy};

const K8S: &str = r#"projectcalico.org/orchestrator == "k8s""#;

fn mk_cluster(spec: Value) -> Value {
    json!({
        "apiVersion": "policy.networking.k8s.io/v1alpha2", "kind": "ClusterNetworkPolicy",
        "metadata": {"name": "p"}, "spec": spec,
    })
}

fn mk_admin(kind: &str, spec: Value) -> Value {
    json!({
        "apiVersion": "policy.networking.k8s.io/v1alpha1", "kind": kind,
        "metadata": {"name": "default"}, "spec": spec,
    })
}

/// A sound policy of tier Admin with these rules.
fn with(direction: &str, rules: Value) -> Value {
    let mut spec = json!({"tier": "Admin", "priority": 10, "subject": {"namespaces": {}}});
    spec[direction] = rules;
    mk_cluster(spec)
}

fn place(policy: &Policy) -> (&str, Order) {
    (&policy.tier, policy.order)
}

#[test]
fn tier_and_priority_say_where_it_stands() {
    let at = |tier: &str, priority: i64| {
        clean(mk_cluster(json!({
            "tier": tier, "priority": priority, "subject": {"namespaces": {}},
        })))
    };
    assert_eq!(place(&at("Admin", 0)), ("kube-admin", Order::new(Some(0.0))));
    assert_eq!(place(&at("Baseline", 1000)), ("kube-baseline", Order::new(Some(1000.0))));
    let admin = clean(mk_admin(
        "AdminNetworkPolicy",
        json!({"priority": 7, "subject": {"namespaces": {}}}),
    ));
    assert_eq!(place(&admin), ("kube-admin", Order::new(Some(7.0))));
    assert_eq!(admin.id.kind, PolicyKind::AdminNetworkPolicy);
    let baseline =
        clean(mk_admin("BaselineAdminNetworkPolicy", json!({"subject": {"namespaces": {}}})));
    assert_eq!(place(&baseline), ("kube-baseline", Order::LAST));
}

#[test]
fn the_subject_is_namespaces_or_pods() {
    let subject = |subject: Value| {
        let spec = json!({"tier": "Admin", "priority": 1, "subject": subject});
        clean(mk_cluster(spec)).subject.canonical().to_owned()
    };
    assert_eq!(
        subject(json!({"namespaces": {}})),
        format!("({K8S} && has(projectcalico.org/namespace))")
    );
    assert_eq!(
        subject(json!({"pods": {
            "namespaceSelector": {"matchLabels": {"env": "prod"}},
            "podSelector": {"matchLabels": {"app": "db"}},
        }})),
        format!(r#"({K8S} && pcns.env == "prod" && app == "db")"#)
    );
}

#[test]
fn only_directions_with_rules_are_decided() {
    let policy = clean(with("ingress", json!([])));
    assert!(policy.ingress.is_none() && policy.egress.is_none());
    let policy =
        clean(with("egress", json!([{"action": "Pass", "to": [{"networks": ["10.0.0.0/8"]}]}])));
    assert!(policy.ingress.is_none() && policy.egress.is_some());
}

#[test]
fn peers_times_protocols_share_the_written_index() {
    check(
        with(
            "ingress",
            json!([{"name": "a", "action": "Accept", "from": [
                {"namespaces": {"matchLabels": {"env": "prod"}}},
                {"pods": {"podSelector": {"matchLabels": {"app": "web"}}}},
            ], "protocols": [
                {"tcp": {"destinationPort": {"number": 80}}},
                {"udp": {}},
                {"tcp": {"destinationPort": {"range": {"start": 90, "end": 99}}}},
                {"destinationNamedPort": "http"},
            ]}]),
        ),
        Some(&[
            &format!(
                r#"0 allow proto TCP | src is ({K8S} && pcns.env == "prod") | dst ports 80,90-99"#
            ),
            &format!(r#"0 allow proto UDP | src is ({K8S} && pcns.env == "prod")"#),
            &format!(r#"0 allow | src is ({K8S} && pcns.env == "prod") | dst ports http"#),
            &format!(
                r#"0 allow proto TCP | src is ({K8S} && has(projectcalico.org/namespace) && app == "web") | dst ports 80,90-99"#
            ),
            &format!(
                r#"0 allow proto UDP | src is ({K8S} && has(projectcalico.org/namespace) && app == "web")"#
            ),
            &format!(
                r#"0 allow | src is ({K8S} && has(projectcalico.org/namespace) && app == "web") | dst ports http"#
            ),
        ]),
        None,
    );
}

#[test]
fn egress_also_knows_networks_nodes_and_names() {
    check(
        with(
            "egress",
            json!([
                {"action": "Deny", "to": [{"networks": ["10.1.2.3/8", "fd00::/8"]}]},
                {"action": "Accept", "to": [{"nodes": {"matchLabels": {"zone": "a"}}}]},
                {"action": "Accept", "to": [{"domainNames": ["*.Example.com.", "a.org"]}]},
            ]),
        ),
        None,
        Some(&[
            "0 deny | dst nets 10.0.0.0/8,fd00::/8",
            r#"1 allow | dst nodes zone == "a""#,
            "2 allow | dst names *.example.com,a.org",
        ]),
    );
}

#[test]
fn the_forerunners_write_ports_in_another_way() {
    let mut spec = json!({"priority": 3, "subject": {"namespaces": {}}});
    spec["egress"] = json!([{"action": "Allow", "to": [{"networks": ["1.0.0.0/8"]}], "ports": [
        {"portNumber": {"protocol": "UDP", "port": 53}},
        {"portRange": {"start": 8000, "end": 8010}},
        {"namedPort": "web"},
    ]}]);
    let expected = [
        "0 allow proto UDP | dst nets 1.0.0.0/8 ports 53",
        "0 allow proto TCP | dst nets 1.0.0.0/8 ports 8000-8010",
        "0 allow | dst nets 1.0.0.0/8 ports web",
    ];
    check(mk_admin("AdminNetworkPolicy", spec.clone()), None, Some(&expected));
    spec.as_object_mut().expect("an object").remove("priority");
    check(mk_admin("BaselineAdminNetworkPolicy", spec), None, Some(&expected));
}

/// What an egress rule of the action becomes, and what is said.
fn broken(action: &str, mut rule: Value) -> (Vec<String>, Vec<String>) {
    rule["action"] = json!(action);
    let (policy, said) = lower(with("egress", json!([rule])));
    (show::rules(policy.egress.as_deref()).expect("egress"), said)
}

#[test]
fn an_accept_that_is_not_understood_is_left_out_and_anything_else_denies() {
    let everybody = || json!([{"namespaces": {}}]);
    for (rule, message) in [
        (json!({}), "a rule needs a peer"),
        (json!({"to": []}), "a rule needs a peer"),
        (json!({"to": [{}]}), "a peer has exactly one field"),
        (json!({"to": [{"networks": []}]}), "a peer has exactly one field"),
        (json!({"to": [{"networks": ["a"]}]}), "`a` is not an IP address or a CIDR"),
        (json!({"to": [{"domainNames": ["a..b"]}]}), "`a..b` is not a name"),
        (
            json!({"to": [{"namespaces": {}, "networks": ["1.0.0.0/8"]}]}),
            "a peer has exactly one field",
        ),
        (json!({"to": everybody(), "from": everybody()}), "has no meaning in egress rules"),
        (json!({"to": everybody(), "protocols": []}), "an empty list is nothing"),
        (json!({"to": everybody(), "protocols": [{}]}), "needs exactly one of `tcp`"),
        (
            json!({"to": everybody(), "protocols": [{"tcp": {"destinationPort": {}}}]}),
            "needs exactly one of `number` and `range`",
        ),
        (
            json!({"to": everybody(), "protocols": [{"udp": {"destinationPort": {"number": 0}}}]}),
            "`0` to `0` is not a range",
        ),
    ] {
        assert_eq!(broken("Accept", rule.clone()).0, Vec::<String>::new(), "{rule}");
        for action in ["Deny", "Pass", "Allow"] {
            let (rules, said) = broken(action, rule.clone());
            assert_eq!(rules, ["0 deny"], "{action} {rule}");
            assert!(said.iter().any(|said| said.contains(message)), "{said:?}");
            assert!(said.iter().all(|said| said.ends_with("the rule denies everything")));
        }
    }
    let (rules, said) = broken("Deny", json!({"to": [{"networks": ["1.0.0.0/8"]}]}));
    assert_eq!((rules, said), (vec!["0 deny | dst nets 1.0.0.0/8".to_owned()], vec![]));
}

#[test]
fn a_baseline_of_the_forerunners_cannot_pass() {
    let spec = |action: &str| {
        json!({"subject": {"namespaces": {}}, "ingress": [
            {"action": action, "from": [{"namespaces": {}}]},
        ]})
    };
    let (policy, said) = lower(mk_admin("BaselineAdminNetworkPolicy", spec("Pass")));
    assert_eq!(show::rules(policy.ingress.as_deref()), Some(vec!["0 deny".to_owned()]));
    assert!(said[0].contains("`Pass` is not an action: use Allow or Deny"), "{said:?}");
    assert!(lower(mk_admin("BaselineAdminNetworkPolicy", spec("Deny"))).1.is_empty());
}

#[test]
fn ingress_knows_no_networks_nodes_or_names() {
    for peer in [
        json!({"networks": ["1.0.0.0/8"]}),
        json!({"nodes": {}}),
        json!({"domainNames": ["a.org"]}),
    ] {
        let rules = json!([{"action": "Deny", "from": [peer]}]);
        let (policy, said) = lower(with("ingress", rules));
        assert_eq!(show::rules(policy.ingress.as_deref()), Some(vec!["0 deny".to_owned()]));
        assert!(said[0].contains("only in egress rules"), "{said:?}");
    }
}

#[test]
fn a_policy_of_unknown_place_or_subject_denies() {
    let sound = || {
        json!({
            "tier": "Admin", "priority": 1, "subject": {"namespaces": {}},
            "ingress": [{"action": "Accept", "from": [{"namespaces": {}}]}],
        })
    };
    assert!(lower(mk_cluster(sound())).1.is_empty());
    for (field, value, message) in [
        ("tier", json!("admin"), "`admin` is not a tier"),
        ("priority", json!(1001), "`1001` is not a priority"),
        ("priority", json!(null), "unset is not a priority"),
        ("subject", json!({}), "needs exactly one of `namespaces` and `pods`"),
    ] {
        let mut spec = sound();
        spec[field] = value;
        let (policy, said) = lower(mk_cluster(spec));
        assert_eq!(show::rules(policy.ingress.as_deref()), Some(vec!["0 deny".to_owned()]));
        assert!(said[0].contains(message), "{said:?}");
    }
}
