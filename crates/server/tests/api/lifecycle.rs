//! Objects over their life: namespaces, owners, finalizers, versions.

use kube::Client;
use serde_json::{Value, json};

use crate::process::{Answer, Server, eventually, get, post, send};

const PODS: &str = "/api/v1/namespaces/shop/pods";
const MERGE: &str = "application/merge-patch+json";

fn pod(name: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name},
        "spec": {"containers": [{"name": "c", "image": "i"}]},
    })
}

async fn ok(answer: Answer) -> Value {
    assert!((200..300).contains(&answer.code), "{} {}", answer.code, answer.body);
    answer.body
}

async fn delete(client: &Client, path: &str, options: Value) -> Answer {
    send(client, "DELETE", path, "application/json", options.to_string()).await
}

async fn shop(server: &Server) -> Client {
    let client = server.client().await;
    let namespace = json!({"metadata": {"name": "shop"}});
    ok(post(&client, "/api/v1/namespaces", &namespace).await).await;
    let account = "/api/v1/namespaces/shop/serviceaccounts/default";
    eventually("the account", async || (get(&client, account).await.code == 200).then_some(()))
        .await;
    client
}

async fn gone(client: &Client, path: &str) {
    eventually(path, async || (get(client, path).await.code == 404).then_some(())).await;
}

#[tokio::test]
async fn a_fresh_server_has_the_default_namespace_its_account_and_the_tiers() {
    let server = Server::start();
    let client = server.client().await;
    let namespace = ok(get(&client, "/api/v1/namespaces/default").await).await;
    assert_eq!(namespace["metadata"]["labels"]["kubernetes.io/metadata.name"], "default");
    assert_eq!(namespace["status"]["phase"], "Active");
    ok(get(&client, "/api/v1/namespaces/default/serviceaccounts/default").await).await;
    for (tier, order, action) in
        [("default", 1e6, "Deny"), ("kube-admin", 1e3, "Pass"), ("kube-baseline", 1e7, "Pass")]
    {
        let path = format!("/apis/projectcalico.org/v3/tiers/{tier}");
        let found = ok(get(&client, &path).await).await;
        assert_eq!(found["spec"]["order"].as_f64(), Some(order), "{found}");
        assert_eq!(found["spec"]["defaultAction"], action, "{found}");
        assert_eq!(delete(&client, &path, json!({})).await.code, 403);
    }
    assert_eq!(delete(&client, "/api/v1/namespaces/default", json!({})).await.code, 403);
}

#[tokio::test]
async fn a_namespace_brings_its_account_and_takes_everything_with_it() {
    let server = Server::start();
    let client = shop(&server).await;
    for n in 0..20 {
        ok(post(&client, PODS, &pod(&format!("p{n}"))).await).await;
    }
    let mut held = pod("held");
    held["metadata"]["finalizers"] = json!(["example.com/hold"]);
    ok(post(&client, PODS, &held).await).await;

    let terminating = ok(delete(&client, "/api/v1/namespaces/shop", json!({})).await).await;
    assert_eq!(terminating["status"]["phase"], "Terminating");
    gone(&client, &format!("{PODS}/p19")).await;
    assert_eq!(get(&client, "/api/v1/namespaces/shop").await.code, 200, "a finalizer holds it");
    let late = post(&client, PODS, &pod("late")).await;
    assert_eq!(late.code, 403, "{}", late.body);
    let release = json!({"metadata": {"finalizers": null}}).to_string();
    ok(send(&client, "PATCH", &format!("{PODS}/held"), MERGE, release).await).await;
    gone(&client, "/api/v1/namespaces/shop").await;
    assert_eq!(ok(get(&client, "/api/v1/pods").await).await["items"], json!([]));
}

#[tokio::test]
async fn a_finalizer_keeps_an_object_until_it_is_taken_off() {
    let server = Server::start();
    let client = shop(&server).await;
    let mut held = pod("held");
    held["metadata"]["finalizers"] = json!(["example.com/hold"]);
    ok(post(&client, PODS, &held).await).await;
    let path = format!("{PODS}/held");
    let marked = ok(delete(&client, &path, json!({})).await).await;
    assert!(marked["metadata"]["deletionTimestamp"].is_string(), "{marked}");
    let more = json!({"metadata": {"finalizers": ["example.com/hold", "example.com/two"]}});
    let answer = send(&client, "PATCH", &path, MERGE, more.to_string()).await;
    assert_eq!(answer.code, 422, "{}", answer.body);
    let release = json!({"metadata": {"finalizers": []}}).to_string();
    ok(send(&client, "PATCH", &path, MERGE, release).await).await;
    assert_eq!(get(&client, &path).await.code, 404);
}

#[tokio::test]
async fn dependents_go_with_their_owner_unless_they_are_orphaned() {
    let server = Server::start();
    let client = shop(&server).await;
    for (policy, stays) in [("Background", false), ("Foreground", false), ("Orphan", true)] {
        let owner = ok(post(&client, PODS, &pod("owner")).await).await;
        let mut owned = pod("owned");
        owned["metadata"]["ownerReferences"] = json!([{
            "apiVersion": "v1", "kind": "Pod", "name": "owner", "blockOwnerDeletion": true,
            "uid": owner["metadata"]["uid"],
        }]);
        ok(post(&client, PODS, &owned).await).await;
        let options = json!({"propagationPolicy": policy});
        ok(delete(&client, &format!("{PODS}/owner"), options).await).await;
        gone(&client, &format!("{PODS}/owner")).await;
        let path = format!("{PODS}/owned");
        if stays {
            let kept = ok(get(&client, &path).await).await;
            assert_eq!(kept["metadata"]["ownerReferences"].as_array().map_or(0, Vec::len), 0);
            ok(delete(&client, &path, json!({})).await).await;
        }
        gone(&client, &path).await;
    }
}

#[tokio::test]
async fn an_owner_of_a_kind_that_is_not_served_is_taken_to_exist() {
    let server = Server::start();
    let client = shop(&server).await;
    let mut owned = pod("owned");
    owned["metadata"]["ownerReferences"] = json!([{
        "apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "r", "uid": "1",
    }]);
    ok(post(&client, PODS, &owned).await).await;
    let mut garbage = pod("garbage");
    garbage["metadata"]["ownerReferences"] = json!([{
        "apiVersion": "v1", "kind": "Pod", "name": "nobody", "uid": "1",
    }]);
    ok(post(&client, PODS, &garbage).await).await;
    gone(&client, &format!("{PODS}/garbage")).await;
    ok(get(&client, &format!("{PODS}/owned")).await).await;
}

#[tokio::test]
async fn only_the_version_that_was_read_can_be_replaced() {
    let server = Server::start();
    let client = shop(&server).await;
    let first = ok(post(&client, PODS, &pod("p")).await).await;
    let path = format!("{PODS}/p");
    let mut second = first.clone();
    second["metadata"]["labels"] = json!({"a": "b"});
    let put = async |body: &Value| {
        send(&client, "PUT", &path, "application/json", body.to_string()).await
    };
    let second = ok(put(&second).await).await;
    let stale = put(&first).await;
    assert_eq!((stale.code, stale.text("/reason")), (409, "Conflict"), "{}", stale.body);
    let same = ok(put(&second).await).await;
    assert_eq!(same["metadata"]["resourceVersion"], second["metadata"]["resourceVersion"]);
    let again = post(&client, PODS, &pod("p")).await;
    assert_eq!((again.code, again.text("/reason")), (409, "AlreadyExists"), "{}", again.body);
    let other = json!({"preconditions": {"uid": "other"}});
    assert_eq!(delete(&client, &path, other).await.code, 409);
}

#[tokio::test]
async fn a_dry_run_answers_like_a_write_and_leaves_nothing() {
    let server = Server::start();
    let client = shop(&server).await;
    let before = ok(get(&client, "/api/v1/pods").await).await["metadata"].clone();
    let answer = post(&client, &format!("{PODS}?dryRun=All"), &pod("p")).await;
    assert_eq!(answer.code, 201, "{}", answer.body);
    assert!(!answer.text("/metadata/uid").is_empty());
    assert_eq!(ok(get(&client, "/api/v1/pods").await).await["metadata"], before);
}

#[tokio::test]
async fn generated_names_are_unique_and_generation_counts_specs() {
    let server = Server::start();
    let client = shop(&server).await;
    let mut names = std::collections::HashSet::new();
    for _ in 0..20 {
        let mut nameless = pod("");
        nameless["metadata"] = json!({"generateName": "p-"});
        let made = ok(post(&client, PODS, &nameless).await).await;
        assert!(names.insert(made["metadata"]["name"].as_str().unwrap().to_owned()));
    }
    let policies = "/apis/networking.k8s.io/v1/namespaces/shop/networkpolicies";
    let policy = json!({"metadata": {"name": "n"}, "spec": {"podSelector": {}}});
    let made = ok(post(&client, policies, &policy).await).await;
    assert_eq!(made["metadata"]["generation"], 1);
    let path = format!("{policies}/n");
    let change =
        async |body: Value| ok(send(&client, "PATCH", &path, MERGE, body.to_string()).await).await;
    assert_eq!(
        change(json!({"metadata": {"labels": {"a": "b"}}})).await["metadata"]["generation"],
        1
    );
    let spec = json!({"spec": {"policyTypes": ["Ingress", "Egress"]}});
    assert_eq!(change(spec).await["metadata"]["generation"], 2);
}
