use std::time::Instant;

use serde_json::json;

use super::*;

fn mk_pod(name: &str, node: &str, ip: Option<&str>) -> Object {
    let ips: Vec<_> = ip.iter().map(|ip| json!({"ip": ip})).collect();
    Object::from_value(json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"namespace": "shop", "name": name},
        "spec": {"nodeName": node, "containers": []},
        "status": {"podIPs": ips},
    }))
    .unwrap()
}

fn mk_given(node: &str, name: &str, address: &str) -> Given {
    let mut given = Given::default();
    let out = [(EndpointId::pod("shop", name), [address.parse().unwrap()].into())].into();
    let keys = given.replace(node.to_owned(), out);
    assert_eq!(keys.len(), 1);
    given
}

fn lent(given: &Given, mut pod: Object, directory: &Directory) -> Vec<String> {
    given.lend(&mut pod, directory);
    addressing::addresses(&pod).iter().map(IpAddr::to_string).collect()
}

#[test]
fn a_pod_without_addresses_gets_what_its_node_tells() {
    let given = mk_given("n1", "web", "10.0.0.1");
    let nobody = Directory::default();
    assert_eq!(lent(&given, mk_pod("web", "n1", None), &nobody), ["10.0.0.1"]);
    assert_eq!(lent(&given, mk_pod("web", "n2", None), &nobody), [""; 0], "of another node");
    assert_eq!(lent(&given, mk_pod("db", "n1", None), &nobody), [""; 0], "of another name");
}

#[test]
fn the_api_knows_better() {
    let given = mk_given("n1", "web", "10.0.0.1");
    let pod = mk_pod("web", "n1", Some("10.0.0.9"));
    assert_eq!(lent(&given, pod, &Directory::default()), ["10.0.0.9"]);
}

#[test]
fn an_address_that_somebody_has_is_not_given_out_again() {
    let given = mk_given("n1", "web", "10.0.0.1");
    let directory = Directory::default();
    let db = mk_pod("db", "n2", Some("10.0.0.1"));
    directory.upsert(&db, Instant::now());
    assert_eq!(lent(&given, mk_pod("web", "n1", None), &directory), [""; 0]);
    directory.remove(&db.key(), Instant::now());
    assert_eq!(lent(&given, mk_pod("web", "n1", None), &directory), ["10.0.0.1"]);
}

#[test]
fn what_a_node_no_longer_tells_is_gone() {
    let mut given = mk_given("n1", "web", "10.0.0.1");
    assert_eq!(given.replace("n1".to_owned(), GivenOut::new()).len(), 1);
    assert_eq!(lent(&given, mk_pod("web", "n1", None), &Directory::default()), [""; 0]);
}
