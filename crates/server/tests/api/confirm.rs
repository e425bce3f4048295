//! Changes that take themselves back, through kubectl and over a restart.

use serde_json::json;

use crate::kubectl::{Kubectl, says};
use crate::process::{Server, eventually, get, post, send};

const ENDPOINTS: &str = "/apis/projectcalico.org/v3/hostendpoints";
const MERGE: &str = "application/merge-patch+json";

#[tokio::test]
async fn an_unconfirmed_change_is_taken_back_also_after_the_server_was_killed() {
    let mut server = Server::start();
    let client = server.client().await;
    let endpoint = json!({
        "apiVersion": "projectcalico.org/v3", "kind": "HostEndpoint",
        "metadata": {"name": "n1"}, "spec": {"node": "n1", "interfaceName": "eth0"},
    });
    assert_eq!(post(&client, ENDPOINTS, &endpoint).await.code, 201);
    let path = format!("{ENDPOINTS}/n1");
    let change = json!({
        "metadata": {"annotations": {"bulkhead.dev/confirm-within": "5s"}},
        "spec": {"interfaceName": "*"},
    });
    let changed = send(&client, "PATCH", &path, MERGE, change.to_string()).await;
    assert_eq!(changed.text("/spec/interfaceName"), "*");
    assert!(!changed.text("/metadata/annotations/bulkhead.dev~1confirm-by").is_empty());

    server.kill();
    server.run();
    let client = server.client().await;
    let back = eventually("the change to be taken back", async || {
        let found = get(&client, &path).await;
        (found.text("/spec/interfaceName") == "eth0").then_some(found)
    })
    .await;
    assert!(!back.text("/metadata/annotations/bulkhead.dev~1rolled-back").is_empty());

    let new = json!({
        "apiVersion": "projectcalico.org/v3", "kind": "GlobalNetworkPolicy",
        "metadata": {"name": "new", "annotations": {"bulkhead.dev/confirm-within": "5s"}},
        "spec": {"selector": "all()", "types": ["Ingress"]},
    });
    let policies = "/apis/projectcalico.org/v3/globalnetworkpolicies";
    assert_eq!(post(&client, policies, &new).await.code, 201);
    let path = format!("{policies}/new");
    eventually("what is new to go", async || (get(&client, &path).await.code == 404).then_some(()))
        .await;
}

#[tokio::test]
async fn a_change_stays_when_its_deadline_is_removed_with_kubectl() {
    let kubectl = Kubectl::new();
    let manifest = |name: &str, order: u32, wish: &str| {
        format!(
            "apiVersion: projectcalico.org/v3\nkind: GlobalNetworkPolicy\n\
             metadata: {{name: {name}, annotations: {{{wish}}}}}\n\
             spec: {{order: {order}, selector: all(), types: [Ingress]}}\n"
        )
    };
    let soon = "bulkhead.dev/confirm-within: 5s";
    kubectl.ok_with("apply -f -", &manifest("kept", 1, ""));
    kubectl.ok_with("apply -f -", &manifest("kept", 2, soon));
    let confirm = "annotate globalnetworkpolicies kept bulkhead.dev/confirm-by-";
    says(&kubectl.ok(confirm), &["annotated"]);
    // One that is confirmed by nobody is over later, so the first one's time is over too.
    kubectl.ok_with("apply -f -", &manifest("dropped", 1, soon));
    eventually("the other one to go", async || {
        (kubectl.run("get globalnetworkpolicies dropped", "").code != 0).then_some(())
    })
    .await;
    let kept = kubectl.ok("get globalnetworkpolicies kept -o yaml");
    says(&kept, &["order: 2"]);
    assert!(!kept.contains("unconfirmed"), "{kept}");
}
