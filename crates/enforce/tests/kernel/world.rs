//! A node and its pods as network namespaces, with real veths. Gone when dropped.

use std::fs::File;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use bulkhead_enforce::{BackendChoice, MapSizes, Node, NodeHandle, NodeOptions};
use bulkhead_wire::FlowRecord;
use nix::sched::{CloneFlags, setns};
use tokio::sync::mpsc;

static NEXT: AtomicU32 = AtomicU32::new(0);

pub struct World {
    tag: String,
    pub pods: Vec<Pod>,
}

pub struct Pod {
    pub name: String,
    pub netns: String,
    pub v4: Ipv4Addr,
    pub v6: Ipv6Addr,
}

/// Runs a command line; fails the test with what it said.
pub fn sh(line: &str) {
    let output = Command::new("sh").args(["-c", line]).output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "`{line}`: {errors}");
}

/// Until `check` says something, or the deadline: then the test fails.
pub fn wait_for<T>(what: &str, mut check: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        if let Some(found) = check() {
            return found;
        }
        assert!(Instant::now() < deadline, "waited in vain for: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Tells the other threads of a test to stop, also when this one fails.
pub struct StopOnDrop<'a>(pub &'a AtomicBool);

impl Drop for StopOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn netns_path(name: &str) -> PathBuf {
    PathBuf::from("/var/run/netns").join(name)
}

/// Runs `work` on a thread inside a network namespace.
pub fn inside<T: Send>(netns: &str, work: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| {
        let entered = scope.spawn(|| {
            let file = File::open(netns_path(netns)).unwrap();
            setns(file, CloneFlags::CLONE_NEWNET).unwrap();
            work()
        });
        entered.join().unwrap()
    })
}

impl World {
    pub fn new(n_pods: usize) -> Self {
        let tag = format!("k{}x{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let mut world = Self { tag, pods: Vec::new() };
        let node = world.node();
        sh(&format!("ip netns add {node} && ip -n {node} link set lo up"));
        sh(&format!(
            "ip netns exec {node} sysctl -qw net.ipv4.ip_forward=1 \
             net.ipv6.conf.all.forwarding=1 net.ipv4.conf.all.rp_filter=0"
        ));
        for _ in 0..n_pods {
            world.add_pod();
        }
        world
    }

    pub fn node(&self) -> String {
        format!("bhk-{}-node", self.tag)
    }

    pub fn netns(&self) -> PathBuf {
        netns_path(&self.node())
    }

    pub fn pin_dir(&self) -> PathBuf {
        PathBuf::from(format!("/sys/fs/bpf/bhk-{}", self.tag))
    }

    /// A pod with the next free addresses.
    pub fn add_pod(&mut self) {
        let n = self.pods.len();
        self.add_pod_named(&n.to_string(), n as u8 + 1);
    }

    pub fn add_pod_named(&mut self, suffix: &str, number: u8) {
        let node = self.node();
        let netns = format!("bhk-{}-p{suffix}", self.tag);
        let interface = format!("bhl{suffix}");
        let (v4, v6) = (
            Ipv4Addr::new(10, 65, 0, number),
            Ipv6Addr::from([0xfd65, 0, 0, 0, 0, 0, 0, u16::from(number)]),
        );
        sh(&format!(
            "set -e; ip netns add {netns}; ip -n {netns} link set lo up
             ip -n {node} link add {interface} type veth peer name eth0 netns {netns}
             ip netns exec {node} sysctl -qw net.ipv6.conf.{interface}.accept_dad=0
             ip -n {node} addr add 169.254.1.1/32 dev {interface}
             ip -n {node} addr add fe80::1/64 dev {interface} nodad
             ip -n {node} link set {interface} up
             ip -n {netns} addr add {v4}/32 dev eth0
             ip -n {netns} addr add {v6}/128 dev eth0 nodad
             ip -n {netns} link set eth0 up
             ip -n {netns} route add default via 169.254.1.1 dev eth0 onlink
             ip -n {netns} -6 route add default via fe80::1 dev eth0 onlink
             ip -n {node} route add {v4}/32 dev {interface}
             ip -n {node} -6 route add {v6}/128 dev {interface}"
        ));
        let name = format!("pod{suffix}");
        self.pods.push(Pod { name, netns, v4, v6 });
    }

    pub fn options(&self) -> NodeOptions {
        let mut options = NodeOptions::new("test-node", self.pin_dir());
        options.netns = Some(netns_path(&self.node()));
        options.interface_prefixes = vec!["bhl".to_owned()];
        options.sweep_ms = 100;
        options.update_ms = 300;
        options.sizes = MapSizes::SMALL;
        options.backend = backend();
        options
    }

    /// For what only one back end does.
    pub fn start_on(&self, backend: BackendChoice) -> (NodeHandle, mpsc::Receiver<FlowRecord>) {
        Node::start(NodeOptions { backend, ..self.options() }).unwrap()
    }

    pub fn start(&self) -> (NodeHandle, mpsc::Receiver<FlowRecord>) {
        Node::start(self.options()).unwrap()
    }
}

impl Pod {
    pub fn addresses(&self) -> [IpAddr; 2] {
        [self.v4.into(), self.v6.into()]
    }

    pub fn v4_port(&self, port: u16) -> SocketAddr {
        (self.v4, port).into()
    }

    pub fn v6_port(&self, port: u16) -> SocketAddr {
        (self.v6, port).into()
    }
}

impl Drop for World {
    fn drop(&mut self) {
        let _ = Node::teardown(&self.pin_dir(), Some(&self.netns()));
        for pod in &self.pods {
            let _ = Command::new("ip").args(["netns", "del", &pod.netns]).output();
        }
        let _ = Command::new("ip").args(["netns", "del", &self.node()]).output();
    }
}

/// The back end under test: `BULKHEAD_BACKEND=nftables` runs every test of real interfaces on it.
pub fn backend() -> BackendChoice {
    match std::env::var("BULKHEAD_BACKEND").as_deref() {
        Ok("nftables") => BackendChoice::Nftables,
        _ => BackendChoice::Ebpf,
    }
}
