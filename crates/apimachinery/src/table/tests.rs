use serde_json::json;

use super::*;
use crate::kinds;

fn now() -> Timestamp {
    "2026-11-21T21:07:00Z".parse().unwrap()
}

fn shown(api_version: &str, kind: &str, object: Value) -> Vec<(String, String)> {
    let resource = kinds::by_kind(api_version, kind).unwrap();
    let columns = columns(resource);
    let names = columns.as_array().unwrap().iter().map(|c| c["name"].as_str().unwrap().to_owned());
    let cells = cells(resource, &object, now());
    names.zip(cells.iter().map(|c| c.as_str().unwrap().to_owned())).collect()
}

fn cell(rows: &[(String, String)], name: &str) -> String {
    rows.iter().find(|(column, _)| column == name).unwrap().1.clone()
}

#[test]
fn every_kind_has_as_many_cells_as_columns_even_for_an_empty_object() {
    for resource in kinds::all() {
        let n_columns = columns(resource).as_array().unwrap().len();
        assert_eq!(cells(resource, &json!({}), now()).len(), n_columns, "{}", resource.kind);
    }
}

#[test]
fn a_pod_shows_readiness_addresses_and_node() {
    let rows = shown(
        "v1",
        "Pod",
        json!({
            "metadata": {"name": "a", "creationTimestamp": "2026-11-21T21:00:00Z"},
            "spec": {"containers": [{}, {}], "nodeName": "n1"},
            "status": {
                "phase": "Running", "podIPs": [{"ip": "10.0.0.1"}, {"ip": "fd00::1"}],
                "containerStatuses": [{"ready": true}, {"ready": false}],
            },
        }),
    );
    assert_eq!(cell(&rows, "Ready"), "1/2");
    assert_eq!(cell(&rows, "Status"), "Running");
    assert_eq!(cell(&rows, "IP"), "10.0.0.1,fd00::1");
    assert_eq!(cell(&rows, "Node"), "n1");
    assert_eq!(cell(&rows, "Age"), "7m");
}

#[test]
fn a_policy_shows_tier_order_selector_and_how_far_it_is_enforced() {
    let rows = shown(
        "projectcalico.org/v3",
        "GlobalNetworkPolicy",
        json!({
            "metadata": {"name": "a"},
            "spec": {"tier": "kube-admin", "order": 10.0, "selector": "a == 'b'", "types": ["Ingress", "Egress"]},
            "status": {"enforcement": {"nodes": 2, "of": 3}},
        }),
    );
    assert_eq!(cell(&rows, "Tier"), "kube-admin");
    assert_eq!(cell(&rows, "Order"), "10");
    assert_eq!(cell(&rows, "Selector"), "a == 'b'");
    assert_eq!(cell(&rows, "Types"), "Ingress,Egress");
    assert_eq!(cell(&rows, "Enforced"), "2/3");
    let rows = shown(
        "networking.k8s.io/v1",
        "NetworkPolicy",
        json!({"spec": {"podSelector": {
            "matchLabels": {"b": "2", "a": "1"},
            "matchExpressions": [{"key": "c", "operator": "NotIn", "values": ["x", "y"]}],
        }}}),
    );
    assert_eq!(cell(&rows, "Pod-Selector"), "a=1,b=2,c notin (x,y)");
    assert_eq!(cell(&rows, "Enforced"), "<pending>");
}

#[test]
fn ages_are_short() {
    let cases = [
        ("2026-11-21T21:06:59Z", "1s"),
        ("2026-11-21T21:05:01Z", "119s"),
        ("2026-11-21T21:01:30Z", "5m30s"),
        ("2026-11-21T20:07:00Z", "60m"),
        ("2026-11-21T16:02:00Z", "5h5m"),
        ("2026-11-19T15:07:00Z", "2d6h"),
        ("2026-10-21T21:07:00Z", "31d"),
        ("2026-11-21T21:08:00Z", "0s"),
        ("", "<unknown>"),
    ];
    for (since, expected) in cases {
        assert_eq!(age(since, now()), expected, "{since}");
    }
}
