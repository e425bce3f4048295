//! Kinds of `projectcalico.org/v3` and `bulkhead.dev/v1`.

use super::*;

fn policy(spec: Value) -> Vec<String> {
    broken("projectcalico.org/v3", "NetworkPolicy", spec)
}

fn global(spec: Value) -> Vec<String> {
    broken("projectcalico.org/v3", "GlobalNetworkPolicy", spec)
}

fn rule(rule: Value) -> String {
    policy(json!({ "ingress": [rule] })).join("; ")
}

#[test]
fn a_complete_policy_is_accepted() {
    let errors = global(json!({
        "tier": "kube-admin", "order": 10.5, "selector": "app == 'web' && !has(x)",
        "namespaceSelector": "env in {'a', 'b'}", "serviceAccountSelector": "all()",
        "types": ["Ingress", "Egress"], "applyOnForward": true, "doNotTrack": true,
        "ingress": [
            {"action": "Allow", "protocol": "TCP", "ipVersion": 4,
             "source": {"nets": ["10.0.0.0/8"], "notNets": ["10.1.0.0/16"], "selector": "a == 'b'"},
             "destination": {"ports": [80, "8000:8010", "http"], "notPorts": [81]}},
            {"action": "Pass", "protocol": "ICMPv6", "icmp": {"type": 128, "code": 0}},
            {"action": "Log", "source": {"namespaceSelector": "global()"}},
            {"action": "Deny", "protocol": 132, "notProtocol": "udp",
             "source": {"serviceAccounts": {"names": ["a"], "selector": "has(x)"}},
             "destination": {"notSelector": "x == 'y'", "ports": [1]}},
            {"action": "Allow", "destination": {"ports": ["named"]}},
        ],
    }));
    assert_eq!(errors, Vec::<String>::new());
}

#[test]
fn actions_are_four_words_and_required() {
    assert_eq!(
        rule(json!({"action": "allow"})),
        "spec.ingress[0].action: Unsupported value: \"allow\": supported values: \"Allow\", \"Deny\", \
         \"Log\", \"Pass\""
    );
    assert_eq!(rule(json!({})), "spec.ingress[0].action: Required value");
}

#[test]
fn selectors_are_parsed_and_the_error_says_where_they_break() {
    let text = policy(json!({"selector": "a = 'b'"})).join("; ");
    assert!(
        text.starts_with("spec.selector: Invalid value: \"a = 'b'\": is not a selector:"),
        "{text}"
    );
    let long = format!("has({})", "x".repeat(1024));
    let text = policy(json!({ "selector": long })).join("; ");
    assert_eq!(text, "spec.selector: Too long: may not be more than 1024 bytes");
}

#[test]
fn global_stands_alone_and_only_in_the_namespace_selector_of_a_rule() {
    let text = policy(json!({"selector": "global()"})).join("; ");
    assert!(text.contains("global() can only be used in a rule's namespaceSelector"), "{text}");
    let text =
        rule(json!({"action": "Allow", "source": {"namespaceSelector": "global() && has(x)"}}));
    assert!(text.contains("global() cannot be combined"), "{text}");
    let text = rule(json!({"action": "Allow", "source": {"selector": "global()"}}));
    assert!(text.contains("spec.ingress[0].source.selector"), "{text}");
}

#[test]
fn numeric_ports_need_a_protocol_that_has_ports() {
    let ports = |protocol: Value, ports: Value| {
        let mut value = json!({"action": "Allow", "destination": {"ports": ports}});
        if !protocol.is_null() {
            value["protocol"] = protocol;
        }
        rule(value)
    };
    for protocol in [json!("TCP"), json!("udp"), json!("SCTP"), json!(6), json!("17")] {
        assert_eq!(ports(protocol, json!([80])), "");
    }
    let text = ports(Value::Null, json!([80]));
    assert!(
        text.ends_with("ports need protocol TCP, UDP or SCTP: the rule has no protocol"),
        "{text}"
    );
    assert!(ports(json!("ICMP"), json!(["named"])).contains("the protocol is \"ICMP\""));
    assert_eq!(ports(Value::Null, json!(["named"])), "");
}

#[test]
fn ports_are_numbers_ranges_or_names() {
    let port = |port: Value| {
        rule(json!({"action": "Allow", "protocol": "TCP", "destination": {"ports": [port]}}))
    };
    for good in [json!(0), json!(65_535), json!("80"), json!("1:2"), json!("http")] {
        assert_eq!(port(good), "");
    }
    for bad in [json!(-1), json!(65_536), json!("1:65536"), json!("1:"), json!("80x"), json!("-a")]
    {
        let text = port(bad.clone());
        assert!(
            text.starts_with("spec.ingress[0].destination.ports[0]: Invalid value"),
            "{bad}: {text}"
        );
    }
    assert!(port(json!("9:8")).contains("must not be greater than the last"));
}

#[test]
fn one_rule_speaks_of_one_address_family() {
    let text = rule(json!({
        "action": "Allow", "source": {"nets": ["10.0.0.0/8"]}, "destination": {"nets": ["fd00::/8"]},
    }));
    assert_eq!(
        text,
        "spec.ingress[0]: Forbidden: a rule cannot mix IPv4 and IPv6: split it in two"
    );
    let text = rule(json!({"action": "Allow", "ipVersion": 6, "source": {"nets": ["10.0.0.0/8"]}}));
    assert!(text.contains("cannot mix"), "{text}");
    let text = rule(json!({"action": "Allow", "ipVersion": 5}));
    assert!(text.contains("Unsupported value: 5: supported values: \"4\", \"6\""), "{text}");
}

#[test]
fn nothing_excludes_every_address() {
    for net in ["0.0.0.0/0", "::/0"] {
        let text = rule(json!({"action": "Allow", "source": {"notNets": [net]}}));
        assert!(text.contains("source.notNets[0]") && text.contains("could never match"), "{text}");
    }
    let text = rule(json!({"action": "Allow", "source": {"nets": ["10.0.0.0/40", "x"]}}));
    assert!(text.contains("nets[0]") && text.contains("nets[1]"), "{text}");
}

#[test]
fn icmp_codes_need_types_and_stay_in_range() {
    let icmp = |fields: Value| rule(json!({"action": "Allow", "protocol": "ICMP", "icmp": fields}));
    assert_eq!(icmp(json!({"type": 254, "code": 255})), "");
    assert!(icmp(json!({"type": 255})).contains("must be between 0 and 254, inclusive"));
    assert!(icmp(json!({"code": 1})).contains("needs `type`"));
    let text = rule(json!({"action": "Allow", "protocol": "TCP", "icmp": {"type": 8}}));
    assert!(text.contains("can only be used with protocol ICMP or ICMPv6"), "{text}");
}

#[test]
fn protocols_are_names_or_numbers() {
    let protocol = |value: Value| rule(json!({"action": "Allow", "protocol": value}));
    for good in [json!("tcp"), json!("ICMPv6"), json!("UDPLite"), json!(1), json!(255), json!("47")]
    {
        assert_eq!(protocol(good), "");
    }
    assert!(protocol(json!(0)).contains("must be between 1 and 255"));
    assert!(protocol(json!("GRE")).contains("supported values: \"ICMP\""));
}

#[test]
fn lists_have_limits() {
    let rules: Vec<Value> = (0..1025).map(|_| json!({"action": "Allow"})).collect();
    let text = policy(json!({ "ingress": rules })).join("; ");
    assert_eq!(text, "spec.ingress: Too many: 1025: must have at most 1024 items");
    let ports: Vec<u16> = (1..52).collect();
    let text = rule(json!({"action": "Allow", "protocol": "TCP", "destination": {"ports": ports}}));
    assert_eq!(text, "spec.ingress[0].destination.ports: Too many: 51: must have at most 50 items");
    let nets: Vec<String> = (0..257).map(|n| format!("10.{}.{}.0/24", n / 256, n % 256)).collect();
    assert!(
        rule(json!({"action": "Allow", "source": {"nets": nets}})).contains("at most 256 items")
    );
}

#[test]
fn host_flags_fit_together() {
    let text =
        global(json!({"preDNAT": true, "doNotTrack": true, "applyOnForward": true})).join("; ");
    assert!(text.contains("preDNAT and doNotTrack cannot both be true"), "{text}");
    let text = global(json!({"preDNAT": true})).join("; ");
    assert!(text.contains("spec.applyOnForward: Invalid value: false"), "{text}");
    let text = global(json!({
        "preDNAT": true, "applyOnForward": true, "egress": [{"action": "Deny"}],
    }));
    assert!(text.join("; ").contains("cannot have egress rules"), "{text:?}");
}

#[test]
fn tiers_default_to_deny_or_pass_and_built_in_ones_keep_their_place() {
    let tier = |name: &str, spec: Value| {
        let object = json!({"metadata": {"name": name}, "spec": spec});
        texts(&super::super::object(resource("projectcalico.org/v3", "Tier"), &object)).join("; ")
    };
    assert_eq!(tier("a", json!({"order": 5, "defaultAction": "Pass"})), "");
    assert!(tier("a", json!({"defaultAction": "Allow"})).contains("\"Deny\", \"Pass\""));
    assert_eq!(tier("default", json!({"order": 1_000_000, "defaultAction": "Deny"})), "");
    assert!(tier("default", json!({"order": 5})).contains("the built-in tier `default`"));
    assert!(tier("a.b", json!({})).contains("RFC 1123 label"));
}

#[test]
fn network_sets_hold_cidrs_or_addresses() {
    let set =
        |nets: Value| broken("projectcalico.org/v3", "GlobalNetworkSet", json!({ "nets": nets }));
    assert!(set(json!(["10.0.0.0/8", "10.1.2.3", "fd00::/8", "::1"])).is_empty());
    let errors = set(json!(["10.0.0.0/8", "example.com"]));
    assert_eq!(errors.len(), 1);
    assert!(errors[0].starts_with("spec.nets[1]: Invalid value: \"example.com\""), "{errors:?}");
}

#[test]
fn workloads_have_addresses_and_ports() {
    let workload = |spec: Value| broken("bulkhead.dev/v1", "Workload", spec).join("; ");
    let good = json!({
        "nodeName": "n1", "addresses": ["10.0.0.1", "fd00::1"], "interface": "tap0",
        "mac": "52:54:00:12:34:56",
        "ports": [{"port": 80, "name": "http"}, {"port": 53, "protocol": "UDP"}],
    });
    assert_eq!(workload(good), "");
    assert!(workload(json!({"addresses": ["10.0.0.1/32"]})).contains("must be a valid IP address"));
    assert!(workload(json!({"addresses": ["10.0.0.1", "10.0.0.1"]})).contains("Duplicate value"));
    assert!(workload(json!({"addresses": ["127.0.0.1"]})).contains("other hosts can reach"));
    assert!(workload(json!({"ports": [{"port": 0}]})).contains("spec.ports[0].port"));
    assert!(workload(json!({"ports": [{}]})).contains("spec.ports[0].port: Required value"));
    assert!(workload(json!({"interface": "a/b"})).contains("1 to 15 characters"));
    // One that is not understood would let the workload use any.
    for wrong in ["zz", "52:54:0:12:34:56", "52:54:00:12:34", "ff:ff:ff:ff:ff:ff"] {
        assert!(workload(json!({ "mac": wrong })).contains("spec.mac: Invalid value"), "{wrong}");
    }
}

#[test]
fn policy_names_hold_one_dot_unless_upstream_made_them() {
    let named = |kind: &str, name: &str| {
        let resource = resource("projectcalico.org/v3", kind);
        let mut object = json!({"metadata": {"name": name}, "spec": {}});
        if resource.namespaced {
            object["metadata"]["namespace"] = json!("n");
        }
        texts(&super::super::object(resource, &object)).join("; ")
    };
    assert_eq!(named("NetworkPolicy", "tier.web"), "");
    assert_eq!(named("NetworkPolicy", "knp.default.web"), "");
    assert!(named("NetworkPolicy", "a.b.c").contains("may hold one dot at most"));
    assert!(named("GlobalNetworkPolicy", "knp.default.web").contains("may hold one dot at most"));
}

#[test]
fn services_stand_alone_on_the_far_side() {
    let egress = |destination: Value| {
        policy(json!({"egress": [{"action": "Allow", "destination": destination}]})).join("; ")
    };
    let service = json!({"services": {"name": "db", "namespace": "data"}});
    assert_eq!(egress(service.clone()), "");
    let beside = json!({"services": {"name": "db"}, "selector": "a == 'b'"});
    assert!(egress(beside).contains("cannot stand beside `selector`"));
    assert!(
        rule(json!({"action": "Allow", "destination": service})).contains("services: Forbidden")
    );
    let nameless = json!({"egress": [{"action": "Allow",
        "destination": {"services": {"name": "db"}}}]});
    assert!(global(nameless).join("").contains("services.namespace: Required value"));
}

#[test]
fn requests_are_for_rules_that_let_tcp_in() {
    let good = json!({"action": "Allow", "protocol": "TCP",
        "http": {"methods": ["GET"], "paths": [{"prefix": "/api"}]}});
    assert_eq!(rule(good.clone()), "");
    let out = policy(json!({"egress": [good]})).join("");
    assert!(out.contains("http: Forbidden: is for ingress rules"), "{out}");
    assert!(rule(json!({"action": "Deny", "http": {}})).contains("is for rules that allow"));
}

#[test]
fn names_are_for_destinations_of_egress_rules() {
    let domains =
        |names: Value| json!({"egress": [{"action": "Allow", "destination": {"domains": names}}]});
    assert_eq!(policy(domains(json!(["api.example.com", "*.Example.org."]))), Vec::<String>::new());
    assert_eq!(policy(domains(json!(["a.*.example.com"]))).len(), 1);
    let inward = rule(json!({"action": "Allow", "source": {"domains": ["a.example"]}}));
    assert!(inward.contains("source.domains: Forbidden"), "{inward}");
}
