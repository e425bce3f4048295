//! A person's policy from `kubectl apply` to real packets, its status and the flows it decides.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "tests fail by panic")]

#[path = "common/pair.rs"]
mod pair;

use std::net::SocketAddr;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use bulkhead_api::Object;
use bulkhead_lab::{Lab, Probe, manifests};
use pair::mk_world;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::Command as AsyncCommand;

const PATIENCE: Duration = Duration::from_secs(10);

const CLOSED: &str = "
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {namespace: app, name: closed}
spec:
  podSelector: {matchLabels: {app: server}}
  policyTypes: [Ingress]
";

fn policy(text: &str) -> Vec<Object> {
    manifests::parse(&[("policy.yaml".to_owned(), text.to_owned())]).unwrap()
}

fn kubectl(lab: &Lab, args: &[&str], input: &str) -> Output {
    use std::io::Write;
    let mut child = Command::new("kubectl")
        .env("KUBECONFIG", lab.kubeconfig())
        .env("HOME", lab.claim().data_folder())
        .args(args)
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .expect("kubectl (Debian package kubernetes-client)");
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

async fn settles(lab: &Lab, probe: &Probe, connected: bool) {
    let until = Instant::now() + PATIENCE;
    while lab.connects(probe).await.unwrap() != connected {
        assert!(Instant::now() < until, "{probe:?} does not become connected: {connected}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn kubectl_apply_changes_packets_and_flows_name_the_rule_within_two_seconds() {
    let lab = Lab::up(&mk_world()).await.unwrap();
    let probe = Probe::tcp("app/client", "app/server", 80);
    assert!(lab.connects(&probe).await.unwrap(), "before any policy");

    let mut follower = AsyncCommand::new(&lab.programs().cli)
        .args(["flows", "--follow", "--verdict", "deny", "--output", "json"])
        .env("KUBECONFIG", lab.kubeconfig())
        .stdout(std::process::Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let stdout = follower.stdout.take().unwrap();
    let mut lines = tokio::io::AsyncBufReadExt::lines(tokio::io::BufReader::new(stdout));

    let applied = kubectl(&lab, &["apply", "-f", "-"], CLOSED);
    assert!(applied.status.success(), "{}", String::from_utf8_lossy(&applied.stderr));
    settles(&lab, &probe, false).await;
    settles(&lab, &probe.clone().v6(), false).await;

    let asked = Instant::now();
    let denied = lab.net().addresses(&probe).await.unwrap();
    assert!(!lab.connects(&probe).await.unwrap());
    let line = loop {
        let line = tokio::time::timeout(Duration::from_secs(2), lines.next_line())
            .await
            .expect("a denied packet is told within 2 s")
            .unwrap()
            .expect("the follower goes on");
        let flow: Value = serde_json::from_str(&line).unwrap();
        if flow["dst"]["address"] == json!(denied.1) && flow["dst"]["port"] == json!(80) {
            break flow;
        }
    };
    assert!(asked.elapsed() < Duration::from_secs(2));
    assert_eq!(line["verdict"], "deny");
    // nothing in `closed` matched: the end of its tier decided
    assert_eq!(line["rule"], json!({"tier": "default"}));
    assert_eq!(line["src"]["name"], "client");
    assert_eq!(line["dst"]["labels"]["app"], "server");

    let deleted = kubectl(&lab, &["delete", "networkpolicy", "-n", "app", "closed"], "");
    assert!(deleted.status.success(), "{}", String::from_utf8_lossy(&deleted.stderr));
    settles(&lab, &probe, true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn status_says_on_how_many_nodes_a_policy_is_enforced() {
    let lab = Lab::up(&mk_world()).await.unwrap();
    let everywhere = CLOSED.replace("{matchLabels: {app: server}}", "{}");
    lab.apply(&policy(&everywhere)).await.unwrap();
    lab.wait_enforced().await.unwrap();
    let until = Instant::now() + PATIENCE;
    loop {
        let args = ["get", "networkpolicy", "-n", "app", "closed", "-o", "json"];
        let output = kubectl(&lab, &args, "");
        let object: Value = serde_json::from_slice(&output.stdout).unwrap();
        let conditions = object["status"]["conditions"].as_array().cloned().unwrap_or_default();
        let enforced = conditions.iter().find(|condition| condition["type"] == "Enforced");
        let is_enforced = enforced.is_some_and(|condition| {
            condition["status"] == "True" && condition["message"] == "enforced on 2 of 2 nodes"
        });
        if is_enforced {
            assert!(object["status"]["enforcement"]["since"].is_string(), "{object}");
            return;
        }
        assert!(Instant::now() < until, "{object}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tightened_policy_cuts_an_established_connection() {
    let lab = Lab::up(&mk_world()).await.unwrap();
    let (client, from) = lab.net().endpoint("app/client").await.unwrap();
    let (_, to) = lab.net().endpoint("app/server").await.unwrap();
    let at = SocketAddr::new(to.address(false).unwrap(), 80);
    let src = from.address(false).unwrap();
    let mut stream = lab.net().tcp_connect(&client, src, at).await.unwrap();
    let mut answer = [0; 4];
    stream.write_all(b"ping").await.unwrap();
    stream.read_exact(&mut answer).await.unwrap();

    lab.apply(&policy(CLOSED)).await.unwrap();
    lab.wait_enforced().await.unwrap();
    stream.write_all(b"more").await.unwrap();
    let more = tokio::time::timeout(Duration::from_secs(1), stream.read_exact(&mut answer)).await;
    assert!(!matches!(more, Ok(Ok(_))), "the connection goes on under a policy that forbids it");

    // loosened again, the same connection heals: TCP sends what was lost once more
    lab.delete(&policy(CLOSED)).await.unwrap();
    lab.wait_enforced().await.unwrap();
    let healed = tokio::time::timeout(PATIENCE, stream.read_exact(&mut answer)).await;
    healed.expect("the connection comes back").unwrap();
    assert_eq!(&answer, b"more");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interface_without_a_program_passes_nothing() {
    let lab = Lab::up(&mk_world()).await.unwrap();
    let late = Object::from_value(json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"namespace": "app", "name": "late"},
        "spec": {"nodeName": "n2", "containers": [{"name": "c", "image": "x"}]},
        "status": {"podIPs": [{"ip": "10.65.9.9"}, {"ip": "fd65::9:9"}]},
    }))
    .unwrap();
    let world = bulkhead_lab::World::from_objects([&late]).unwrap();
    lab.net().add_endpoints(&world.endpoints).await.unwrap();
    let (there, back) =
        (Probe::tcp("app/client", "app/late", 80), Probe::udp("app/late", "app/server", 53));
    // its interface is noticed as soon as it appears
    settles(&lab, &there, false).await;
    for probe in [&there, &back, &back.clone().v6()] {
        assert!(!lab.connects(probe).await.unwrap(), "{probe:?}");
    }
    lab.apply(&[late]).await.unwrap();
    lab.wait_enforced().await.unwrap();
    for probe in [&there, &back, &back.clone().v6()] {
        assert!(lab.connects(probe).await.unwrap(), "{probe:?}");
    }
}
