use bulkhead_types::{Direction, PolicyKind, PolicyRef, Protocol};
use std::sync::Arc;

use super::*;
use crate::flows::tests::mk_flow;

fn mk_query(text: &str) -> Result<FlowQuery, QueryError> {
    let pairs: Vec<(String, String)> = text
        .split('&')
        .filter_map(|pair| pair.split_once('='))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    FlowQuery::parse(&pairs)
}

/// Against the denied flow from `shop/web` to `data/db:5432`.
#[track_caller]
fn check(text: &str, expected: bool) {
    let query = mk_query(text).expect("is a query");
    assert_eq!(query.matches(&mk_flow(0)), expected, "{text}");
}

#[test]
fn every_filter_lets_through_what_it_names_and_nothing_else() {
    check("", true);
    check("namespace=shop", true);
    check("namespace=data", true);
    check("namespace=other", false);
    check("workload=web", true);
    check("workload=data/db", true);
    check("workload=shop/db", false);
    check("verdict=deny", true);
    check("verdict=allow", false);
    check("port=5432", true);
    check("port=40000", false);
    check("policy=db", false);
    check("namespace=shop&verdict=deny&port=5432", true);
    check("namespace=shop&verdict=allow&port=5432", false);
    check("namespace=", true);
}

#[test]
fn a_policy_is_found_by_its_name_with_or_without_namespace() {
    let mut flow = mk_flow(0);
    Arc::make_mut(&mut flow.record.verdict).rule = RuleRef::Rule {
        tier: "default".into(),
        policy: PolicyRef {
            kind: PolicyKind::NetworkPolicy,
            namespace: "data".into(),
            name: "db".into(),
        },
        direction: Direction::Ingress,
        index: 0,
    };
    let matches = |text: &str| mk_query(text).expect("is a query").matches(&flow);
    assert!(matches("policy=db"));
    assert!(matches("policy=data/db"));
    assert!(!matches("policy=shop/db"));
    assert!(!matches("policy=web"));
}

#[test]
fn what_was_logged_is_found_by_that_and_by_the_policy_that_logged() {
    let mut flow = mk_flow(0);
    let matches = |text: &str, flow: &KeptFlow| mk_query(text).expect("is a query").matches(flow);
    assert!(!matches("logged=true", &flow));
    assert!(matches("logged=false", &flow));
    Arc::make_mut(&mut flow.record.verdict).logged.push(RuleRef::Rule {
        tier: "default".into(),
        policy: PolicyRef {
            kind: PolicyKind::GlobalNetworkPolicy,
            namespace: String::new(),
            name: "watch".into(),
        },
        direction: Direction::Ingress,
        index: 0,
    });
    assert!(matches("logged=true", &flow));
    assert!(matches("policy=watch", &flow));
    assert!(!matches("policy=other", &flow));
}

#[test]
fn a_port_is_not_an_icmp_type() {
    let mut flow = mk_flow(0);
    flow.record.packet.protocol = Protocol::ICMP;
    assert!(!mk_query("port=5432").expect("is a query").matches(&flow));
}

#[track_caller]
fn check_refused(text: &str, expected: &str) {
    let error = mk_query(text).expect_err("is no query");
    assert!(error.to_string().contains(expected), "{error}");
}

#[test]
fn a_query_that_is_not_understood_is_refused_by_name() {
    check_refused("verdict=drop", "`verdict=drop`: must be `allow` or `deny`");
    check_refused("port=70000", "`port=70000`");
    check_refused("limit=-1", "`limit=-1`");
    check_refused("follow=maybe", "`follow=maybe`");
    check_refused("logged=1", "`logged=1`: must be `true` or `false`");
    check_refused("nmespace=shop", "unknown parameter `nmespace`");
    check_refused("port=1&port=2", "`port` is given twice");
}
