//! Built-in kinds.

use super::*;

fn policy(spec: Value) -> Vec<String> {
    broken("networking.k8s.io/v1", "NetworkPolicy", spec)
}

fn ingress(rule: Value) -> Vec<String> {
    policy(json!({"podSelector": {}, "ingress": [rule]}))
}

#[test]
fn a_complete_network_policy_is_accepted() {
    let errors = policy(json!({
        "podSelector": {"matchLabels": {"app": "web"}, "matchExpressions": [
            {"key": "tier", "operator": "NotIn", "values": ["x"]}, {"key": "y", "operator": "Exists"},
        ]},
        "policyTypes": ["Ingress", "Egress"],
        "ingress": [{
            "from": [
                {"podSelector": {}, "namespaceSelector": {}},
                {"ipBlock": {"cidr": "10.0.0.0/8", "except": ["10.1.0.0/16"]}},
                {"ipBlock": {"cidr": "2001:db8::/32", "except": ["2001:db8:1::/48"]}},
            ],
            "ports": [{"port": 80}, {"port": "http", "protocol": "UDP"}, {"port": 1, "endPort": 9}, {}],
        }],
        "egress": [{}],
    }));
    assert_eq!(errors, Vec::<String>::new());
}

#[test]
fn ports_and_end_ports_have_rules() {
    let port = |port: Value| ingress(json!({"ports": [port]})).join("; ");
    let at = "spec.ingress[0].ports[0]";
    assert_eq!(
        port(json!({"port": 0})),
        format!("{at}.port: Invalid value: 0: must be between 1 and 65535, inclusive")
    );
    assert_eq!(
        port(json!({"port": 80, "endPort": 79})),
        format!("{at}.endPort: Invalid value: 79: must be greater than or equal to `port`")
    );
    assert_eq!(
        port(json!({"endPort": 79})),
        format!(
            "{at}.endPort: Invalid value: 79: may not be specified when `port` is not specified"
        )
    );
    assert_eq!(
        port(json!({"port": "http", "endPort": 79})),
        format!("{at}.endPort: Invalid value: 79: may not be specified when `port` is non-numeric")
    );
    assert_eq!(
        port(json!({"protocol": "ICMP"})),
        format!(
            "{at}.protocol: Unsupported value: \"ICMP\": supported values: \"SCTP\", \"TCP\", \"UDP\""
        )
    );
    assert!(port(json!({"port": "Not_A_Name"})).contains("must contain only alpha-numeric"));
    assert!(port(json!({"port": "sixteen-letters-"})).contains("no more than 15 characters"));
    assert!(port(json!({"port": 1.5})).contains("must be of type integer or string"));
}

#[test]
fn peers_are_one_thing_or_the_other() {
    let peer = |peer: Value| ingress(json!({"from": [peer]})).join("; ");
    let at = "spec.ingress[0].from[0]";
    assert_eq!(peer(json!({})), format!("{at}: Required value: must specify a peer"));
    assert_eq!(
        peer(json!({"ipBlock": {"cidr": "10.0.0.0/8"}, "podSelector": {}})),
        format!("{at}: Forbidden: may not specify both ipBlock and another peer")
    );
}

#[test]
fn an_exception_lies_strictly_within_its_block() {
    let block = |cidr: &str, except: &str| {
        ingress(json!({"from": [{"ipBlock": {"cidr": cidr, "except": [except]}}]})).join("; ")
    };
    assert_eq!(block("10.0.0.0/8", "10.2.0.0/16"), "");
    for except in ["11.0.0.0/16", "10.0.0.0/8", "0.0.0.0/0", "2001:db8::/64"] {
        let text = block("10.0.0.0/8", except);
        assert!(text.ends_with("must be a strict subset of `10.0.0.0/8`"), "{text}");
    }
    let text = block("10.0.0.0/33", "10.0.0.0/8");
    assert!(
        text.contains("cidr: Invalid value: \"10.0.0.0/33\": must be a valid CIDR value"),
        "{text}"
    );
    assert!(block("", "10.0.0.0/8").contains("ipBlock.cidr: Required value"));
}

#[test]
fn selectors_follow_their_operators() {
    let select = |expression: Value| {
        policy(json!({"podSelector": {"matchExpressions": [expression]}})).join("; ")
    };
    let at = "spec.podSelector.matchExpressions[0]";
    assert_eq!(
        select(json!({"key": "a", "operator": "In"})),
        format!(
            "{at}.values: Required value: must be specified when `operator` is 'In' or 'NotIn'"
        )
    );
    assert_eq!(
        select(json!({"key": "a", "operator": "Exists", "values": ["x"]})),
        format!(
            "{at}.values: Forbidden: may not be specified when `operator` is 'Exists' or 'DoesNotExist'"
        )
    );
    assert!(
        select(json!({"key": "a", "operator": "Gt", "values": ["1"]}))
            .contains("Unsupported value: \"Gt\"")
    );
    assert!(select(json!({"operator": "Exists"})).contains("key: Required value"));
}

#[test]
fn policy_types_are_two_words() {
    let types = |types: Value| policy(json!({"podSelector": {}, "policyTypes": types})).join("; ");
    assert_eq!(
        types(json!(["ingress"])),
        "spec.policyTypes[0]: Unsupported value: \"ingress\": supported values: \"Egress\", \"Ingress\""
    );
    assert!(
        types(json!(["Ingress", "Egress", "Ingress"])).contains("may not specify more than two")
    );
}

#[test]
fn a_pod_needs_containers_with_names_and_images() {
    let pod = |spec: Value| broken("v1", "Pod", spec);
    assert_eq!(pod(json!({"containers": []})), ["spec.containers: Required value"]);
    let good = json!({"name": "a", "image": "i", "ports": [{"containerPort": 80, "name": "http"}]});
    assert!(pod(json!({"containers": [good]})).is_empty());
    let errors = pod(json!({"containers": [{"name": "a", "image": "i"}, {"name": "a"}]}));
    assert_eq!(
        errors,
        [
            "spec.containers[1].name: Duplicate value: \"a\"",
            "spec.containers[1].image: Required value"
        ]
    );
    let port = json!({"name": "a", "image": "i", "ports": [{"containerPort": 0}]});
    assert!(pod(json!({"containers": [port]}))[0].contains("must be between 1 and 65535"));
}

#[test]
fn a_bound_pod_keeps_its_spec_but_not_its_labels() {
    let pod = |node: Value, label: &str, name: &str| {
        json!({
            "metadata": {"name": "a", "namespace": "n", "labels": {"x": label}},
            "spec": {"nodeName": node, "containers": [{"name": name, "image": "i"}]},
        })
    };
    let update =
        |old: &Value, new: &Value| texts(&super::super::update(resource("v1", "Pod"), old, new));
    let mut unbound = pod(json!("n1"), "1", "c");
    unbound["spec"].as_object_mut().unwrap().shift_remove("nodeName");
    assert!(update(&unbound, &pod(json!("n1"), "1", "c")).is_empty());
    assert!(update(&pod(json!("n1"), "1", "c"), &pod(json!("n1"), "2", "c")).is_empty());
    let errors = update(&pod(json!("n1"), "1", "c"), &pod(json!("n2"), "1", "c"));
    assert!(
        errors[0].starts_with("spec: Forbidden: pod updates may not change fields"),
        "{errors:?}"
    );
    assert!(!update(&pod(json!("n1"), "1", "c"), &pod(json!("n1"), "1", "d")).is_empty());
}

#[test]
fn services_name_their_ports_when_there_are_several() {
    let errors =
        broken("v1", "Service", json!({"ports": [{"port": 80}, {"port": 81, "name": "b"}]}));
    assert_eq!(errors, ["spec.ports[0].name: Required value"]);
    assert!(broken("v1", "Service", json!({"ports": [{"port": 80}]})).is_empty());
}

#[test]
fn a_slice_holds_addresses_of_its_type() {
    let slice = |address_type: &str, address: &str| {
        let object = json!({
            "metadata": {"name": "a", "namespace": "n"}, "addressType": address_type,
            "endpoints": [{"addresses": [address]}],
        });
        texts(&super::super::object(resource("discovery.k8s.io/v1", "EndpointSlice"), &object))
    };
    assert!(slice("IPv4", "10.0.0.1").is_empty());
    assert!(slice("FQDN", "a.example").is_empty());
    assert_eq!(
        slice("IPv4", "fd00::1"),
        ["endpoints[0].addresses[0]: Invalid value: \"fd00::1\": must be an IPv4 address"]
    );
    assert!(!slice("IPv5", "10.0.0.1").is_empty());
}
