//! `projectcalico.org/v3`, as written in its API: tiers, subjects, types, rules, entities.

use bulkhead_api::Object;
use serde_json::{Value, json};

use super::{check, clean, lower, mk_gnp, mk_np};

use super::show;
use crate::rule::{Order, Stage, Tier, TierDefault};

// === tiers ===

fn mk_tier(name: &str, spec: Value) -> (Tier, Vec<String>) {
    let object = Object::from_value(json!({
        "apiVersion": "projectcalico.org/v3", "kind": "Tier",
        "metadata": {"name": name}, "spec": spec,
    }));
    let (tier, said) = crate::lower::tier(&object.expect("a tier")).expect("a tier");
    (tier, said.iter().map(ToString::to_string).collect())
}

#[test]
fn a_tier_denies_at_its_end_unless_it_says_pass() {
    for (spec, order, default) in [
        (json!({}), Order::LAST, TierDefault::Deny),
        (json!({"order": 7}), Order::new(Some(7.0)), TierDefault::Deny),
        (json!({"order": 7.5, "defaultAction": "Deny"}), Order::new(Some(7.5)), TierDefault::Deny),
        (json!({"defaultAction": "Pass"}), Order::LAST, TierDefault::Pass),
    ] {
        let (tier, said) = mk_tier("own", spec);
        assert_eq!((tier.order, tier.default), (order, default));
        assert!(said.is_empty());
    }
}

#[test]
fn a_tier_with_another_default_denies() {
    let (tier, said) = mk_tier("own", json!({"defaultAction": "Allow"}));
    assert_eq!(tier.default, TierDefault::Deny);
    let message = "`Allow` is not a tier's default: use Deny or Pass; the tier denies";
    assert_eq!(said, [format!("spec.defaultAction: {message}")]);
}

#[test]
fn built_in_tiers_cannot_be_moved() {
    let (tier, said) = mk_tier("default", json!({"order": 1, "defaultAction": "Pass"}));
    assert_eq!((tier.order, tier.default), (Order::new(Some(1e6)), TierDefault::Deny));
    assert_eq!(said.len(), 1, "{said:?}");
    let (_, said) = mk_tier("default", json!({"order": 1_000_000, "defaultAction": "Deny"}));
    assert!(said.is_empty(), "as built in: {said:?}");
}

// === whom a policy applies to ===

#[test]
fn subjects() {
    let subject = |object| clean(object).subject.canonical().to_owned();
    let in_shop = r#"projectcalico.org/namespace == "shop""#;
    for (spec, expected) in [
        (json!({}), in_shop.to_owned()),
        (json!({"selector": ""}), in_shop.to_owned()),
        (json!({"selector": "all()"}), in_shop.to_owned()),
        (json!({"selector": "a == 'b'"}), format!(r#"({in_shop} && a == "b")"#)),
        (
            json!({"selector": "has(a)", "serviceAccountSelector": "role == 'db'"}),
            format!(r#"({in_shop} && pcsa.role == "db" && has(a))"#),
        ),
        (
            json!({"serviceAccountSelector": "all()"}),
            format!("({in_shop} && has(projectcalico.org/serviceaccount))"),
        ),
    ] {
        assert_eq!(subject(mk_np(spec.clone())), expected, "{spec}");
    }
    for (spec, expected) in [
        (json!({}), "all()"),
        (json!({"selector": "a == 'b' || has(c)"}), r#"(a == "b" || has(c))"#),
        (json!({"namespaceSelector": "team == 'x'"}), r#"pcns.team == "x""#),
        (json!({"namespaceSelector": "all()"}), "has(projectcalico.org/namespace)"),
        (json!({"namespaceSelector": "!has(x)", "selector": "has(a)"}), "(!has(pcns.x) && has(a))"),
    ] {
        assert_eq!(subject(mk_gnp(spec.clone())), expected, "{spec}");
    }
}

#[test]
fn tier_and_order_have_defaults() {
    let policy = clean(mk_np(json!({})));
    assert_eq!((policy.tier.as_str(), policy.order), ("default", Order::LAST));
    let policy = clean(mk_gnp(json!({"tier": "early", "order": -3})));
    assert_eq!((policy.tier.as_str(), policy.order), ("early", Order::new(Some(-3.0))));
}

#[test]
fn equal_orders_go_by_name_then_namespace_then_kind() {
    let np = clean(mk_np(json!({"order": 5})));
    let gnp = clean(mk_gnp(json!({"order": 5})));
    let early = clean(mk_gnp(json!({"order": 4.5})));
    // `p//GlobalNetworkPolicy` before `p/shop/NetworkPolicy`.
    assert!(gnp.precedence(&np).is_lt());
    assert!(early.precedence(&gnp).is_lt());
    assert!(clean(mk_np(json!({}))).precedence(&gnp).is_gt(), "unset is last");
}

// === types ===

#[test]
fn types_default_to_the_directions_that_have_rules() {
    let rule = || json!([{"action": "Allow"}]);
    for (spec, ingress, egress) in [
        (json!({}), true, false),
        (json!({"ingress": []}), true, false),
        (json!({"ingress": rule()}), true, false),
        (json!({"egress": rule()}), false, true),
        (json!({"ingress": rule(), "egress": rule()}), true, true),
        (json!({"types": [], "egress": rule()}), false, true),
        (json!({"types": ["Ingress"], "egress": rule()}), true, false),
        (json!({"types": ["Egress"], "ingress": rule()}), false, true),
        (json!({"types": ["Ingress", "Egress"]}), true, true),
    ] {
        let policy = clean(mk_np(spec.clone()));
        assert_eq!(
            (policy.ingress.is_some(), policy.egress.is_some()),
            (ingress, egress),
            "{spec}"
        );
    }
}

#[test]
fn flags_say_at_which_stage_a_global_policy_is_asked() {
    let on_forward = |flag: &str| json!({flag: true, "applyOnForward": true});
    for (spec, stage) in [
        (json!({}), Stage::Normal),
        (json!({"applyOnForward": true}), Stage::NormalAndForward),
        (on_forward("doNotTrack"), Stage::Untracked),
        (on_forward("preDNAT"), Stage::PreDnat),
    ] {
        assert_eq!(clean(mk_gnp(spec.clone())).stage, stage, "{spec}");
    }
}

#[test]
fn flags_that_contradict_one_another_close_the_policy_at_its_stage() {
    let allow = json!([{"action": "Allow"}]);
    for (spec, stage, said_of) in [
        (json!({"doNotTrack": true}), Stage::Untracked, "spec.applyOnForward"),
        (json!({"preDNAT": true}), Stage::PreDnat, "spec.applyOnForward"),
        (
            json!({"doNotTrack": true, "preDNAT": true, "applyOnForward": true}),
            Stage::Untracked,
            "spec.preDNAT",
        ),
        (
            json!({"preDNAT": true, "applyOnForward": true, "types": ["Ingress", "Egress"]}),
            Stage::PreDnat,
            "spec.egress",
        ),
    ] {
        let mut spec = spec;
        spec["ingress"] = allow.clone();
        let (policy, said) = lower(mk_gnp(spec.clone()));
        assert_eq!(policy.stage, stage, "{spec}");
        assert_eq!(
            show::rules(policy.ingress.as_deref()),
            show::owned(Some(&["0 deny"])),
            "{spec}"
        );
        assert!(policy.stage != Stage::PreDnat || policy.egress.is_none(), "{spec}");
        assert!(said.iter().any(|said| said.starts_with(&format!("error {said_of}"))), "{said:?}");
    }
}

// === rules ===

fn rule(rule: Value, expected: &str) {
    check(mk_gnp(json!({"ingress": [rule]})), Some(&[expected]), None);
}

#[test]
fn actions_and_criteria() {
    rule(json!({"action": "Allow"}), "0 allow");
    rule(json!({"action": "Deny"}), "0 deny");
    rule(json!({"action": "Pass"}), "0 pass");
    rule(json!({"action": "Log"}), "0 log");
    rule(json!({"action": "Allow", "ipVersion": 4}), "0 allow v4");
    rule(json!({"action": "Allow", "ipVersion": 6}), "0 allow v6");
    rule(json!({"action": "Allow", "protocol": "tcp"}), "0 allow proto TCP");
    rule(json!({"action": "Allow", "protocol": 47}), "0 allow proto 47");
    rule(json!({"action": "Allow", "notProtocol": "UDP"}), "0 allow not-proto UDP");
}

#[test]
fn the_name_of_an_icmp_protocol_implies_its_ip_version() {
    rule(json!({"action": "Deny", "protocol": "ICMP"}), "0 deny v4 proto ICMP");
    rule(json!({"action": "Deny", "protocol": "ICMPv6"}), "0 deny v6 proto ICMPv6");
    rule(json!({"action": "Deny", "protocol": 58}), "0 deny proto ICMPv6");
    rule(json!({"action": "Deny", "notProtocol": "ICMP"}), "0 deny not-proto ICMP");
    let contradiction = json!({"action": "Deny", "protocol": "ICMP", "ipVersion": 6});
    let (policy, said) = lower(mk_gnp(json!({"ingress": [contradiction]})));
    assert_eq!(policy.ingress.as_deref(), Some(&[][..]), "it can never match");
    assert!(said[0].starts_with("warning spec.ingress[0].ipVersion"), "{said:?}");
}

#[test]
fn icmp_types_and_codes() {
    let with = |icmp: Value| json!({"action": "Allow", "protocol": "ICMP", "icmp": icmp});
    rule(with(json!({"type": 8})), "0 allow v4 proto ICMP icmp 8");
    rule(with(json!({"type": 8, "code": 0})), "0 allow v4 proto ICMP icmp 8/0");
    rule(with(json!({})), "0 allow v4 proto ICMP");
    let without = json!({"action": "Allow", "protocol": 1, "notICMP": {"type": 254, "code": 255}});
    rule(without, "0 allow proto ICMP not-icmp 254/255");
}

#[test]
fn ports_are_numbers_ranges_and_names() {
    let tcp = |ports: Value| json!({"action": "Allow", "protocol": "TCP", "destination": {"ports": ports}});
    rule(tcp(json!([80])), "0 allow proto TCP | dst ports 80");
    rule(tcp(json!(["443", 80, "80"])), "0 allow proto TCP | dst ports 80,443");
    rule(tcp(json!(["8000:8010", 0, 65535])), "0 allow proto TCP | dst ports 0,8000-8010,65535");
    rule(tcp(json!(["http", 80])), "0 allow proto TCP | dst ports 80,http");
    rule(tcp(json!([])), "0 allow proto TCP | dst".trim_end_matches(" | dst"));
    let any = json!({"action": "Deny", "source": {"ports": ["dns"], "notPorts": ["http"]}});
    rule(any, "0 deny | src ports dns not-ports http");
}

#[test]
fn nets_are_masked_sorted_and_of_either_family() {
    let nets = json!({"nets": ["10.1.2.3/8", "fd00::/8", "1.2.3.4", "10.0.0.0/8"]});
    rule(
        json!({"action": "Allow", "source": nets}),
        "0 allow | src nets 1.2.3.4/32,10.0.0.0/8,fd00::/8",
    );
    let not = json!({"nets": [], "notNets": ["10.0.0.0/8"]});
    rule(json!({"action": "Allow", "destination": not}), "0 allow | dst not-nets 10.0.0.0/8");
}

// === what selectors look at ===

/// In a policy of namespace `shop`, and in a global one.
fn scope(entity: Value, namespaced: &str, global: &str) {
    let spec = json!({"ingress": [{"action": "Allow", "source": entity}]});
    let line =
        |text: &str| format!("0 allow{}{text}", if text.is_empty() { "" } else { " | src " });
    check(mk_np(spec.clone()), Some(&[&line(namespaced)]), None);
    check(mk_gnp(spec), Some(&[&line(global)]), None);
}

#[test]
fn an_entity_that_asks_for_no_label_is_not_scoped() {
    scope(json!({}), "", "");
    scope(json!({"nets": ["1.2.3.4/32"]}), "nets 1.2.3.4/32", "nets 1.2.3.4/32");
}

#[test]
fn a_selector_stays_within_the_policys_namespace() {
    scope(
        json!({"selector": "a == 'b'"}),
        r#"is (projectcalico.org/namespace == "shop" && a == "b")"#,
        r#"is a == "b""#,
    );
    scope(json!({"selector": "all()"}), r#"is projectcalico.org/namespace == "shop""#, "is all()");
}

#[test]
fn a_negated_selector_is_not_scoped_but_the_side_is() {
    scope(
        json!({"notSelector": "a == 'b'"}),
        r#"is projectcalico.org/namespace == "shop" is-not a == "b""#,
        r#"is-not a == "b""#,
    );
}

#[test]
fn a_namespace_selector_widens_the_scope() {
    scope(
        json!({"namespaceSelector": "team == 'x'", "selector": "has(a)"}),
        r#"is (pcns.team == "x" && has(a))"#,
        r#"is (pcns.team == "x" && has(a))"#,
    );
    scope(
        json!({"namespaceSelector": "all()"}),
        "is has(projectcalico.org/namespace)",
        "is has(projectcalico.org/namespace)",
    );
    scope(
        json!({"namespaceSelector": "global()", "selector": "role == 'dmz'"}),
        r#"is (!has(projectcalico.org/namespace) && role == "dmz")"#,
        r#"is (!has(projectcalico.org/namespace) && role == "dmz")"#,
    );
}

#[test]
fn service_accounts_by_name_and_by_label() {
    scope(
        json!({"serviceAccounts": {"names": ["b", "a"]}}),
        r#"is (projectcalico.org/namespace == "shop" && projectcalico.org/serviceaccount in {"a", "b"})"#,
        r#"is projectcalico.org/serviceaccount in {"a", "b"}"#,
    );
    scope(
        json!({"serviceAccounts": {"names": ["a"], "selector": "x == 'y'"}, "namespaceSelector": "all()"}),
        r#"is (has(projectcalico.org/namespace) && projectcalico.org/serviceaccount in {"a"} && pcsa.x == "y")"#,
        r#"is (has(projectcalico.org/namespace) && projectcalico.org/serviceaccount in {"a"} && pcsa.x == "y")"#,
    );
    scope(
        json!({"serviceAccounts": {}}),
        r#"is (projectcalico.org/namespace == "shop" && has(projectcalico.org/serviceaccount))"#,
        "is has(projectcalico.org/serviceaccount)",
    );
}
