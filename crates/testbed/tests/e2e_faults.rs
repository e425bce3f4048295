//! Programs are killed under traffic: what is allowed goes on, what is denied stays out.
#![expect(clippy::unwrap_used, reason = "tests fail by panic")]

#[path = "common/watch.rs"]
mod watch;

use std::time::{Duration, Instant};

use bulkhead_api::Object;
use bulkhead_lab::{Lab, Probe};
use serde_json::json;
use watch::{Bar, Watch};

const OPEN_PORT: u16 = 80;
const CLOSED_PORT: u16 = 99;

/// Two pods on one node; `server` is open at one port only.
fn mk_world() -> Vec<Object> {
    let pod = |name: &str| {
        json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {"namespace": "app", "name": name, "labels": {"app": name}},
            "spec": {"nodeName": "n1", "containers": [
                {"name": "c", "image": "x", "ports": [{"containerPort": OPEN_PORT}]}]},
        })
    };
    let mut objects: Vec<Object> = [pod("client"), pod("server"), mk_policy(&[OPEN_PORT])]
        .into_iter()
        .map(|value| Object::from_value(value).unwrap())
        .collect();
    bulkhead_api::addressing::assign(&mut objects);
    objects
}

fn mk_policy(ports: &[u16]) -> serde_json::Value {
    let ports: Vec<_> = ports.iter().map(|port| json!({"port": port})).collect();
    json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
        "metadata": {"namespace": "app", "name": "server"},
        "spec": {"podSelector": {"matchLabels": {"app": "server"}}, "policyTypes": ["Ingress"],
                 "ingress": [{"ports": ports}]},
    })
}

const BAR: Bar = Bar {
    open_port: OPEN_PORT,
    closed_port: CLOSED_PORT,
    n_forbidden: 1000,
    patience: Duration::from_secs(2),
};

async fn open_and_closed(lab: &Lab, when: &str) {
    let open = Probe::tcp("app/client", "app/server", OPEN_PORT);
    let closed = Probe::tcp("app/client", "app/server", CLOSED_PORT);
    assert!(lab.connects(&open).await.unwrap(), "{when}: a new allowed connection");
    assert!(lab.connects(&open.v6()).await.unwrap(), "{when}: over IPv6");
    assert!(!lab.connects(&closed).await.unwrap(), "{when}: a new forbidden connection");
    assert!(!lab.connects(&closed.v6()).await.unwrap(), "{when}: over IPv6");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_agent_leaves_enforcement_in_place_and_takes_it_up_again() {
    let mut lab = Lab::up(&mk_world()).await.unwrap();
    let watch = Watch::start(&lab, BAR).await;
    watch.holds("before").await;
    for round in 0..3 {
        lab.agents().first_mut().unwrap().kill().await.unwrap();
        watch.holds("without an agent").await;
        open_and_closed(&lab, "without an agent").await;

        // a change that nobody on the node hears of: it takes effect after the restart
        let wider = [OPEN_PORT, 1000 + round];
        lab.apply(&[Object::from_value(mk_policy(&wider)).unwrap()]).await.unwrap();
        lab.agents().first_mut().unwrap().restart().unwrap();
        lab.wait_enforced().await.unwrap();
        watch.holds("after the restart").await;
        open_and_closed(&lab, "after the restart").await;
        let opened = Probe::tcp("app/client", "app/server", 1000 + round);
        assert!(lab.connects(&opened).await.unwrap(), "what was changed meanwhile");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn enforcement_goes_on_without_the_server() {
    let mut lab = Lab::up(&mk_world()).await.unwrap();
    let watch = Watch::start(&lab, BAR).await;
    lab.server().kill().await.unwrap();
    watch.holds("without a server").await;
    open_and_closed(&lab, "without a server").await;

    // the agent starts with what it has on disk
    lab.agents().first_mut().unwrap().kill().await.unwrap();
    lab.agents().first_mut().unwrap().restart().unwrap();
    watch.holds("agent restarted without a server").await;
    open_and_closed(&lab, "agent restarted without a server").await;

    lab.server().restart().await.unwrap();
    lab.apply(&[Object::from_value(mk_policy(&[OPEN_PORT, 1000])).unwrap()]).await.unwrap();
    lab.wait_enforced().await.expect("the agent finds the server again");
    watch.holds("after the server's return").await;
    assert!(lab.connects(&Probe::tcp("app/client", "app/server", 1000)).await.unwrap());
}

/// More addresses than a node's kernel tables hold, in sets of a size that the API takes.
fn mk_too_large() -> Vec<Object> {
    let set = |n: u32| {
        let nets: Vec<String> = (0..30_000_u32)
            .map(|i| format!("{}.{}.{}.{}/32", 20 + n, (i >> 16) & 255, (i >> 8) & 255, i & 255))
            .collect();
        json!({
            "apiVersion": "projectcalico.org/v3", "kind": "GlobalNetworkSet",
            "metadata": {"name": format!("large-{n}"), "labels": {"large": n.to_string()}},
            "spec": {"nets": nets},
        })
    };
    let policy = json!({
        "apiVersion": "projectcalico.org/v3", "kind": "GlobalNetworkPolicy",
        "metadata": {"name": "large"},
        "spec": {"selector": "app == 'server'", "order": 1, "ingress": [
            {"action": "Allow", "protocol": "TCP", "destination": {"ports": [CLOSED_PORT]}},
            {"action": "Deny", "source": {"selector": "has(large)"}}]},
    });
    let objects = (0..6).map(set).chain([policy]);
    objects.map(|value| Object::from_value(value).unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rule_set_that_does_not_fit_is_refused_and_the_last_good_one_stays() {
    let lab = Lab::up(&mk_world()).await.unwrap();
    let watch = Watch::start(&lab, BAR).await;
    let large = mk_too_large();
    lab.apply(&large).await.unwrap();
    let until = Instant::now() + Duration::from_secs(60);
    let problem = loop {
        let now = lab.enforcement().await.unwrap();
        if let Some(problem) = now.nodes.iter().find_map(|node| node.problems.first()) {
            break problem.clone();
        }
        assert!(Instant::now() < until, "{now:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    // the whole set would have opened the closed port
    watch.holds("after the refusal").await;
    open_and_closed(&lab, "after the refusal").await;
    let status = enforced_condition(&lab, "large").await;
    assert_eq!(status["status"], "False", "{problem}: {status}");
    assert!(status["message"].as_str().unwrap().contains("n1"), "{status}");

    lab.delete(&large).await.unwrap();
    lab.wait_enforced().await.expect("what fits again is taken");
    watch.holds("after the return to what fits").await;
}

/// The `Enforced` condition of a GlobalNetworkPolicy, once it is not unknown.
async fn enforced_condition(lab: &Lab, name: &str) -> serde_json::Value {
    let path = format!("/apis/projectcalico.org/v3/globalnetworkpolicies/{name}");
    let until = Instant::now() + Duration::from_secs(10);
    loop {
        let request = lab.get(&path).await.unwrap();
        let conditions = request
            .pointer("/status/conditions")
            .and_then(|c| c.as_array())
            .cloned()
            .unwrap_or_default();
        let enforced =
            conditions.into_iter().find(|c| c.get("type").is_some_and(|t| t == "Enforced"));
        if let Some(enforced) = enforced.filter(|c| c.get("status").is_some_and(|s| s == "False")) {
            return enforced;
        }
        assert!(Instant::now() < until, "{request}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
