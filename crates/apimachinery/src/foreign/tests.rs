use bulkhead_api::Object;
use bulkhead_api::object::Kind;

use super::*;
use crate::kinds;

/// The spec as it is read, and what was found.
#[track_caller]
fn read(kind: Kind, spec: Value) -> (Value, Vec<String>) {
    let resource = kinds::by_id(kind);
    let mut object = json!({
        "apiVersion": resource.api_version(), "kind": resource.kind,
        "metadata": {"name": "p", "namespace": "app"}, "spec": spec,
    });
    read_as_denying(resource, &mut object);
    let typed = Object::from_value(object.clone()).expect("can be read");
    let findings = not_understood(typed.metadata().annotations.as_ref());
    (object.get("spec").cloned().unwrap_or_default(), findings)
}

#[test]
fn what_is_understood_stays_as_it_is() {
    let spec = json!({"podSelector": {}, "ingress": [{"ports": [{"port": 80}]}]});
    assert_eq!(read(Kind::KubernetesNetworkPolicy, spec.clone()), (spec, Vec::new()));
}

#[test]
fn a_rule_that_allows_and_says_more_than_we_know_is_left_out_and_its_direction_stays_decided() {
    let spec = json!({"podSelector": {}, "egress": [{"to": [{"planet": "mars"}]}]});
    let (spec, findings) = read(Kind::KubernetesNetworkPolicy, spec);
    assert_eq!(spec["egress"], json!([]));
    assert_eq!(spec["policyTypes"], json!(["Ingress", "Egress"]));
    assert_eq!(findings, ["`spec.egress[0].to[0].planet` is unknown"]);
}

#[test]
fn a_rule_that_denies_or_passes_on_denies_what_its_understood_part_matches() {
    let rule = |action: &str| json!({"action": action, "protocol": "TCP", "onTuesdays": true});
    let spec = json!({"selector": "all()", "types": ["Ingress"], "ingress": [
        rule("Deny"), rule("Pass"), rule("Explode"), rule("Allow"), {"action": "Allow"}]});
    let (spec, findings) = read(Kind::GlobalNetworkPolicy, spec);
    let denied = json!({"action": "Deny", "protocol": "TCP"});
    let expected = [denied.clone(), denied.clone(), denied, json!({"action": "Allow"})];
    assert_eq!(spec["ingress"], json!(expected));
    assert!(findings.len() >= 4, "{findings:?}");
}

#[test]
fn a_rule_that_denies_and_cannot_even_be_read_denies_everything() {
    let spec = json!({"selector": "all()", "types": ["Ingress"], "ingress": [
        {"action": "Deny", "source": "everywhere"}, {"action": "Allow"}]});
    let (spec, _) = read(Kind::GlobalNetworkPolicy, spec);
    assert_eq!(spec["ingress"], json!([{"action": "Deny"}, {"action": "Allow"}]));
}

#[test]
fn a_policy_of_which_something_beside_the_rules_is_not_understood_only_denies() {
    let spec = json!({"selector": 7, "order": 3, "shape": "round", "types": ["Ingress"],
        "ingress": [{"action": "Allow"}, {"action": "Deny", "protocol": "UDP"}]});
    let (spec, findings) = read(Kind::GlobalNetworkPolicy, spec);
    assert_eq!((spec.get("selector"), spec["order"].clone()), (None, json!(3)));
    assert_eq!(spec["ingress"], json!([{"action": "Deny", "protocol": "UDP"}]));
    assert_eq!(findings.len(), 2, "{findings:?}");
}

#[test]
fn nobody_else_leaves_findings() {
    let mut object = json!({"metadata": {"annotations": {ANNOTATION: "[\"mine\"]"}}, "spec": {}});
    read_as_denying(kinds::by_id(Kind::KubernetesNetworkPolicy), &mut object);
    assert_eq!(object["metadata"]["annotations"], json!({}));
}
