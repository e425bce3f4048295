//! Containers of a runtime: their policy is in the kernel before their first packet.

use serde_json::json;

use crate::container::{Container, Network, hello};
use crate::node;

/// Pods of this node without an address: that comes by the plugin.
const PODS: &str = "
apiVersion: v1
kind: Namespace
metadata: {name: shop}
---
apiVersion: v1
kind: Pod
metadata: {namespace: shop, name: back, labels: {app: back}}
spec: {nodeName: lab-1, containers: [{name: c, image: x}]}
---
apiVersion: v1
kind: Pod
metadata: {namespace: shop, name: front, labels: {app: front}}
spec: {nodeName: lab-1, containers: [{name: c, image: x}]}
---
apiVersion: v1
kind: Pod
metadata: {namespace: shop, name: stranger, labels: {app: stranger}}
spec: {nodeName: lab-1, containers: [{name: c, image: x}]}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {namespace: shop, name: back}
spec:
  podSelector: {matchLabels: {app: back}}
  policyTypes: [Ingress]
  ingress:
  - from: [{podSelector: {matchLabels: {app: front}}}]
    ports: [{port: 80}]
";

#[tokio::test(flavor = "multi_thread")]
async fn containers_are_judged_from_their_first_packet_on_a_bridge_and_on_pairs() {
    let mut lab = node::start().await;
    lab.apply(&node::objects(PODS)).await.unwrap();
    {
        let lab = &lab;
        let mut back = Container::pod(lab, "back", Network::Bridge);
        back.add();
        back.serve(&hello(&[80, 81]));
        node::until("the service", || {
            back.reaches("127.0.0.1", 80) && back.reaches("127.0.0.1", 81)
        });
        let address = back.address();

        let mut front = Container::pod(lab, "front", Network::Bridge);
        front.add();
        assert!(!front.reaches(&address, 81), "a port that no rule opens, first");
        assert!(front.reaches(&address, 80));

        // a pair with a route of its own, over the node's stack
        let mut stranger = Container::pod(lab, "stranger", Network::PointToPoint);
        stranger.add();
        assert!(!stranger.reaches(&address, 80), "who is not named");
        let policy = "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\n\
            metadata: {namespace: shop, name: open}\n\
            spec: {podSelector: {matchLabels: {app: back}}, ingress: [{}]}\n";
        lab.apply(&node::objects(policy)).await.unwrap();
        lab.wait_enforced().await.unwrap();
        assert!(stranger.reaches(&address, 80), "the same path, once a rule opens it");
        lab.delete(&node::objects(policy)).await.unwrap();
        lab.wait_enforced().await.unwrap();

        // a container may change its link address, and then sends nothing until it changes it back
        let under = |mac: &str| {
            let line = format!(
                "busybox ip link set eth0 down; busybox ip link set eth0 address {mac}; \
                 busybox ip link set eth0 up; busybox nc -w 1 {address} 80 </dev/null"
            );
            String::from_utf8_lossy(&front.run(&line).stdout).contains("hello")
        };
        assert!(!under("02:00:00:00:66:66"));
        // Its neighbours learn of it anew, which may take longer than one attempt.
        assert!((0..10).any(|_| under(&front.mac())));

        for version in ["0.3.1", "0.4.0", "1.0.0", "1.1.0"] {
            let (is_well, said) = back.ours("CHECK", version, 1.0);
            assert!(is_well, "{said}");
        }
        assert!(back.ours("STATUS", "1.1.0", 1.0).0);
        for _ in 0..2 {
            assert!(back.ours("DEL", "1.0.0", 1.0).0, "DEL says yes as often as it is asked");
        }
        let (is_well, said) = back.ours("CHECK", "1.0.0", 1.0);
        assert!(!is_well && said["code"] == json!(102), "{said}");
    }
    lab.agents()[0].kill().await.unwrap();
    let away = Container::pod(&lab, "away", Network::Bridge);
    let (is_well, said) = away.ours("STATUS", "1.1.0", 1.0);
    assert!(!is_well && said["code"] == json!(50), "{said}");
    assert!(away.ours("DEL", "1.0.0", 1.0).0, "a container can end without an agent");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_container_that_nobody_knows_is_refused_with_what_was_waited_for() {
    let mut lab = node::start().await;
    lab.apply(&node::objects(PODS)).await.unwrap();
    {
        let lab = &lab;
        let mut nobody = Container::pod(lab, "nobody", Network::Bridge);
        nobody.connect();
        let (is_added, said) = nobody.ours("ADD", "1.0.0", 0.5);
        assert!(!is_added && said["code"] == json!(100), "{said}");
        let message = said["msg"].as_str().unwrap();
        assert!(message.contains("waited 0.5 s for `shop/nobody`"), "{message}");
        assert!(!nobody.reaches("10.88.0.1", 22), "and it stays closed");
        let ping = "busybox ping -c 1 -W 1 10.88.0.1";
        assert!(!nobody.run(ping).status.success(), "to the node itself too");
    }
    // an agent that comes back still knows whose interface is whose
    let mut front = Container::pod(&lab, "front", Network::Bridge);
    front.add();
    drop(front);
    lab.agents()[0].kill().await.unwrap();
    lab.agents()[0].restart().unwrap();
}
