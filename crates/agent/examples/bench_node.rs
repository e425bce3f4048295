//! One agent with 1,000 workloads and 100,000 known addresses: how soon each workload is open when all
//! start at once, and what the agent takes when nothing moves. Needs root and the agent beside it.
//!
//! ```text
//! cargo run --release -p bulkhead-agent --example bench_node
//! ```
//!
//! The agent has the program on disk and no server. Then 1,000 interfaces come, as fast as `ip` makes
//! them; every workload sends an allowed and a forbidden datagram to its node, again and again until
//! an allowed one has arrived. The time runs from the kernel's word that the workload's route is there.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a bench stops at the first failure and prints its result"
)]

use std::collections::HashMap;
use std::fmt::Write as _;
use std::fs::File;
use std::io::Write as _;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bulkhead_agent::saved;
use bulkhead_types::{Decision, EndpointId, Labels, Revision, RuleRef, ToHost};
use bulkhead_wire::id::content_hash;
use bulkhead_wire::row::{Leaf, Outcome, Row, Span, Spans};
use bulkhead_wire::{
    ClassId, EndpointProgram, JudgedAddresses, Judges, NodeProgram, ProgramId, RowId, RuleId,
};
use nix::sched::{CloneFlags, setns};
use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, recv, setsockopt,
    socket, sockopt,
};
use socket2::{Domain, Protocol, Socket, Type};

const WORKLOADS: u32 = 1_000;
const ADDRESSES: u32 = 100_000;
const CLASSES: u32 = 500;
const PROGRAMS: u32 = 20;
const OPEN: u16 = 7_000;
const SHUT: u16 = 7_001;
const GAP: Duration = Duration::from_millis(2);
const IDLE: Duration = Duration::from_secs(15);
const PATIENCE: Duration = Duration::from_secs(60);
const NODE: Ipv4Addr = Ipv4Addr::new(169, 254, 1, 1);

fn address(workload: u32) -> Ipv4Addr {
    Ipv4Addr::from(u32::from_be_bytes([10, 66, 0, 0]) + workload + 1)
}

fn main() {
    let bench = Bench::up();
    let began = Instant::now();
    let agent = bench.agent();
    wait_for("the agent's program", || bench.pins.join("links").exists() && agent.is_ready());
    let ready = began.elapsed();
    let alone = agent.usage();
    let opened = bench.start_all();
    std::thread::sleep(Duration::from_secs(3));
    let before = agent.usage();
    std::thread::sleep(IDLE);
    let after = agent.usage();
    let idle = (after.cpu - before.cpu).as_secs_f64() / IDLE.as_secs_f64() * 100.0;
    let at = |share: f64| ms(opened.delays[((opened.delays.len() - 1) as f64 * share) as usize]);
    let rounded = |number: f64| (number * 100.0).round() / 100.0;
    let result = serde_json::json!({
        "start_1000_p50_ms": at(0.5),
        "start_1000_p99_ms": at(0.99),
        "start_1000_max_ms": at(1.0),
        "start_1000_wrongly_passed": opened.n_early + opened.n_late,
        "start_1000_wrongly_passed_later": opened.n_late,
        "start_1000_interfaces_came_in_ms": ms(opened.came_in),
        "agent_ready_ms": ms(ready),
        "agent_rss_mb": rounded(after.rss_mb),
        "agent_rss_before_workloads_mb": rounded(alone.rss_mb),
        "agent_idle_cpu_percent": rounded(idle),
        "agent_cpu_for_1000_starts_ms": ms(before.cpu - alone.cpu),
    });
    println!("{result}");
}

fn ms(time: Duration) -> f64 {
    (time.as_secs_f64() * 10_000.0).round() / 10.0
}

fn wait_for(what: &str, is_so: impl Fn() -> bool) {
    let until = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < until, "waited in vain for: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Namespaces, pins and folders; gone when dropped.
struct Bench {
    tag: String,
    pins: PathBuf,
    folder: PathBuf,
}

struct Opened {
    /// Sorted.
    delays: Vec<Duration>,
    /// Forbidden datagrams that came before all were open, and after.
    n_early: u64,
    n_late: u64,
    came_in: Duration,
}

struct Agent(Child, PathBuf);

struct Usage {
    cpu: Duration,
    rss_mb: f64,
}

impl Bench {
    fn up() -> Self {
        let tag = format!("bhn{}", std::process::id());
        let folder = std::env::temp_dir().join(&tag);
        std::fs::create_dir_all(&folder).unwrap();
        let bench = Self { pins: Path::new("/sys/fs/bpf").join(&tag), folder, tag };
        let (node, pods) = (bench.node(), bench.pods());
        sh(&format!(
            "set -e; ip netns add {node}; ip netns add {pods}; ip -n {node} link set lo up
             ip -n {pods} link set lo up; ip -n {node} addr add {NODE}/32 dev lo
             ip netns exec {node} sysctl -qw net.ipv4.conf.all.rp_filter=0 \
                 net.ipv4.conf.default.rp_filter=0 net.ipv6.conf.default.disable_ipv6=1
             ip netns exec {pods} sysctl -qw net.ipv6.conf.default.disable_ipv6=1"
        ));
        saved::save(&bench.folder.join("state"), &mk_program()).unwrap();
        bench
    }

    fn node(&self) -> String {
        format!("{}-node", self.tag)
    }

    fn pods(&self) -> String {
        format!("{}-pods", self.tag)
    }

    fn agent(&self) -> Agent {
        let own = std::env::current_exe().unwrap();
        let program = own.parent().unwrap().parent().unwrap().join("bulkhead-agent");
        let log = self.folder.join("log");
        let output = File::create(&log).unwrap();
        let authority = "0".repeat(64);
        let child = Command::new(program)
            .args(["--node", "bench", "--server", "127.0.0.1:9"])
            .args(["--token", &format!("bh1.a.b.{authority}")])
            .args(["--interface-prefix", "bhl"])
            .arg("--state-dir")
            .arg(self.folder.join("state"))
            .arg("--netns")
            .arg(Path::new("/run/netns").join(self.node()))
            .arg("--pin-dir")
            .arg(&self.pins)
            .stdout(output.try_clone().unwrap())
            .stderr(output)
            .spawn()
            .unwrap();
        Agent(child, log)
    }

    /// Interfaces of all workloads at once.
    fn start_all(&self) -> Opened {
        let (routes, stop) = (Routes::follow(&self.node()), Arc::new(AtomicBool::new(false)));
        let open = receive(&self.node(), OPEN, &stop);
        let shut = receive(&self.node(), SHUT, &stop);
        let (came, arrived) = (Arc::clone(&routes.came), Arc::clone(&open.first));
        let pods = self.pods();
        let sending = std::thread::spawn(move || send(&pods, &came, &arrived));
        let mut lines = String::new();
        for n in 0..WORKLOADS {
            let (pods, at) = (self.pods(), address(n));
            // Neighbours are written down, so that nothing waits for ARP.
            writeln!(
                lines,
                "link add bhl{n} address ee:ee:ee:ee:ee:ee type veth peer name p{n} address {} netns {pods}\n\
                 link set bhl{n} up\nroute add {at}/32 dev bhl{n}",
                mac(n)
            )
            .unwrap();
        }
        let inside: String = (0..WORKLOADS)
            .map(|n| {
                format!(
                    "link set p{n} up\naddr add {}/32 dev p{n}\n\
                     neigh replace {NODE} lladdr ee:ee:ee:ee:ee:ee dev p{n} nud permanent\n",
                    address(n)
                )
            })
            .collect();
        let began = Instant::now();
        batch(&self.node(), &lines);
        let came_in = began.elapsed();
        batch(&self.pods(), &inside);
        let mut sockets = sending.join().unwrap();
        // Everybody is open now: what is forbidden must not pass any more.
        std::thread::sleep(Duration::from_millis(500));
        let n_early = shut.n.load(Ordering::SeqCst);
        for socket in sockets.values_mut() {
            let _ = socket.send_to(b"later", &SocketAddr::from((NODE, SHUT)).into());
        }
        std::thread::sleep(Duration::from_millis(500));
        stop.store(true, Ordering::SeqCst);
        let (came, first) = (routes.came.lock().unwrap(), open.first.lock().unwrap());
        let ready = |n: &u32| came[n].max(began);
        let mut delays: Vec<Duration> =
            came.keys().map(|n| first[n].saturating_duration_since(ready(n))).collect();
        delays.sort();
        assert_eq!(delays.len(), WORKLOADS as usize);
        let n_late = shut.n.load(Ordering::SeqCst) - n_early;
        Opened { delays, n_early, n_late, came_in }
    }
}

fn mac(workload: u32) -> String {
    format!("02:be:00:00:{:02x}:{:02x}", workload >> 8, workload & 0xff)
}

fn sh(line: &str) {
    let output = Command::new("sh").args(["-c", line]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

fn batch(netns: &str, lines: &str) {
    let mut child = Command::new("ip")
        .args(["-n", netns, "-batch", "-"])
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(lines.as_bytes()).unwrap();
    assert!(child.wait().unwrap().success());
}

fn enter(netns: &str) {
    let file = File::open(Path::new("/run/netns").join(netns)).unwrap();
    setns(file, CloneFlags::CLONE_NEWNET).unwrap();
}

type Moments = Arc<std::sync::Mutex<HashMap<u32, Instant>>>;

struct Received {
    first: Moments,
    n: Arc<AtomicU64>,
}

/// When the first datagram of each workload came to this port.
fn receive(node: &str, port: u16, stop: &Arc<AtomicBool>) -> Received {
    let received = Received { first: Moments::default(), n: Arc::default() };
    let (first, n, stop) = (Arc::clone(&received.first), Arc::clone(&received.n), Arc::clone(stop));
    let (node, (bound, is_bound)) = (node.to_owned(), std::sync::mpsc::channel());
    std::thread::spawn(move || {
        enter(&node);
        let socket = UdpSocket::bind((NODE, port)).unwrap();
        setsockopt(&socket, sockopt::RcvBufForce, &(64 << 20)).unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
        bound.send(()).unwrap();
        while !stop.load(Ordering::SeqCst) {
            if let Ok((_, SocketAddr::V4(from))) = socket.recv_from(&mut [0; 8]) {
                let now = Instant::now();
                n.fetch_add(1, Ordering::SeqCst);
                let workload = u32::from(*from.ip()) - u32::from(address(0));
                first.lock().unwrap().entry(workload).or_insert(now);
            }
        }
    });
    is_bound.recv().unwrap();
    received
}

/// When the route of each workload came.
struct Routes {
    came: Moments,
}

impl Routes {
    fn follow(node: &str) -> Self {
        const ROUTES_V4: u32 = 0x40;
        let came = Moments::default();
        let (node, known) = (node.to_owned(), Arc::clone(&came));
        let (bound, is_bound) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            enter(&node);
            let flags = SockFlag::SOCK_CLOEXEC;
            let route = SockProtocol::NetlinkRoute;
            let fd = socket(AddressFamily::Netlink, SockType::Raw, flags, route).unwrap();
            setsockopt(&fd, sockopt::RcvBufForce, &(16 << 20)).unwrap();
            bind(fd.as_raw_fd(), &NetlinkAddr::new(0, ROUTES_V4)).unwrap();
            bound.send(()).unwrap();
            let mut bytes = vec![0; 64 << 10];
            while known.lock().unwrap().len() < WORKLOADS as usize {
                let n = recv(fd.as_raw_fd(), &mut bytes, MsgFlags::empty()).unwrap();
                let now = Instant::now();
                for workload in new_routes(&bytes[..n]) {
                    known.lock().unwrap().entry(workload).or_insert(now);
                }
            }
        });
        is_bound.recv().unwrap();
        Self { came }
    }
}

/// Workloads that a piece of rtnetlink tells a new host route of.
fn new_routes(mut bytes: &[u8]) -> Vec<u32> {
    const NEW_ROUTE: u16 = 24;
    const HEADER: usize = 28;
    const DESTINATION: usize = 1;
    let mut found = Vec::new();
    while bytes.len() > HEADER {
        let length = u32::from_ne_bytes(bytes[..4].try_into().unwrap()) as usize;
        let kind = u16::from_ne_bytes(bytes[4..6].try_into().unwrap());
        let (message, rest) = bytes.split_at(length.next_multiple_of(4).min(bytes.len()));
        bytes = rest;
        if kind != NEW_ROUTE || message[17] != 32 {
            continue;
        }
        let mut attributes = &message[HEADER..];
        while attributes.len() >= 8 {
            let length = usize::from(u16::from_ne_bytes(attributes[..2].try_into().unwrap()));
            if usize::from(u16::from_ne_bytes(attributes[2..4].try_into().unwrap())) == DESTINATION
            {
                let octets: [u8; 4] = attributes[4..8].try_into().unwrap();
                let workload =
                    u32::from(Ipv4Addr::from(octets)).wrapping_sub(u32::from(address(0)));
                found.extend((workload < WORKLOADS).then_some(workload));
            }
            attributes = &attributes[length.next_multiple_of(4).clamp(4, attributes.len())..];
        }
    }
    found
}

/// Sends from every workload whose route has come until its first datagram has arrived.
fn send(pods: &str, came: &Moments, arrived: &Moments) -> HashMap<u32, Socket> {
    enter(pods);
    let mut sockets: HashMap<u32, Socket> = HashMap::new();
    let until = Instant::now() + PATIENCE;
    loop {
        let waiting: Vec<u32> = {
            let (came, arrived) = (came.lock().unwrap(), arrived.lock().unwrap());
            if arrived.len() == WORKLOADS as usize {
                return sockets;
            }
            came.keys().filter(|n| !arrived.contains_key(n)).copied().collect()
        };
        assert!(Instant::now() < until, "{} workloads are not open", waiting.len());
        for n in waiting {
            if !sockets.contains_key(&n) {
                sockets.extend(mk_socket(n).map(|socket| (n, socket)));
            }
            let Some(socket) = sockets.get(&n) else { continue };
            for port in [SHUT, OPEN] {
                let _ = socket.send_to(b"first", &SocketAddr::from((NODE, port)).into());
            }
        }
        std::thread::sleep(GAP);
    }
}

/// `None` while the workload's own side is not there yet.
fn mk_socket(workload: u32) -> Option<Socket> {
    let socket = Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP)).unwrap();
    socket.bind_device(Some(format!("p{workload}").as_bytes())).ok()?;
    socket.bind(&SocketAddr::from((address(workload), 9_000)).into()).ok()?;
    Some(socket)
}

impl Agent {
    fn is_ready(&self) -> bool {
        let text = std::fs::read_to_string(&self.1).unwrap_or_default();
        text.contains("cannot join yet")
    }

    fn usage(&self) -> Usage {
        let read = |what: &str| std::fs::read_to_string(format!("/proc/{}/{what}", self.0.id()));
        let stat = read("stat").unwrap();
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
        // In ticks of a hundredth of a second.
        let ticks: u64 = fields[11..13].iter().map(|n| n.parse::<u64>().unwrap()).sum();
        let status = read("status").unwrap();
        let rss = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        let kib: f64 = rss.split_whitespace().next().unwrap().parse().unwrap();
        Usage { cpu: Duration::from_millis(ticks * 10), rss_mb: kib / 1024.0 }
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        for netns in [self.node(), self.pods()] {
            let _ = Command::new("ip").args(["netns", "del", &netns]).output();
        }
        let _ = std::fs::remove_dir_all(&self.pins);
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// Every workload may reach one port of its node; 100,000 addresses in 500 classes are known.
fn mk_program() -> NodeProgram {
    // What a workload sends to its node is for its policy to say.
    let mut program =
        NodeProgram { revision: Revision(1), to_host: ToHost::Return, ..NodeProgram::default() };
    let deny = leaf(&mut program, Decision::Deny, "deny");
    let allow = leaf(&mut program, Decision::Allow, "allow");
    let classes = Arc::make_mut(&mut program.classes);
    for n in 0..ADDRESSES {
        let remote = Ipv4Addr::from(u32::from_be_bytes([10, 128, 0, 0]) + n);
        classes.insert(IpAddr::V4(remote).into(), ClassId(u64::from(n % CLASSES) + 1));
    }
    let ids: Vec<ProgramId> =
        (0..PROGRAMS).map(|n| mk_judge(&mut program, n, deny, allow)).collect();
    let endpoints = Arc::make_mut(&mut program.endpoints);
    for n in 0..WORKLOADS {
        let id = EndpointId::pod("bench", format!("workload-{n}"));
        let judge = ids[(n % PROGRAMS) as usize];
        let judges = Judges { ingress: judge, egress: judge };
        let endpoint = EndpointProgram {
            id: id.clone(),
            labels: Labels::new().into(),
            addresses: [(IpAddr::V4(address(n)), judges)].into_iter().collect(),
            staged: JudgedAddresses::default(),
            interface: None,
            mac: None,
        };
        endpoints.insert(id, endpoint.into());
    }
    program
}

fn leaf(program: &mut NodeProgram, decision: Decision, name: &str) -> Leaf {
    let rule = RuleRef::TierDefault { tier: name.to_owned() };
    let id = RuleId::of(&rule);
    Arc::make_mut(&mut program.rules).insert(id, rule.into());
    Leaf { decision, rule: id }
}

/// Opens the port to everybody, and another one to each class.
fn mk_judge(program: &mut NodeProgram, number: u32, deny: Leaf, allow: Leaf) -> ProgramId {
    let id = ProgramId(content_hash([&number.to_le_bytes()[..]]));
    let (rows, entries) = (Arc::make_mut(&mut program.rows), &mut program.entries);
    let entries = Arc::make_mut(entries);
    for class in 0..=CLASSES {
        let port = 10_000 + (class * PROGRAMS + number) as u16;
        let open = |from: u16, leaf| Span { start: from, outcome: Outcome::Leaf(leaf) };
        let spans = vec![
            open(0, deny),
            open(OPEN, allow),
            open(OPEN + 1, deny),
            open(port, allow),
            open(port + 1, deny),
        ];
        let row = Row { udp: Spans::new(spans).unwrap(), ..Row::uniform(deny) };
        let row_id = RowId::of(&row);
        rows.insert(row_id, row.into());
        entries.insert((id, ClassId(u64::from(class))), row_id);
    }
    id
}
