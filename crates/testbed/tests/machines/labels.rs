//! A host is selected by what its metadata says, and by nothing that it may not say.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bulkhead_lab::Lab;
use bulkhead_lab::netns::NetNs;

use crate::node;

const HOST: &str = "169.254.64.1";
const OUTSIDE: &str = "192.0.2.7";

const POLICY: &str = "
apiVersion: projectcalico.org/v3
kind: KubeControllersConfiguration
metadata: {name: default}
spec: {controllers: {node: {hostEndpoint: {autoCreate: Enabled}}}}
---
apiVersion: projectcalico.org/v3
kind: GlobalNetworkPolicy
metadata: {name: edge}
spec:
  selector: cloud.bulkhead.dev/tag.team == 'edge'
  types: [Ingress]
  ingress:
  - {action: Deny, protocol: TCP, destination: {ports: [8081]}}
  - {action: Allow}
---
apiVersion: projectcalico.org/v3
kind: GlobalNetworkPolicy
metadata: {name: forged}
spec:
  selector: example.org/role == 'boss'
  types: [Ingress]
  ingress:
  - {action: Deny}
";

async fn reaches(lab: &Lab, outside: &NetNs, port: u16) -> bool {
    let at = SocketAddr::new(HOST.parse().unwrap(), port);
    let connect = lab.net().tcp_connect(outside, OUTSIDE.parse().unwrap(), at);
    matches!(tokio::time::timeout(Duration::from_millis(500), connect).await, Ok(Ok(_)))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_is_selected_by_what_its_metadata_says() {
    let mut lab = node::start().await;
    lab.apply(&node::objects(POLICY)).await.unwrap();
    lab.wait_enforced().await.unwrap();
    let host = lab.net().node("lab-1").await.unwrap();
    let outside = lab.net().outside(&[OUTSIDE.parse().unwrap()]).await.unwrap();
    let any = |port| SocketAddr::from(([0, 0, 0, 0], port));
    let _services = [8081, 8082].map(|port| lab.net().tcp_listener(&host, any(port)).unwrap());
    assert!(reaches(&lab, &outside, 8081).await, "before the host says anything");

    let metadata = lab.claim().data_folder().join("instance-data.json");
    let text = r#"{"v1": {"region": "eu-1"}, "ds": {"meta_data": {"tags": {"team": "edge"}}}}"#;
    std::fs::write(&metadata, text).unwrap();
    let agent = &mut lab.agents()[0];
    agent.kill().await.unwrap();
    agent.set_flag("--metadata-file", metadata.to_string_lossy().into_owned());
    agent.set_flag("--label", "example.org/role=boss".to_owned());
    agent.restart().unwrap();

    let end = Instant::now() + Duration::from_secs(30);
    let labels = loop {
        let object = lab.get("/api/v1/nodes/lab-1").await.unwrap();
        let labels = object["metadata"]["labels"].clone();
        if labels["topology.kubernetes.io/region"] == "eu-1" {
            break labels;
        }
        assert!(Instant::now() < end, "the node's labels stay without its metadata: {labels}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    while reaches(&lab, &outside, 8081).await {
        assert!(Instant::now() < end, "the policy for its team does not hold the host");
    }
    assert!(reaches(&lab, &outside, 8082).await, "and the one for a label that it forged does");
    assert_eq!(labels["example.org/role"], serde_json::Value::Null);
}
