//! Log rules from the API to what people read: flows, and events of the node up to a rate.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests fail by panic")]

#[path = "common/pair.rs"]
mod pair;

use std::process::Command;
use std::time::{Duration, Instant};

use bulkhead_lab::{Lab, Probe, manifests};
use pair::mk_world;
use serde_json::{Value, json};

const PATIENCE: Duration = Duration::from_secs(20);
const BURST: usize = 5;
const CONNECTIONS: usize = 12;

const POLICY: &str = "
apiVersion: projectcalico.org/v3
kind: GlobalNetworkPolicy
metadata: {name: watch}
spec:
  selector: app == 'server'
  ingress:
  - {action: Log}
  - {action: Allow, protocol: TCP, destination: {ports: [80]}}
  - {action: Deny}
";

/// What the server's end tells of how flows were judged.
fn judged(lab: &Lab, filter: &[&str]) -> Vec<Value> {
    let mut command = Command::new(&lab.programs().cli);
    command.args(["flows", "--output", "json"]).args(filter);
    let output = command.env("KUBECONFIG", lab.kubeconfig()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let flows = text.lines().filter_map(|line| serde_json::from_str(line).ok());
    let is_judged = |flow: &Value| {
        flow["reporter"]["name"] == "server"
            && ["new", "denied"].iter().any(|event| flow["event"] == *event)
    };
    flows.filter(is_judged).collect()
}

/// The number after `suppressed=`, of all lines together.
fn suppressed(log: &str) -> usize {
    let counts = log.lines().filter_map(|line| {
        let (_, rest) = line.split_once(" suppressed=")?;
        rest.split(' ').next()?.parse::<usize>().ok()
    });
    counts.sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn log_rules_show_in_flows_and_as_events_and_those_beyond_the_rate_are_counted() {
    let mut lab = Lab::up(&mk_world()).await.unwrap();
    for agent in lab.agents() {
        // No second token comes while the test runs.
        agent.set_flag("--log-events-per-second", "0.0001".to_owned());
        agent.set_flag("--log-events-burst", BURST.to_string());
        agent.set_variable("NO_COLOR", "1".to_owned());
        agent.kill().await.unwrap();
        agent.restart().unwrap();
    }
    lab.apply(&manifests::parse(&[("policy.yaml".to_owned(), POLICY.to_owned())]).unwrap())
        .await
        .unwrap();
    lab.wait_enforced().await.unwrap();
    let denied = Probe::tcp("app/client", "app/server", 81);
    assert!(!lab.connects(&denied).await.unwrap());
    let allowed = Probe::tcp("app/client", "app/server", 80);
    for _ in 0..CONNECTIONS {
        assert!(lab.connects(&allowed).await.unwrap());
    }

    let until = Instant::now() + PATIENCE;
    while judged(&lab, &["--logged", "--verdict", "allow"]).len() < CONNECTIONS {
        assert!(Instant::now() < until, "connections are not told as logged");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    for agent in lab.agents() {
        agent.end().await.unwrap();
    }
    let logged = judged(&lab, &["--logged"]);
    let policy = json!({"kind": "GlobalNetworkPolicy", "name": "watch"});
    for flow in &logged {
        let rule = |index: u64| json!({"tier": "default", "policy": policy, "direction": "ingress", "index": index});
        assert_eq!(flow["logged"], json!([rule(0)]), "{flow}");
        let decider = if flow["verdict"] == "allow" { 1 } else { 2 };
        assert_eq!(flow["rule"], rule(decider), "{flow}");
    }
    assert!(logged.iter().any(|flow| flow["verdict"] == "deny"));
    assert_eq!(judged(&lab, &["--policy", "watch"]).len(), logged.len());

    let agent = lab.agents().iter().find(|agent| agent.node() == "n2").unwrap();
    let log = std::fs::read_to_string(agent.process().log()).unwrap();
    let is_event = |line: &&str| line.contains(" bulkhead::log: tier=");
    let events: Vec<&str> = log.lines().filter(is_event).collect();
    assert_eq!(events.len(), BURST, "{log}");
    assert_eq!(events.len() + suppressed(&log), logged.len(), "{log}");
    let first = events[0];
    for part in [
        "tier=\"default\" policy=\"GlobalNetworkPolicy watch\" rule=0 direction=ingress",
        "endpoint=app/server verdict=deny event=\"denied\" protocol=TCP",
        "dst_port=81 dst_endpoint=app/server",
    ] {
        assert!(first.contains(part), "{part} is not in {first}");
    }
}
