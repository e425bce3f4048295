use super::*;
use crate::manifest;

fn mk_world(text: &str) -> Vec<Object> {
    let manifests = manifest::load("w.yaml", text);
    assert_eq!(manifests.diagnostics, []);
    manifests.into_objects()
}

fn mk_pod(namespace: &str, name: &str, rest: &str) -> String {
    format!(
        "---\napiVersion: v1\nkind: Pod\nmetadata: {{namespace: {namespace}, name: {name}}}\n{rest}\n"
    )
}

fn assigned(mut objects: Vec<Object>) -> Vec<(String, Vec<String>)> {
    assign(&mut objects);
    let mut all: Vec<_> = objects
        .iter()
        .map(|o| (o.key().to_string(), addresses(o).iter().map(IpAddr::to_string).collect()))
        .collect();
    all.sort();
    all
}

#[test]
fn order_of_objects_does_not_matter() {
    let text = mk_pod("b", "x", "")
        + &mk_pod("a", "z", "")
        + &mk_pod("a", "y", "")
        + "---\napiVersion: bulkhead.dev/v1\nkind: Workload\nmetadata: {namespace: a, name: y}\n";
    let objects = mk_world(&text);
    let reversed: Vec<_> = objects.iter().rev().cloned().collect();
    let all = assigned(objects);
    assert_eq!(all, assigned(reversed));
    let firsts: Vec<_> = all.iter().map(|(key, a)| (key.as_str(), a.join(" "))).collect();
    let expected = [
        ("Pod a/y", "10.65.0.1 fd65::1"),
        ("Pod a/z", "10.65.0.3 fd65::3"),
        ("Pod b/x", "10.65.0.4 fd65::4"),
        ("Workload a/y", "10.65.0.2 fd65::2"),
    ];
    assert_eq!(firsts, expected.map(|(key, text)| (key, text.to_owned())));
}

#[test]
fn given_addresses_are_kept_and_never_given_twice() {
    let text = mk_pod("a", "kept", "status: {podIP: 10.65.0.1}")
        + &mk_pod("a", "six", "status: {podIPs: [{ip: 'fd65::2'}]}")
        + &mk_pod("a", "new", "");
    let all = assigned(mk_world(&text));
    assert_eq!(all[0].1, ["10.65.0.1"]);
    assert_eq!(all[1], ("Pod a/new".to_owned(), vec!["10.65.0.3".into(), "fd65::3".into()]));
    assert_eq!(all[2].1, ["fd65::2"]);
}

#[test]
fn finished_and_host_network_pods_get_none() {
    let text = mk_pod("a", "done", "status: {phase: Succeeded}")
        + &mk_pod("a", "host", "spec: {hostNetwork: true, containers: []}");
    assert!(assigned(mk_world(&text)).iter().all(|(_, addresses)| addresses.is_empty()));
}

#[test]
fn the_counter_runs_on_past_one_byte_and_two() {
    assert_eq!(pair(258).0.to_string(), "10.65.1.2");
    assert_eq!(pair(258).1.to_string(), "fd65::1:2");
    assert_eq!(pair(65_536 + 1).0.to_string(), "10.66.0.1");
    assert_eq!(pair(65_536 + 1).1.to_string(), "fd65::100:1");
}
