//! kube's own client: lists, pages, watches, and history that has gone by.

use std::collections::BTreeSet;
use std::time::Duration;

use futures::{StreamExt, TryStreamExt};
use k8s_openapi::api::core::v1::{Namespace, Pod};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use kube::api::{
    Api, DeleteParams, ListParams, Patch, PatchParams, PostParams, WatchEvent, WatchParams,
};
use kube::{Client, Error, ResourceExt};
use serde_json::json;

use crate::process::{PATIENCE, Server, get};

async fn namespace(client: &Client, name: &str) {
    let namespace = serde_json::from_value(json!({"metadata": {"name": name}})).unwrap();
    Api::<Namespace>::all(client.clone()).create(&PostParams::default(), &namespace).await.unwrap();
}

async fn pod(client: &Client, namespace: &str, name: &str, app: &str) -> Pod {
    let pod = serde_json::from_value(json!({
        "metadata": {"name": name, "labels": {"app": app}},
        "spec": {"containers": [{"name": "c", "image": "i"}]},
    }));
    let pods = Api::<Pod>::namespaced(client.clone(), namespace);
    pods.create(&PostParams::default(), &pod.unwrap()).await.unwrap()
}

async fn setup() -> (Server, Client, Api<Pod>) {
    let server = Server::start();
    let client = server.client().await;
    namespace(&client, "shop").await;
    let pods = Api::namespaced(client.clone(), "shop");
    (server, client, pods)
}

/// The type letter and name of each event, as many as asked for.
async fn events(api: &Api<Pod>, params: &WatchParams, from: &str, n_events: usize) -> Vec<String> {
    let stream = api.watch(params, from).await.unwrap().map_ok(|event| match event {
        WatchEvent::Added(pod) => format!("A {}", pod.name_any()),
        WatchEvent::Modified(pod) => format!("M {}", pod.name_any()),
        WatchEvent::Deleted(pod) => format!("D {}", pod.name_any()),
        WatchEvent::Bookmark(_) => "B".to_owned(),
        WatchEvent::Error(error) => format!("E {}", error.code),
    });
    let collected = stream.take(n_events).try_collect();
    tokio::time::timeout(PATIENCE, collected).await.expect("in time").expect("a stream of events")
}

#[tokio::test]
async fn pages_make_one_consistent_list() {
    let (_server, client, pods) = setup().await;
    for n in 0..25 {
        pod(&client, "shop", &format!("p{n:02}"), "a").await;
    }
    let (mut names, mut token, mut versions) = (Vec::new(), None, BTreeSet::new());
    loop {
        let mut params = ListParams::default().limit(10);
        params.continue_token = token;
        let page = pods.list(&params).await.unwrap();
        if names.is_empty() {
            assert_eq!(page.metadata.remaining_item_count, Some(15));
            pods.delete("p20", &DeleteParams::default()).await.unwrap();
            pod(&client, "shop", "p11-late", "a").await;
        }
        names.extend(page.items.iter().map(ResourceExt::name_any));
        versions.insert(page.metadata.resource_version.clone());
        token = page.metadata.continue_.filter(|token| !token.is_empty());
        if token.is_none() {
            break;
        }
    }
    let expected: Vec<String> = (0..25).map(|n| format!("p{n:02}")).collect();
    assert_eq!(names, expected, "all pages show the revision of the first");
    assert_eq!(versions.len(), 1, "{versions:?}");
}

#[tokio::test]
async fn selectors_pick_and_watches_see_objects_come_and_go() {
    let (_server, client, pods) = setup().await;
    namespace(&client, "other").await;
    let first = pod(&client, "shop", "a1", "a").await;
    pod(&client, "shop", "b1", "b").await;
    pod(&client, "other", "a2", "a").await;
    let list = pods.list(&ListParams::default().labels("app in (a),!x")).await.unwrap();
    assert_eq!(list.items.iter().map(ResourceExt::name_any).collect::<Vec<_>>(), ["a1"]);
    let everywhere = Api::<Pod>::all(client.clone());
    let by_field = ListParams::default().fields("metadata.namespace=other");
    assert_eq!(everywhere.list(&by_field).await.unwrap().items.len(), 1);

    let relabel = |app: &str| Patch::Merge(json!({"metadata": {"labels": {"app": app}}}));
    let params = PatchParams::default();
    pods.patch("b1", &params, &relabel("a")).await.unwrap();
    pods.patch("b1", &params, &relabel("c")).await.unwrap();
    pods.patch("a1", &params, &Patch::Merge(json!({"metadata": {"labels": {"y": "z"}}})))
        .await
        .unwrap();
    pods.delete("a1", &DeleteParams::default()).await.unwrap();
    let watch = WatchParams::default().labels("app=a");
    let from = first.resource_version().unwrap();
    assert_eq!(events(&pods, &watch, &from, 4).await, ["A b1", "D b1", "M a1", "D a1"]);
    assert_eq!(events(&everywhere, &watch, "0", 1).await, ["A a2"], "0 starts with the state");
}

#[tokio::test]
async fn a_watch_ends_after_its_timeout_with_a_bookmark() {
    let (_server, client, pods) = setup().await;
    let made = pod(&client, "shop", "a", "a").await;
    let params = WatchParams::default().timeout(1);
    let seen = events(&pods, &params, &made.resource_version().unwrap(), 10).await;
    assert_eq!(seen, ["B"]);
}

#[tokio::test]
async fn a_streaming_list_ends_its_first_part_with_an_annotated_bookmark() {
    let (_server, client, pods) = setup().await;
    pod(&client, "shop", "a", "a").await;
    let params = WatchParams { send_initial_events: true, ..WatchParams::default() };
    let mut stream = pods.watch(&params, "0").await.unwrap().boxed();
    assert!(matches!(stream.next().await, Some(Ok(WatchEvent::Added(_)))));
    let Some(Ok(WatchEvent::Bookmark(end))) = stream.next().await else { panic!("a bookmark") };
    assert_eq!(end.metadata.annotations["k8s.io/initial-events-end"], "true");
}

#[tokio::test]
async fn history_that_has_gone_by_is_410() {
    let server = Server::start_with(&["--history-events", "20"]);
    let client = server.client().await;
    let pods = Api::<Pod>::namespaced(client.clone(), "default");
    let old = pod(&client, "default", "first", "a").await.resource_version().unwrap();
    let first = pods.list(&ListParams::default().limit(1)).await.unwrap();
    pod(&client, "default", "second", "a").await;
    let page = pods.list(&ListParams::default().limit(1)).await.unwrap();
    assert_eq!(first.items.len(), 1);
    for n in 0..30 {
        pod(&client, "default", &format!("p{n}"), "a").await;
    }
    assert_eq!(events(&pods, &WatchParams::default(), &old, 1).await, ["E 410"]);
    let mut params = ListParams::default().limit(1);
    params.continue_token = page.metadata.continue_;
    let Err(Error::Api(status)) = pods.list(&params).await else { panic!("the token has expired") };
    assert_eq!((status.code, status.reason.as_str()), (410, "Expired"));
    let exact = format!("/api/v1/pods?resourceVersion={old}&resourceVersionMatch=Exact");
    assert_eq!(get(&client, &exact).await.code, 410);
}

#[tokio::test]
async fn a_watcher_that_does_not_read_is_told_so_and_costs_nothing() {
    let server = Server::start_with(&["--history-events", "200"]);
    let client = server.client().await;
    let pods = Api::<Pod>::namespaced(client.clone(), "default");
    let mut slow = pods.watch(&WatchParams::default(), "0").await.unwrap().boxed();
    let filler = "x".repeat(100_000);
    for n in 0..260 {
        let patch = json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {"annotations": {"n": n.to_string(), "filler": filler}},
            "spec": {"containers": [{"name": "c", "image": "i"}]},
        });
        let params = PatchParams::apply("test").force();
        pods.patch("big", &params, &Patch::Apply(patch)).await.unwrap();
    }
    let read = async {
        while let Some(event) = slow.next().await {
            match event.unwrap() {
                WatchEvent::Error(error) => return error.code,
                _ => tokio::time::sleep(Duration::from_millis(1)).await,
            }
        }
        0
    };
    assert_eq!(tokio::time::timeout(PATIENCE, read).await.expect("in time"), 410);
}

#[tokio::test]
async fn apply_shares_fields_between_managers() {
    let (_server, client, _) = setup().await;
    let policies = Api::<NetworkPolicy>::namespaced(client, "shop");
    let policy = |types: serde_json::Value| {
        Patch::Apply(json!({
            "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
            "metadata": {"name": "p"},
            "spec": {"podSelector": {}, "policyTypes": types},
        }))
    };
    let one = PatchParams::apply("one");
    policies.patch("p", &one, &policy(json!(["Ingress"]))).await.unwrap();
    let two = PatchParams::apply("two");
    let Err(Error::Api(status)) = policies.patch("p", &two, &policy(json!(["Egress"]))).await
    else {
        panic!("a conflict")
    };
    assert_eq!(status.code, 409);
    assert!(status.message.contains("conflict with \"one\""), "{}", status.message);
    let forced = policies.patch("p", &two.force(), &policy(json!(["Egress"]))).await.unwrap();
    // the server may have written the status meanwhile
    let of_people = forced.managed_fields().iter().filter(|entry| entry.subresource.is_none());
    assert_eq!(of_people.count(), 2, "{:?}", forced.managed_fields());
}

#[tokio::test]
async fn deleting_a_collection_takes_what_the_selector_matches() {
    let (_server, client, pods) = setup().await;
    for (name, app) in [("a1", "a"), ("a2", "a"), ("b1", "b")] {
        pod(&client, "shop", name, app).await;
    }
    let params = ListParams::default().labels("app=a");
    pods.delete_collection(&DeleteParams::default(), &params).await.unwrap();
    let left = pods.list(&ListParams::default()).await.unwrap();
    assert_eq!(left.items.iter().map(ResourceExt::name_any).collect::<Vec<_>>(), ["b1"]);
}
