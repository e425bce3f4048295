//! What rules say beyond labels, nets and ports: services, names and requests.

use serde_json::{Value, json};

use super::{check, lower, mk_gnp, mk_np, show};

#[test]
fn a_service_is_a_destination_of_egress_and_a_source_of_ingress() {
    let service = |side: &str| json!([{"action": "Allow", side: {"services": {"name": "db", "namespace": "data"}}}]);
    check(
        mk_np(json!({"ingress": service("source"), "egress": service("destination")})),
        Some(&["0 allow | src behind data/db"]),
        Some(&["0 allow | dst behind data/db"]),
    );
    for (spec, direction) in [
        (json!({"ingress": service("destination")}), "ingress"),
        (json!({"egress": service("source")}), "egress"),
    ] {
        let (policy, said) = lower(mk_np(spec));
        let rules = if direction == "ingress" { policy.ingress } else { policy.egress };
        assert_eq!(show::rules(rules.as_deref()), Some(vec![]));
        assert!(said[0].contains("only in the source of ingress rules"), "{said:?}");
    }
}

#[test]
fn a_service_without_a_namespace_is_of_the_policys_own() {
    let rules = || json!([{"action": "Deny", "source": {"services": {"name": "db"}}}]);
    check(mk_np(json!({"ingress": rules()})), Some(&["0 deny | src behind shop/db"]), None);
    let (policy, said) = lower(mk_gnp(json!({"ingress": rules()})));
    assert_eq!(show::rules(policy.ingress.as_deref()), Some(vec!["0 deny".to_owned()]));
    assert!(said[0].contains("must say that of the service"), "{said:?}");
}

#[test]
fn a_service_stands_alone() {
    let deny = |mut side: Value| {
        side["services"] = json!({"name": "db"});
        let rule = json!({"action": "Deny", "protocol": "TCP", "destination": side});
        lower(mk_np(json!({"egress": [rule]})))
    };
    let (policy, said) = deny(json!({}));
    assert!(said.is_empty(), "{said:?}");
    let alone = vec!["0 deny proto TCP | dst behind shop/db".to_owned()];
    assert_eq!(show::rules(policy.egress.as_deref()), Some(alone));
    for (field, value) in [
        ("selector", json!("has(a)")),
        ("notSelector", json!("has(a)")),
        ("namespaceSelector", json!("all()")),
        ("nets", json!(["10.0.0.0/8"])),
        ("serviceAccounts", json!({"names": ["a"]})),
        ("ports", json!([80])),
        ("notPorts", json!([80])),
    ] {
        let mut side = json!({});
        side[field] = value;
        let (policy, said) = deny(side);
        assert_eq!(show::rules(policy.egress.as_deref()), Some(vec!["0 deny".to_owned()]));
        assert!(said[0].contains(&format!("`{field}` exclude one another")), "{said:?}");
    }
    // As a source it has no ports of its own.
    let side = json!({"services": {"name": "db"}, "ports": [5432]});
    let rule = json!({"action": "Allow", "protocol": "TCP", "source": side});
    check(
        mk_np(json!({"ingress": [rule]})),
        Some(&["0 allow proto TCP | src behind shop/db ports 5432"]),
        None,
    );
}

#[test]
fn names_are_for_destinations_of_egress() {
    let side = || json!({"domains": ["b.org", "*.A.org.", "b.org"]});
    check(
        mk_gnp(json!({"egress": [{"action": "Allow", "destination": side()}]})),
        None,
        Some(&["0 allow | dst names *.a.org,b.org"]),
    );
    for (direction, end) in
        [("egress", "source"), ("ingress", "source"), ("ingress", "destination")]
    {
        let mut spec = json!({});
        spec[direction] = json!([{"action": "Deny", end: side()}]);
        let (policy, said) = lower(mk_gnp(spec));
        let rules = policy.ingress.filter(|_| direction == "ingress").or(policy.egress);
        assert_eq!(show::rules(rules.as_deref()), Some(vec!["0 deny".to_owned()]));
        assert!(said[0].contains("only in the destination of egress rules"), "{said:?}");
    }
}

#[test]
fn a_rule_about_requests_is_kept_and_said_to_allow_nothing() {
    let rule = json!({"action": "Allow", "protocol": "TCP", "http": {
        "methods": ["PUT", "GET"], "paths": [{"exact": "/a"}, {"prefix": "/b"}],
    }});
    let (policy, said) = lower(mk_np(json!({"ingress": [rule]})));
    let kept = r#"0 allow proto TCP http ["GET", "PUT"] [Exact("/a"), Prefix("/b")]"#;
    assert_eq!(show::rules(policy.ingress.as_deref()), Some(vec![kept.to_owned()]));
    let [said] = said.as_slice() else { panic!("{said:?}") };
    assert!(said.starts_with("warning spec.ingress[0].http: no packet shows a request"), "{said}");
}

#[test]
fn requests_are_allowed_over_tcp_on_the_way_in() {
    let http = || json!({"methods": ["GET"]});
    for (spec, message) in [
        (json!({"egress": [{"action": "Allow", "http": http()}]}), "only in ingress rules"),
        (json!({"ingress": [{"action": "Deny", "http": http()}]}), "whose action is Allow"),
        (
            json!({"ingress": [{"action": "Allow", "protocol": "UDP", "http": http()}]}),
            "requests are TCP",
        ),
        (
            json!({"ingress": [{"action": "Allow", "http": {"paths": [{}]}}]}),
            "either `exact` or `prefix`",
        ),
        (
            json!({"ingress": [{"action": "Allow", "http": {"methods": vec!["GET"; 21]}}]}),
            "21 are too many",
        ),
    ] {
        let (policy, said) = lower(mk_np(spec));
        for rules in [&policy.ingress, &policy.egress] {
            let rules = show::rules(rules.as_deref()).unwrap_or_default();
            assert!(rules.iter().all(|rule| rule == "0 deny"), "{rules:?}");
        }
        assert!(said.iter().any(|s| s.starts_with("error") && s.contains(message)), "{said:?}");
    }
}
