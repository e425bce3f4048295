use serde_json::json;

use super::*;

fn mk_pod(name: &str, node: &str, address: &str, app: &str) -> Object {
    Object::from_value(json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": name, "namespace": "shop", "labels": {"app": app}},
        "spec": {"nodeName": node, "containers": []},
        "status": {"podIPs": [{"ip": address}]},
    }))
    .expect("is a pod")
}

fn found(directory: &Directory, address: &str) -> Option<(String, String)> {
    let resident = directory.find(address.parse().expect("an address"))?;
    Some((resident.peer.id.name.clone(), resident.peer.labels.get("app")?.clone()))
}

fn says(name: &str, app: &str) -> Option<(String, String)> {
    Some((name.to_owned(), app.to_owned()))
}

#[test]
fn an_address_is_its_present_holder_or_else_its_last() {
    let directory = Directory::default();
    let start = Instant::now();
    directory.upsert(&mk_pod("web", "n1", "10.0.0.1", "v1"), start);
    assert_eq!(found(&directory, "10.0.0.1"), says("web", "v1"));
    assert_eq!(found(&directory, "10.0.0.2"), None);
    directory.upsert(&mk_pod("web", "n1", "10.0.0.1", "v2"), start);
    assert_eq!(found(&directory, "10.0.0.1"), says("web", "v2"));
    let key = mk_pod("web", "n1", "10.0.0.1", "v2").key();
    directory.remove(&key, start);
    assert_eq!(found(&directory, "10.0.0.1"), says("web", "v2"), "a late record still has a name");
    directory.upsert(&mk_pod("api", "n2", "10.0.0.1", "v3"), start);
    assert_eq!(found(&directory, "10.0.0.1"), says("api", "v3"));
}

#[test]
fn what_is_gone_is_forgotten_in_time() {
    let directory = Directory::default();
    let start = Instant::now();
    for (n, name) in ["a", "b"].into_iter().enumerate() {
        let pod = mk_pod(name, "n1", &format!("10.0.0.{n}"), "v1");
        directory.upsert(&pod, start);
        directory.remove(&pod.key(), start + GONE_KEPT * u32::try_from(n).expect("small") * 2);
    }
    assert_eq!(found(&directory, "10.0.0.0"), None);
    assert_eq!(found(&directory, "10.0.0.1"), says("b", "v1"));
}

#[test]
fn an_address_taken_over_is_not_lost_with_its_first_holder() {
    let directory = Directory::default();
    let start = Instant::now();
    let (old, new) = (mk_pod("old", "n1", "10.0.0.1", "v1"), mk_pod("new", "n1", "10.0.0.1", "v1"));
    directory.upsert(&old, start);
    directory.upsert(&new, start);
    directory.remove(&old.key(), start);
    assert_eq!(found(&directory, "10.0.0.1"), says("new", "v1"));
}

#[test]
fn pods_that_are_done_or_in_the_network_of_their_node_stand_behind_no_address() {
    let directory = Directory::default();
    let start = Instant::now();
    let altered = |name: &str, pointer: &str, value: serde_json::Value| {
        let mut pod = mk_pod(name, "n1", "10.0.0.1", name).to_value().expect("is JSON");
        let (parent, field) = pointer.rsplit_once('/').expect("is a pointer");
        pod.pointer_mut(parent).expect("is there")[field] = value;
        Object::from_value(pod).expect("is a pod")
    };
    directory.upsert(&altered("proxy", "/spec/hostNetwork", json!(true)), start);
    assert_eq!(found(&directory, "10.0.0.1"), None);

    directory.upsert(&mk_pod("job", "n1", "10.0.0.1", "job"), start);
    directory.upsert(&mk_pod("web", "n1", "10.0.0.1", "web"), start);
    // its address is another's by now
    directory.upsert(&altered("job", "/status/phase", json!("Succeeded")), start);
    assert_eq!(found(&directory, "10.0.0.1"), says("web", "web"));
}
