//! `policy.networking.k8s.io`.

use super::*;

fn cluster(spec: Value) -> Vec<String> {
    broken("policy.networking.k8s.io/v1alpha2", "ClusterNetworkPolicy", spec)
}

fn with_rule(rule: Value) -> String {
    let spec = json!({"tier": "Admin", "priority": 5, "subject": {"namespaces": {}},
        "egress": [rule]});
    cluster(spec).join("; ")
}

#[test]
fn a_complete_cluster_policy_is_accepted() {
    let errors = cluster(json!({
        "tier": "Baseline", "priority": 1000,
        "subject": {"pods": {"namespaceSelector": {}, "podSelector": {"matchLabels": {"a": "b"}}}},
        "ingress": [{"name": "in", "action": "Accept", "from": [{"namespaces": {}}],
            "protocols": [{"tcp": {"destinationPort": {"range": {"start": 1, "end": 9}}}},
                {"destinationNamedPort": "http"}]}],
        "egress": [{"action": "Pass", "to": [{"networks": ["10.0.0.0/8", "2001:db8::/32"]}]},
            {"action": "Accept", "to": [{"domainNames": ["*.example.com"]}, {"nodes": {}}]}],
    }));
    assert_eq!(errors, Vec::<String>::new());
}

#[test]
fn tier_priority_and_subject_are_required() {
    let errors = cluster(json!({})).join("; ");
    for field in ["spec.tier", "spec.priority", "spec.subject"] {
        assert!(errors.contains(field), "{errors}");
    }
    let errors = cluster(json!({"tier": "Admin", "priority": 1001, "subject": {"namespaces": {}}}));
    assert_eq!(errors.len(), 1, "{errors:?}");
}

#[test]
fn a_peer_is_one_thing_and_a_rule_has_one() {
    let rule = json!({"action": "Accept", "to": []});
    assert!(with_rule(rule).contains("spec.egress[0].to: Required value"));
    let rule = json!({"action": "Accept", "to": [{"namespaces": {}, "networks": ["10.0.0.0/8"]}]});
    assert!(with_rule(rule).contains("exactly one of"));
    let rule = json!({"action": "Allow", "to": [{"namespaces": {}}]});
    assert!(with_rule(rule).contains("spec.egress[0].action: Unsupported value"));
    let rule = json!({"action": "Deny", "to": [{"domainNames": ["a.example"]}]});
    assert!(with_rule(rule).contains("domainNames: Forbidden"));
}

#[test]
fn the_forerunners_have_ports_and_one_baseline() {
    let version = "policy.networking.k8s.io/v1alpha1";
    let good = json!({"priority": 0, "subject": {"namespaces": {}}, "ingress": [
        {"action": "Allow", "from": [{"pods": {"podSelector": {}}}],
         "ports": [{"portNumber": {"protocol": "UDP", "port": 53}}, {"namedPort": "http"},
            {"portRange": {"start": 1, "end": 2}}]}]});
    assert_eq!(broken(version, "AdminNetworkPolicy", good.clone()), Vec::<String>::new());
    let errors = broken(version, "BaselineAdminNetworkPolicy", good).join("; ");
    assert!(errors.contains("it is called `default`"), "{errors}");
    let bad = json!({"priority": 0, "subject": {"namespaces": {}}, "ingress": [
        {"action": "Allow", "from": [{"pods": {}}], "ports": [{"portRange": {"start": 2, "end": 1}}]}]});
    assert_eq!(broken(version, "AdminNetworkPolicy", bad).len(), 1);
}
