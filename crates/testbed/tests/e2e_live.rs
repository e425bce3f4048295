//! Workloads that move and change under real packets.
#![expect(clippy::unwrap_used, reason = "tests fail by panic")]

use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bulkhead_api::Object;
use bulkhead_lab::{Lab, Probe, Prober, World};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::task::JoinHandle;

const OPEN: u16 = 80;
const OTHER: u16 = 81;
const PATIENCE: Duration = Duration::from_secs(20);

fn workload(name: &str, node: &str, labels: &Value) -> Value {
    json!({
        "apiVersion": "bulkhead.dev/v1", "kind": "Workload",
        "metadata": {"namespace": "app", "name": name, "labels": labels},
        "spec": {"nodeName": node, "ports": [{"port": OPEN}]},
    })
}

/// `opens` names the label of the workloads that the client may reach at a port.
fn policy(opens: &str, port: u16) -> Value {
    json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
        "metadata": {"namespace": "app", "name": opens},
        "spec": {"podSelector": {"matchLabels": {"role": opens}}, "policyTypes": ["Ingress"],
                 "ingress": [{"from": [{"podSelector": {"matchLabels": {"role": "client"}}}],
                              "ports": [{"port": port}, {"protocol": "UDP", "port": port}]}]},
    })
}

fn mk_world() -> Vec<Object> {
    let values = [
        workload("client", "n1", &json!({"role": "client"})),
        workload("vm", "n1", &json!({"role": "service"})),
        workload("other", "n2", &json!({"role": "other"})),
        policy("service", OPEN),
    ];
    let mut objects: Vec<Object> =
        values.into_iter().map(|value| Object::from_value(value).unwrap()).collect();
    bulkhead_api::addressing::assign(&mut objects);
    objects
}

fn of_name<'a>(objects: &'a [Object], name: &str) -> &'a Object {
    objects.iter().find(|object| object.key().name == name).unwrap()
}

/// The object with one field changed.
fn changed(object: &Object, pointer: &str, value: Value) -> Object {
    let mut all = object.to_value().unwrap();
    *all.pointer_mut(pointer).unwrap() = value;
    Object::from_value(all).unwrap()
}

/// A connection from the client to the vm that asks all the time.
struct Talk {
    n_answers: Arc<AtomicU64>,
    task: JoinHandle<std::io::Result<()>>,
}

impl Talk {
    async fn start(lab: &Lab) -> Self {
        let (netns, client) = lab.net().endpoint("app/client").await.unwrap();
        let (_, vm) = lab.net().endpoint("app/vm").await.unwrap();
        let at = SocketAddr::new(vm.address(false).unwrap(), OPEN);
        let src = client.address(false).unwrap();
        let mut stream = lab.net().tcp_connect(&netns, src, at).await.unwrap();
        let n_answers = Arc::new(AtomicU64::new(0));
        let counter = Arc::clone(&n_answers);
        let task = tokio::spawn(async move {
            loop {
                stream.write_u64(7).await?;
                stream.read_u64().await?;
                counter.fetch_add(1, Ordering::SeqCst);
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        });
        Self { n_answers, task }
    }

    async fn goes_on(&self, when: &str) {
        let before = self.n_answers.load(Ordering::SeqCst);
        let until = Instant::now() + PATIENCE;
        while self.n_answers.load(Ordering::SeqCst) < before + 20 {
            assert!(!self.task.is_finished(), "{when}: the connection was cut");
            assert!(Instant::now() < until, "{when}: the connection stands still");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_workload_that_migrates_keeps_its_connections_and_its_policy() {
    let objects = mk_world();
    let lab = Lab::up(&objects).await.unwrap();
    let talk = Talk::start(&lab).await;
    let shut = Prober::start(&lab, "app/client", "app/vm", OTHER).await.unwrap();
    talk.goes_on("before").await;
    let vm = of_name(&objects, "vm");
    for node in ["n2", "n1"] {
        lab.net().migrate("app/vm", node).await.unwrap();
        lab.apply(&[changed(vm, "/spec/nodeName", json!(node))]).await.unwrap();
        lab.wait_enforced().await.unwrap();
        // Until the node has seen the new interface, nothing is on it that could stop a packet.
        let passed = shut.counts().1;
        talk.goes_on("after the move").await;
        let open = Probe::tcp("app/client", "app/vm", OPEN);
        assert!(lab.connects(&open).await.unwrap(), "a new connection to {node}");
        assert_eq!(shut.counts().1, passed, "forbidden packets passed on {node}");
    }
    // Its old node knows nothing of it any more.
    let now = lab.enforcement().await.unwrap();
    assert!(now.nodes.iter().all(|node| node.waiting.is_empty()), "{now:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_label_decides_about_live_connections_at_their_next_packet() {
    let objects = mk_world();
    let lab = Lab::up(&objects).await.unwrap();
    let talk = Talk::start(&lab).await;
    talk.goes_on("before").await;
    let client = of_name(&objects, "client");
    // More than it had disturbs nothing.
    let mut labels = json!({"role": "client", "more": "yes"});
    lab.apply(&[changed(client, "/metadata/labels", labels.clone())]).await.unwrap();
    lab.wait_enforced().await.unwrap();
    talk.goes_on("with another label").await;
    labels["role"] = json!("nobody");
    lab.apply(&[changed(client, "/metadata/labels", labels)]).await.unwrap();
    lab.wait_enforced().await.unwrap();
    let after = talk.n_answers.load(Ordering::SeqCst);
    let open = Probe::tcp("app/client", "app/vm", OPEN);
    assert!(!lab.connects(&open).await.unwrap(), "a new connection without the label");
    // What was under way when the change came is one answer at most.
    assert!(talk.n_answers.load(Ordering::SeqCst) <= after + 1, "the connection goes on");
}

/// Of all that came, how many datagrams; none is waited for.
fn n_waiting(socket: &UdpSocket) -> usize {
    socket.set_nonblocking(true).unwrap();
    std::iter::from_fn(|| socket.recv_from(&mut [0; 16]).ok()).count()
}

/// A workload goes, another one with other labels gets its address, and the client goes on sending to it
/// on the flow that was allowed: while nobody has the address, while an interface without a program has
/// it, and once its own program is there.
#[tokio::test(flavor = "multi_thread")]
async fn a_reused_address_inherits_nothing_not_for_one_packet() {
    let objects = mk_world();
    let lab = Lab::up(&objects).await.unwrap();
    let (client_netns, client) = lab.net().endpoint("app/client").await.unwrap();
    let (vm_netns, vm) = lab.net().endpoint("app/vm").await.unwrap();
    let at = SocketAddr::new(vm.address(false).unwrap(), OPEN);
    let from = SocketAddr::new(client.address(false).unwrap(), 4_000);
    let bound = move |at| move || UdpSocket::bind(at).map_err(anyhow::Error::from);
    let walker = lab.net().walker();
    let sender = walker.within(&client_netns, bound(from)).unwrap();
    let old = walker.within(&vm_netns, bound(at)).unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    let _stop_at_the_end = StopOnDrop(Arc::clone(&stop));
    std::thread::spawn(move || {
        while !stop.load(Ordering::SeqCst) {
            // The way there is gone for a while.
            let _ = sender.send_to(b"knock", at);
            std::thread::sleep(Duration::from_micros(500));
        }
    });
    let until = Instant::now() + PATIENCE;
    while n_waiting(&old) == 0 {
        assert!(Instant::now() < until, "nothing reaches the first owner");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }

    let first = of_name(&objects, "vm");
    lab.net().evict("app/vm").await.unwrap();
    lab.delete(std::slice::from_ref(first)).await.unwrap();
    lab.wait_enforced().await.unwrap();
    let mut heir = changed(first, "/metadata/name", json!("heir")).to_value().unwrap();
    heir["metadata"]["labels"] = json!({"role": "locked"});
    let heir = Object::from_value(heir).unwrap();
    let mut locked = policy("locked", OTHER);
    locked["spec"]["ingress"] = json!([]);
    lab.apply(&[Object::from_value(locked).unwrap()]).await.unwrap();
    lab.wait_enforced().await.unwrap();
    lab.net().add_endpoints(&World::from_objects([&heir]).unwrap().endpoints).await.unwrap();
    let (heir_netns, _) = lab.net().endpoint("app/heir").await.unwrap();
    let listens = walker.within(&heir_netns, bound(at)).unwrap();
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(n_waiting(&listens), 0, "before its program is there");
    lab.apply(std::slice::from_ref(&heir)).await.unwrap();
    lab.wait_enforced().await.unwrap();
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(n_waiting(&listens), 0, "under its own program");

    // It is the program that keeps them away, not the way.
    let open = changed(&heir, "/metadata/labels", json!({"role": "service"}));
    lab.apply(&[open]).await.unwrap();
    let until = Instant::now() + PATIENCE;
    while n_waiting(&listens) == 0 {
        assert!(Instant::now() < until, "nothing reaches it though it may");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

struct StopOnDrop(Arc<AtomicBool>);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}
