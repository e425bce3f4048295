//! Kubernetes NetworkPolicy.

use bulkhead_types::PolicyKind;
use serde_json::{Value, json};

use super::{check, clean, mk_knp};
use crate::rule::Order;

const K8S: &str = r#"projectcalico.org/orchestrator == "k8s""#;
const SHOP: &str = r#"projectcalico.org/namespace == "shop""#;

#[test]
fn it_stands_in_the_default_tier_at_order_1000() {
    let policy = clean(mk_knp(json!({"podSelector": {"matchLabels": {"app": "web"}}})));
    assert_eq!((policy.tier.as_str(), policy.order), ("default", Order::new(Some(1000.0))));
    assert_eq!(policy.id.kind, PolicyKind::KubernetesNetworkPolicy);
    assert_eq!(policy.subject.canonical(), format!(r#"({K8S} && {SHOP} && app == "web")"#));
    let everybody = clean(mk_knp(json!({"podSelector": {}})));
    assert_eq!(everybody.subject.canonical(), format!("({K8S} && {SHOP})"));
}

#[test]
fn policy_types_default_to_ingress_and_to_egress_if_it_has_rules() {
    for (spec, ingress, egress) in [
        (json!({"podSelector": {}}), true, false),
        (json!({"podSelector": {}, "ingress": [{}]}), true, false),
        (json!({"podSelector": {}, "egress": []}), true, false),
        (json!({"podSelector": {}, "egress": [{}]}), true, true),
        (json!({"podSelector": {}, "policyTypes": [], "egress": [{}]}), true, true),
        (json!({"podSelector": {}, "policyTypes": ["Ingress"], "egress": [{}]}), true, false),
        (json!({"podSelector": {}, "policyTypes": ["Egress"]}), false, true),
        (json!({"podSelector": {}, "policyTypes": ["Egress"], "ingress": [{}]}), false, true),
        (json!({"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}), true, true),
    ] {
        let policy = clean(mk_knp(spec.clone()));
        assert_eq!(
            (policy.ingress.is_some(), policy.egress.is_some()),
            (ingress, egress),
            "{spec}"
        );
    }
}

fn ingress(rules: Value, expected: &[&str]) {
    check(mk_knp(json!({"podSelector": {}, "ingress": rules})), Some(expected), None);
}

#[test]
fn empty_means_everybody_and_everything() {
    ingress(json!([]), &[]);
    ingress(json!([{}]), &["0 allow"]);
    ingress(json!([{"from": [], "ports": []}]), &["0 allow"]);
}

#[test]
fn a_pod_selector_alone_stays_in_the_namespace() {
    ingress(
        json!([{"from": [{"podSelector": {"matchLabels": {"app": "web"}}}]}]),
        &[&format!(r#"0 allow | src is ({K8S} && {SHOP} && app == "web")"#)],
    );
    ingress(
        json!([{"from": [{"podSelector": {}}]}]),
        &[&format!("0 allow | src is ({K8S} && {SHOP})")],
    );
}

#[test]
fn a_namespace_selector_looks_at_namespace_labels() {
    ingress(
        json!([{"from": [{"namespaceSelector": {}}]}]),
        &[&format!("0 allow | src is ({K8S} && has(projectcalico.org/namespace))")],
    );
    ingress(
        json!([{"from": [{
            "namespaceSelector": {"matchLabels": {"team": "x"}},
            "podSelector": {"matchLabels": {"app": "web"}},
        }]}]),
        &[&format!(r#"0 allow | src is ({K8S} && pcns.team == "x" && app == "web")"#)],
    );
}

#[test]
fn match_expressions() {
    let with = |operator: &str, values: Value| {
        let requirement = json!({"key": "app", "operator": operator, "values": values});
        clean(mk_knp(json!({"podSelector": {"matchExpressions": [requirement]}})))
            .subject
            .canonical()
            .trim_start_matches(&format!("({K8S} && {SHOP} && "))
            .trim_end_matches(')')
            .to_owned()
    };
    assert_eq!(with("In", json!(["b", "a"])), r#"app in {"a", "b"}"#);
    assert_eq!(with("NotIn", json!(["a"])), r#"app not in {"a"}"#);
    assert_eq!(with("Exists", json!(null)), "has(app");
    assert_eq!(with("DoesNotExist", json!([])), "!has(app");
}

#[test]
fn peers_multiply_with_protocols_and_keep_the_written_index() {
    ingress(
        json!([
            {"from": [{"ipBlock": {"cidr": "1.0.0.0/8"}}]},
            {
                "from": [{"ipBlock": {"cidr": "2.0.0.0/8"}}, {"ipBlock": {"cidr": "3.0.0.0/8"}}],
                "ports": [{"port": 80}, {"port": 53, "protocol": "UDP"}, {"port": 443, "protocol": "TCP"}],
            },
        ]),
        &[
            "0 allow | src nets 1.0.0.0/8",
            "1 allow proto TCP | src nets 2.0.0.0/8 | dst ports 80,443",
            "1 allow proto UDP | src nets 2.0.0.0/8 | dst ports 53",
            "1 allow proto TCP | src nets 3.0.0.0/8 | dst ports 80,443",
            "1 allow proto UDP | src nets 3.0.0.0/8 | dst ports 53",
        ],
    );
}

#[test]
fn ports_ranges_and_names() {
    let ports = |ports: Value, expected: &str| ingress(json!([{"ports": ports}]), &[expected]);
    ports(json!([{"port": 80}]), "0 allow proto TCP | dst ports 80");
    ports(json!([{"port": 80, "endPort": 80}]), "0 allow proto TCP | dst ports 80");
    ports(json!([{"port": 80, "endPort": 90}]), "0 allow proto TCP | dst ports 80-90");
    ports(json!([{"port": "http"}]), "0 allow proto TCP | dst ports http");
    ports(json!([{"protocol": "SCTP"}]), "0 allow proto SCTP");
    ports(json!([{"port": 80}, {}]), "0 allow proto TCP");
}

#[test]
fn blocks_with_exceptions() {
    ingress(
        json!([{"from": [{"ipBlock": {"cidr": "10.0.0.7/8", "except": ["10.1.0.0/16"]}}]}]),
        &["0 allow | src nets 10.0.0.0/8 not-nets 10.1.0.0/16"],
    );
    ingress(
        json!([{"from": [{"ipBlock": {"cidr": "fd00::/8"}}]}]),
        &["0 allow | src nets fd00::/8"],
    );
}

#[test]
fn egress_asks_the_destination() {
    check(
        mk_knp(json!({
            "podSelector": {}, "policyTypes": ["Egress"],
            "egress": [{"to": [{"ipBlock": {"cidr": "1.0.0.0/8"}}], "ports": [{"port": "http"}]}],
        })),
        None,
        Some(&["0 allow proto TCP | dst nets 1.0.0.0/8 ports http"]),
    );
}
