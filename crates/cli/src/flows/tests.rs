use bulkhead_api::flow::Flow;
use clap::Parser;

use super::*;
use crate::args::{Args, Command};

fn mk_flow(rest: &str) -> Flow {
    let text = format!(
        r#"{{"time":"2026-01-02T03:04:05.678901Z","started":"2026-01-02T03:04:05.6Z","node":"n1",
        "reporter":{{"kind":"Pod","namespace":"shop","name":"db"}},
        "src":{{"address":"10.65.0.7","port":40312,"kind":"Pod","namespace":"shop","name":"web"}},
        "revision":8,"forward":{{"packets":1,"bytes":60}},"reverse":{{"packets":0,"bytes":0}},{rest}}}"#
    );
    serde_json::from_str(&text).unwrap()
}

fn mk_path(arguments: &[&str]) -> String {
    let all = ["bulkhead", "flows"].iter().chain(arguments);
    match Args::try_parse_from(all).unwrap().command {
        Command::Flows(command) => path(&command),
        _ => unreachable!(),
    }
}

#[test]
fn a_denied_flow_names_the_rule() {
    let flow = mk_flow(
        r#""event":"denied","direction":"ingress","verdict":"deny","protocol":"TCP",
        "dst":{"address":"10.65.0.9","port":5432,"kind":"Pod","namespace":"shop","name":"db"},
        "rule":{"tier":"default","policy":{"kind":"NetworkPolicy","namespace":"shop","name":"db"},
        "direction":"ingress","index":1}"#,
    );
    assert_eq!(
        line::text(&flow, Paint::off()),
        "03:04:05.678  DENY    in                 shop/web:40312 -> shop/db:5432                  \
         TCP     default  NetworkPolicy shop/db rule 1"
    );
}

#[test]
fn a_tier_default_a_profile_and_nobody_are_told_apart() {
    let rule = |rule: &str| {
        let flow = mk_flow(&format!(
            r#""event":"new","direction":"egress","verdict":"allow","protocol":"ICMPv6",
            "icmp":{{"type":128,"code":0}},"dst":{{"address":"2001:db8::1"}},"rule":{rule}"#
        ));
        line::text(&flow, Paint::off())
    };
    assert!(rule(r#"{"tier":"platform"}"#).ends_with("ICMPv6 128.0  platform  end of tier"));
    assert!(rule(r#"{"profile":"kns.shop"}"#).ends_with("no policy applies (profile kns.shop)"));
    assert!(rule("{}").contains("[2001:db8::1]"));
    assert!(rule("{}").ends_with("no program for this endpoint"));
    assert!(rule(r#"{"other":"failsafe"}"#).ends_with("fail-safe port"));
    assert!(rule(r#"{"other":"workloadToHost"}"#).ends_with("defaultEndpointToHostAction"));
    let spoofed = rule(r#"{"other":"notItsOwn"}"#);
    assert!(spoofed.contains("shop/web(10.65.0.7):40312") && spoofed.ends_with("not its own"));
}

#[test]
fn a_host_endpoint_is_called_as_in_why() {
    let flow = mk_flow(
        r#""event":"denied","direction":"ingress","verdict":"deny","protocol":"TCP",
        "dst":{"address":"192.0.2.1","port":80,"kind":"Host","namespace":"","name":"n1-eth0"},
        "rule":{"other":"noProfile"}"#,
    );
    assert!(line::text(&flow, Paint::off()).contains("-> host/n1-eth0:80 "));
}

#[test]
fn a_destination_is_called_by_all_the_names_that_it_was_known_by() {
    let flow = mk_flow(
        r#""event":"new","direction":"egress","verdict":"allow","protocol":"TCP",
        "dst":{"address":"192.0.2.1","port":443,"names":["a.org","b.org"]},"rule":{}"#,
    );
    assert!(line::text(&flow, Paint::off()).contains("-> a.org,b.org(192.0.2.1):443 "));
}

#[test]
fn log_rules_are_named_after_what_decided() {
    let policy = r#"{"kind":"GlobalNetworkPolicy","namespace":"","name":"watch"}"#;
    let flow = mk_flow(&format!(
        r#""event":"new","direction":"ingress","verdict":"allow","protocol":"TCP",
        "dst":{{"address":"10.65.0.9","port":5432}},"rule":{{"profile":"kns.shop"}},
        "logged":[{{"tier":"t","policy":{policy},"direction":"ingress","index":2}},{{"profile":"p"}}]"#
    ));
    assert!(line::text(&flow, Paint::off()).ends_with(
        "no policy applies (profile kns.shop)  logged by GlobalNetworkPolicy watch rule 2, profile p"
    ));
}

#[test]
fn filters_become_a_query() {
    assert_eq!(mk_path(&[]), "/apis/bulkhead.dev/v1/flows");
    assert_eq!(
        mk_path(&["--follow", "-n", "shop", "--workload", "shop/db", "--verdict", "deny"]),
        "/apis/bulkhead.dev/v1/flows?follow=true&namespace=shop&workload=shop%2Fdb&verdict=deny"
    );
    assert_eq!(mk_path(&["--logged"]), "/apis/bulkhead.dev/v1/flows?logged=true");
    assert_eq!(
        mk_path(&["--port", "443", "--policy", "p", "--limit", "5"]),
        "/apis/bulkhead.dev/v1/flows?port=443&policy=p&limit=5"
    );
}
