//! Host endpoints, profiles and node settings.

use super::*;

const V3: &str = "projectcalico.org/v3";

#[test]
fn a_host_endpoint_is_on_a_node_and_says_how_it_is_found() {
    let good = json!({"node": "n1", "interfaceName": "*", "expectedIPs": ["10.0.0.1"],
        "profiles": ["projectcalico-default-allow"],
        "ports": [{"name": "http", "protocol": "TCP", "port": 80}]});
    assert_eq!(broken(V3, "HostEndpoint", good), Vec::<String>::new());
    let errors = broken(V3, "HostEndpoint", json!({"interfaceName": "a-name-of-sixteen"}));
    assert_eq!(
        errors,
        [
            "spec.node: Required value: a host endpoint belongs to one node",
            "spec.interfaceName: Too long: may not be more than 15 bytes",
        ]
    );
    let errors = broken(V3, "HostEndpoint", json!({"node": "n1"})).join("; ");
    assert!(errors.contains("spec.interfaceName: Required value"), "{errors}");
}

#[test]
fn a_profile_has_rules_like_a_policy() {
    let good = json!({"ingress": [{"action": "Allow", "protocol": "TCP",
        "destination": {"ports": [80]}}], "labelsToApply": {"tier": "web"}});
    assert_eq!(broken(V3, "Profile", good), Vec::<String>::new());
    let bad = json!({"ingress": [{"action": "Allow", "destination": {"ports": [80]}}]});
    assert_eq!(broken(V3, "Profile", bad).len(), 1);
}

#[test]
fn settings_that_change_verdicts_are_checked_and_others_passed_over() {
    let good = json!({"failsafeInboundHostPorts": [{"protocol": "tcp", "port": 22}],
        "defaultEndpointToHostAction": "Drop", "bpfEnabled": true});
    assert_eq!(broken(V3, "FelixConfiguration", good), Vec::<String>::new());
    let resource = resource(V3, "FelixConfiguration");
    let mut object = json!({"metadata": {"name": "default"},
        "spec": {"bpfEnabled": true, "nested": {"a": [1]}}, "other": 1});
    let unknown = crate::strict::prune(resource.schema().slot(), &mut object);
    assert_eq!(unknown, ["other"]);
    assert_eq!(object["spec"], json!({"bpfEnabled": true, "nested": {"a": [1]}}));
    let bad = json!({"failsafeInboundHostPorts": [{"protocol": "icmp", "port": 0}],
        "defaultEndpointToHostAction": "Maybe"});
    assert_eq!(broken(V3, "FelixConfiguration", bad).len(), 3);
    let made =
        |word: &str| json!({"controllers": {"node": {"hostEndpoint": {"autoCreate": word}}}});
    let kind = "KubeControllersConfiguration";
    assert_eq!(broken(V3, kind, made("Enabled")), Vec::<String>::new());
    assert_eq!(broken(V3, kind, made("Yes")).len(), 1);
}

#[test]
fn a_staged_deletion_says_nothing_else() {
    let deletion = json!({"stagedAction": "Delete"});
    assert_eq!(broken(V3, "StagedNetworkPolicy", deletion), Vec::<String>::new());
    let both = json!({"stagedAction": "Delete", "selector": "a == 'b'"});
    assert_eq!(
        broken(V3, "StagedNetworkPolicy", both),
        ["spec.selector: Forbidden: a policy that is to be deleted says nothing else"]
    );
    let set = json!({"stagedAction": "Set", "selector": "a == 'b'"});
    assert_eq!(broken(V3, "StagedGlobalNetworkPolicy", set), Vec::<String>::new());
}

#[test]
fn a_policy_ends_at_one_moment() {
    let good = json!({"expires": "2026-12-31T18:00:00Z"});
    assert_eq!(broken(V3, "NetworkPolicy", good), Vec::<String>::new());
    let errors = broken(V3, "NetworkPolicy", json!({"expires": "tomorrow"}));
    assert_eq!(errors.len(), 1);
    assert!(errors.join("").starts_with("spec.expires: Invalid value"), "{errors:?}");
}
