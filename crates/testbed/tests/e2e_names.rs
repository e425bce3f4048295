//! Rules by DNS name from the API to real packets: server, agent, a resolver outside, and a workload that
//! asks it.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests fail by panic")]

use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use bulkhead_api::Object;
use bulkhead_lab::{Lab, Probe, manifests};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};

const PATIENCE: Duration = Duration::from_secs(20);
const RESOLVER: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 53);

fn mk_world() -> Vec<Object> {
    let pod = json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"namespace": "app", "name": "client", "labels": {"app": "client"}},
        "spec": {"nodeName": "n1", "containers": [{"name": "c", "image": "x"}]},
    });
    let mut objects = vec![Object::from_value(pod).unwrap()];
    bulkhead_api::addressing::assign(&mut objects);
    objects
}

const POLICY: &str = r#"
apiVersion: projectcalico.org/v3
kind: GlobalNetworkSet
metadata: {name: partners, labels: {are: partners}}
spec: {allowedEgressDomains: ["*.partner.test"]}
---
apiVersion: projectcalico.org/v3
kind: NetworkPolicy
metadata: {namespace: app, name: client}
spec:
  selector: app == 'client'
  types: [Egress]
  egress:
    - {action: Allow, protocol: UDP, destination: {nets: [192.0.2.53/32], ports: [53]}}
    - {action: Allow, protocol: TCP, destination: {domains: [api.test], ports: [443]}}
    - action: Allow
      protocol: TCP
      destination: {selector: are == 'partners', namespaceSelector: global(), ports: [443]}
"#;

fn address_of(name: &str) -> Ipv4Addr {
    match name {
        "api.test" => Ipv4Addr::new(192, 0, 2, 10),
        "one.partner.test" => Ipv4Addr::new(192, 0, 2, 11),
        "two.partner.test" => Ipv4Addr::new(192, 0, 2, 12),
        "three.partner.test" => Ipv4Addr::new(192, 0, 2, 13),
        _ => Ipv4Addr::new(192, 0, 2, 99),
    }
}

fn mk_query(name: &str) -> Vec<u8> {
    let mut bytes = vec![0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in name.split('.') {
        bytes.push(label.len() as u8);
        bytes.extend(label.bytes());
    }
    bytes.extend([0, 0, 1, 0, 1]);
    bytes
}

fn mk_response(query: &[u8]) -> Vec<u8> {
    let mut labels = Vec::new();
    let mut at = 12;
    while query[at] != 0 {
        let length = usize::from(query[at]);
        labels.push(String::from_utf8_lossy(&query[at + 1..=at + length]).into_owned());
        at += 1 + length;
    }
    let mut bytes = query.to_vec();
    bytes[2] = 0x81;
    bytes[7] = 1;
    bytes.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 30, 0, 4]);
    bytes.extend(address_of(&labels.join(".")).octets());
    bytes
}

/// A resolver outside that answers until it is dropped.
struct Resolver {
    stop: Arc<AtomicBool>,
}

impl Resolver {
    async fn start(lab: &Lab) -> Self {
        let outside = lab.net().outside(&[RESOLVER.into()]).await.unwrap();
        let open = || Ok(UdpSocket::bind((RESOLVER, 53))?);
        let socket = lab.net().walker().within(&outside, open).unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
        let stop = Arc::new(AtomicBool::new(false));
        let is_over = Arc::clone(&stop);
        std::thread::spawn(move || {
            let mut buffer = [0; 512];
            while !is_over.load(Ordering::Relaxed) {
                if let Ok((n, from)) = socket.recv_from(&mut buffer) {
                    let _ = socket.send_to(&mk_response(&buffer[..n]), from);
                }
            }
        });
        Self { stop }
    }
}

impl Drop for Resolver {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

/// Asks like a stub resolver: again when no answer comes.
async fn ask(lab: &Lab, name: &'static str) {
    let (netns, client) = lab.net().endpoint("app/client").await.unwrap();
    let from = SocketAddr::new(client.address(false).unwrap(), 0);
    let open = move || Ok(UdpSocket::bind(from)?);
    let socket = lab.net().walker().within(&netns, open).unwrap();
    socket.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
    let asking = move || {
        let until = Instant::now() + PATIENCE;
        loop {
            socket.send_to(&mk_query(name), (RESOLVER, 53)).unwrap();
            if socket.recv_from(&mut [0; 512]).is_ok() {
                return;
            }
            assert!(Instant::now() < until, "nobody answers about {name}");
        }
    };
    tokio::task::spawn_blocking(asking).await.unwrap();
}

async fn reaches(lab: &Lab, name: &str) -> bool {
    let probe = Probe::tcp("app/client", &IpAddr::from(address_of(name)).to_string(), 443);
    lab.connects(&probe).await.unwrap()
}

/// Asks until an agent has heard it: one that is about to come back may not be there yet.
async fn learn(lab: &Lab, name: &'static str) {
    let until = Instant::now() + PATIENCE;
    loop {
        ask(lab, name).await;
        if reaches(lab, name).await {
            return;
        }
        assert!(Instant::now() < until, "no agent learns {name}");
    }
}

/// The newest flows, as `bulkhead flows` tells them.
fn flows(lab: &Lab) -> Vec<Value> {
    let mut command = Command::new(&lab.programs().cli);
    command.args(["flows", "--limit", "100", "--output", "json"]);
    let output = command.env("KUBECONFIG", lab.kubeconfig()).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_workload_looked_up_is_open_to_it_through_sleep_and_death_of_its_agent() {
    let mut lab = Lab::up(&mk_world()).await.unwrap();
    let _resolver = Resolver::start(&lab).await;
    for agent in lab.agents() {
        agent.set_flag("--dns-trusted", RESOLVER.to_string());
        agent.kill().await.unwrap();
        agent.restart().unwrap();
    }
    let policy = manifests::parse(&[("policy.yaml".to_owned(), POLICY.to_owned())]).unwrap();
    lab.apply(&policy).await.unwrap();
    lab.wait_enforced().await.unwrap();

    for name in ["api.test", "one.partner.test"] {
        assert!(!reaches(&lab, name).await, "{name} before anybody asked");
        ask(&lab, name).await;
        assert!(reaches(&lab, name).await, "{name}");
    }
    ask(&lab, "other.test").await;
    assert!(!reaches(&lab, "other.test").await, "a name that no rule has");
    let problems: Vec<String> =
        lab.enforcement().await.unwrap().nodes.into_iter().flat_map(|node| node.problems).collect();
    assert_eq!(problems, [] as [String; 0]);

    let until = Instant::now() + PATIENCE;
    loop {
        let is_named = |flow: &Value| {
            flow["dst"]["names"] == json!(["api.test"])
                && flow["verdict"] == "allow"
                && flow["rule"]["index"] == 1
        };
        if flows(&lab).iter().any(is_named) {
            break;
        }
        assert!(Instant::now() < until, "no flow tells the name of its destination");
    }

    for agent in lab.agents() {
        kill(Pid::from_raw(agent.process().pid()), Signal::SIGSTOP).unwrap();
    }
    ask(&lab, "three.partner.test").await;
    assert!(!reaches(&lab, "three.partner.test").await, "nobody can have learned");
    for agent in lab.agents() {
        kill(Pid::from_raw(agent.process().pid()), Signal::SIGCONT).unwrap();
    }
    learn(&lab, "three.partner.test").await;

    for agent in lab.agents() {
        agent.kill().await.unwrap();
    }
    assert!(reaches(&lab, "api.test").await, "while no agent is there");
    ask(&lab, "two.partner.test").await;
    assert!(reaches(&lab, "one.partner.test").await, "after DNS went on without an agent");
    for agent in lab.agents() {
        agent.restart().unwrap();
    }
    lab.wait_enforced().await.unwrap();
    let until = Instant::now() + PATIENCE;
    while !lab.enforcement().await.unwrap().nodes.iter().all(|node| node.connected) {
        assert!(Instant::now() < until, "the agent does not come back");
    }
    assert!(reaches(&lab, "api.test").await, "without a new question");
    learn(&lab, "two.partner.test").await;
}
