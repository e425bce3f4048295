use bulkhead_types::EndpointId;
use bulkhead_wire::Surroundings;

use super::*;
use crate::node_labels::OWN_KEYS;

#[tokio::test]
async fn an_address_that_a_runtime_gave_out_is_judged_before_the_api_has_it() {
    let world = mk_world().await;
    let pod = json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": "web", "namespace": "shop"},
        "spec": {"nodeName": "n1", "containers": []},
    });
    world.put("pods", pod).await;
    let credential = world.member("n1").await;
    let mut talk = world.connect(Some(&credential), fresh("n1")).await.expect("a session");
    let address = "10.0.0.1".parse().expect("an address");
    let given = [(EndpointId::pod("shop", "web"), [address].into())].into();
    let labels = Default::default();
    talk.say(FromNode::Surroundings(Surroundings { labels, given })).await;
    let has = |program: &NodeProgram| {
        program.endpoints.values().any(|endpoint| endpoint.addresses.get(&address).is_some())
    };
    talk.hear(has).await;
    talk.say(FromNode::Surroundings(Surroundings::default())).await;
    talk.hear(|program| !has(program)).await;
}

#[tokio::test]
async fn a_nodes_own_labels_are_on_its_object() {
    let world = mk_world().await;
    let credential = world.member("n1").await;
    let talk = world.connect(Some(&credential), fresh("n1")).await.expect("a session");
    let pairs = [("topology.kubernetes.io/zone", "z1"), ("role", "boss")];
    let labels = pairs.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
    let given = Default::default();
    talk.say(FromNode::Surroundings(Surroundings { labels, given })).await;
    let node = async {
        loop {
            let stored = world.store.get(&Key::new("nodes", "", "n1")).expect("a node");
            if stored.value["metadata"]["annotations"][OWN_KEYS].is_string() {
                return stored.value.clone();
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let node = tokio::time::timeout(PATIENCE, node).await.expect("in time");
    let labels = &node["metadata"]["labels"];
    let wanted = json!({"kubernetes.io/hostname": "n1", "topology.kubernetes.io/zone": "z1"});
    assert_eq!(*labels, wanted);
}
