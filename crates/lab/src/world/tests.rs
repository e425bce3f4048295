use serde_json::json;

use super::*;

fn mk_world(objects: &[serde_json::Value]) -> Result<World> {
    let objects: Vec<Object> =
        objects.iter().map(|value| Object::from_value(value.clone()).unwrap()).collect();
    World::from_objects(&objects)
}

fn mk_pod(name: &str, ips: &[&str]) -> serde_json::Value {
    let ips: Vec<_> = ips.iter().map(|ip| json!({"ip": ip})).collect();
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"namespace": "shop", "name": name},
        "spec": {"containers": [{"name": "c", "ports": [
            {"containerPort": 80}, {"containerPort": 53, "protocol": "UDP"}]}]},
        "status": {"podIPs": ips}
    })
}

#[test]
fn a_pod_becomes_an_endpoint_on_the_default_node() {
    let world = mk_world(&[mk_pod("web", &["10.65.0.1", "fd65::1"])]).unwrap();
    let web = world.endpoint("shop/web").unwrap();
    assert_eq!(web.node, DEFAULT_NODE);
    assert_eq!(web.address(true), Some("fd65::1".parse().unwrap()));
    assert!(web.ports.contains(&(Protocol::TCP, 80)) && web.ports.contains(&(Protocol::UDP, 53)));
    assert_eq!(world.owner("10.65.0.1".parse().unwrap()), Some(web));
    assert_eq!(world.nodes, [DEFAULT_NODE]);
}

#[test]
fn finished_and_host_network_pods_have_no_namespace() {
    let mut done = mk_pod("done", &["10.65.0.1"]);
    done["status"]["phase"] = json!("Succeeded");
    let mut host = mk_pod("host", &["10.65.0.2"]);
    host["spec"]["hostNetwork"] = json!(true);
    assert!(mk_world(&[done, host]).unwrap().endpoints.is_empty());
}

#[test]
fn an_address_used_twice_is_refused() {
    let error = mk_world(&[mk_pod("a", &["10.65.0.1"]), mk_pod("b", &["10.65.0.1"])]).unwrap_err();
    assert_eq!(error.to_string(), "`shop/a` and `shop/b` both have the address `10.65.0.1`");
}
