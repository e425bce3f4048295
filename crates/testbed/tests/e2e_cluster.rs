//! A cluster's API server keeps the objects, a server with `--kubeconfig` follows it, and agents enforce.
//!
//! The API server is a second `bulkhead-server`: the protocol is the same, and kubectl speaks to it.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "tests fail by panic")]

#[path = "common/watch.rs"]
mod watch;

use std::path::Path;
use std::process::{Command, Output};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bulkhead_api::Object;
use bulkhead_lab::control::{self, Server};
use bulkhead_lab::{Lab, Probe};
use serde_json::{Value, json};
use watch::{Bar, Watch};

const PATIENCE: Duration = Duration::from_secs(20);
const OPEN_PORT: u16 = 80;
const CLOSED_PORT: u16 = 99;

/// `app/client` and `app/server` on nodes of their own; the server is open at these ports only.
fn mk_world(policies: &[(&str, u16)]) -> Vec<Object> {
    let node = |name: &str| json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}});
    let pod = |name: &str, node: &str| {
        json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {"namespace": "app", "name": name, "labels": {"app": name}},
            "spec": {"nodeName": node, "containers": [
                {"name": "c", "image": "x", "ports": [{"containerPort": OPEN_PORT}]}]},
        })
    };
    let fixed = [node("n1"), node("n2"), pod("client", "n1"), pod("server", "n2")];
    let policies = policies.iter().map(|(name, port)| mk_policy(name, *port));
    let mut objects: Vec<Object> =
        fixed.into_iter().chain(policies).map(|value| Object::from_value(value).unwrap()).collect();
    bulkhead_api::addressing::assign(&mut objects);
    objects
}

fn mk_policy(name: &str, port: u16) -> Value {
    json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
        "metadata": {"namespace": "app", "name": name},
        "spec": {"podSelector": {"matchLabels": {"app": "server"}}, "policyTypes": ["Ingress"],
                 "ingress": [{"ports": [{"port": port}]}]},
    })
}

fn kubectl(kubeconfig: &Path, args: &[&str], input: &str) -> Output {
    use std::io::Write;
    let mut child = Command::new("kubectl")
        .env("KUBECONFIG", kubeconfig)
        .env("HOME", kubeconfig.parent().unwrap())
        .args(args)
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .expect("kubectl (Debian package kubernetes-client)");
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

async fn settles(lab: &Lab, port: u16, connected: bool) {
    let probe = Probe::tcp("app/client", "app/server", port);
    let until = Instant::now() + PATIENCE;
    while lab.connects(&probe).await.unwrap() != connected {
        lab.check().unwrap();
        assert!(Instant::now() < until, "port {port} does not become connected: {connected}");
    }
}

/// Waits until the object at the API server has this condition, and gives its message.
async fn condition(lab: &Lab, path: &str, (kind, status): (&str, &str)) -> String {
    let until = Instant::now() + PATIENCE;
    loop {
        let object = lab.get(path).await.unwrap();
        let conditions = object
            .pointer("/status/conditions")
            .and_then(Value::as_array)
            .cloned()
            .unwrap_or_default();
        let found = conditions.iter().find(|one| one["type"] == kind && one["status"] == status);
        if let Some(found) = found {
            return found["message"].as_str().unwrap().to_owned();
        }
        assert!(Instant::now() < until, "no {kind}={status}: {object}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

fn policy_path(name: &str) -> String {
    format!("/apis/networking.k8s.io/v1/namespaces/app/networkpolicies/{name}")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_of_the_cluster_is_enforced_and_says_so_at_the_cluster() {
    let mut lab = Lab::clustered(&mk_world(&[])).await.unwrap();
    settles(&lab, CLOSED_PORT, true).await;

    let policy = mk_policy("only-web", OPEN_PORT).to_string();
    let applied = kubectl(&lab.kubeconfig(), &["apply", "-f", "-"], &policy);
    assert!(applied.status.success(), "{}", String::from_utf8_lossy(&applied.stderr));
    settles(&lab, CLOSED_PORT, false).await;
    settles(&lab, OPEN_PORT, true).await;
    let message = condition(&lab, &policy_path("only-web"), ("Enforced", "True")).await;
    assert_eq!(message, "enforced on 1 of 1 node");
    // `Ready` would be the kubelet's
    condition(&lab, "/api/v1/nodes/n1", ("BulkheadReady", "True")).await;

    let follower = lab.follower().unwrap();
    let own = follower.kubeconfig();
    let refused = kubectl(&own, &["get", "pods", "-A"], "");
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && said.contains("the API server at https://"), "{said}");
    let report = kubectl(&own, &["get", "--raw", "/apis/bulkhead.dev/v1/upstream"], "");
    let report: Value = serde_json::from_slice(&report.stdout).unwrap();
    assert_eq!(report["known"], true, "{report}");
    assert!(kubectl(&own, &["get", "--raw", "/readyz"], "").status.success());
    // for kinds of which a cluster keeps no status
    let report = kubectl(&own, &["get", "--raw", "/apis/bulkhead.dev/v1/enforcement/policies"], "");
    let report: Value = serde_json::from_slice(&report.stdout).unwrap();
    let told = report.pointer("/policies/0").unwrap();
    assert_eq!((&told["name"], &told["reason"]), (&json!("only-web"), &json!("Enforced")));
    // no second copy: what is of the cluster is not in the follower's database
    let kept = std::fs::read(follower.data_folder().join("objects.redb")).unwrap();
    assert!(!kept.windows(8).any(|part| part == b"only-web"));
    let flows = Command::new(&lab.programs().cli)
        .args(["flows", "--verdict", "deny", "--output", "json"])
        .env("KUBECONFIG", own)
        .output()
        .unwrap();
    let flows = String::from_utf8_lossy(&flows.stdout).into_owned();
    assert!(flows.contains("\"client\""), "{flows}");

    let deleted = kubectl(&lab.kubeconfig(), &["delete", "netpol", "-n", "app", "only-web"], "");
    assert!(deleted.status.success(), "{}", String::from_utf8_lossy(&deleted.stderr));
    settles(&lab, CLOSED_PORT, true).await;
}

const BAR: Bar =
    Bar { open_port: OPEN_PORT, closed_port: CLOSED_PORT, n_forbidden: 500, patience: PATIENCE };

/// Lets the API server, which is down, come back with these objects and no others: as made by another.
async fn put_other_state(lab: &mut Lab, objects: &[Object]) {
    let (claim, programs) = (Arc::clone(lab.claim()), lab.programs().clone());
    let mut other = Server::start_as("other", &claim, &programs, Vec::new()).await.unwrap();
    let client = other.client().await.unwrap();
    control::create_namespace(&client, "app").await.unwrap();
    for object in objects {
        control::apply(&client, object).await.unwrap();
    }
    other.kill().await.unwrap();
    let file = "objects.redb";
    std::fs::copy(other.data_folder().join(file), lab.server().data_folder().join(file)).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_api_server_that_comes_back_with_other_state_is_followed_without_a_gap() {
    let before = mk_world(&[("stays", OPEN_PORT), ("vanishes", 1000)]);
    let mut lab = Lab::clustered(&before).await.unwrap();
    settles(&lab, CLOSED_PORT, false).await;
    settles(&lab, 1000, true).await;
    let watch = Watch::start(&lab, BAR).await;
    watch.holds("before").await;

    lab.server().kill().await.unwrap();
    watch.holds("without the API server").await;
    let after = mk_world(&[("stays", OPEN_PORT), ("new", 1001)]);
    put_other_state(&mut lab, &after).await;
    lab.server().restart().await.unwrap();
    settles(&lab, 1001, true).await;
    settles(&lab, 1000, false).await;
    watch.holds("with the other state").await;
    // an object of the same name, but another one: its status is written anew
    condition(&lab, &policy_path("stays"), ("Enforced", "True")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_does_not_know_its_cluster_yet_changes_nothing_on_any_node() {
    let mut lab = Lab::clustered(&mk_world(&[("only-web", OPEN_PORT)])).await.unwrap();
    settles(&lab, CLOSED_PORT, false).await;
    settles(&lab, OPEN_PORT, true).await;
    let watch = Watch::start(&lab, BAR).await;
    watch.holds("before").await;

    lab.server().kill().await.unwrap();
    let follower = lab.follower().unwrap();
    follower.kill().await.unwrap();
    follower.restart().await.unwrap();
    let own = follower.kubeconfig();
    let ready = kubectl(&own, &["get", "--raw", "/readyz"], "");
    let said = String::from_utf8_lossy(&ready.stderr).into_owned();
    assert!(!ready.status.success() && said.contains("v1 Pod"), "{said}");
    watch.holds("while nothing is known").await;

    lab.server().restart().await.unwrap();
    let wider = Object::from_value(mk_policy("wider", 1000)).unwrap();
    lab.apply(&[wider]).await.unwrap();
    settles(&lab, 1000, true).await;
    watch.holds("once everything is known").await;
}
