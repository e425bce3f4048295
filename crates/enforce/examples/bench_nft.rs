//! What a verdict of nftables costs by the number of rules, and what one more address costs, there and on
//! eBPF. Needs root.
//!
//! ```text
//! cargo run --release -p bulkhead-enforce --example bench_nft
//! ```
//!
//! Datagrams go from one network namespace through a node to another; the sender's own CPU time covers
//! the whole way through the node, because a veth delivers in the sender's context. Every packet is
//! judged anew at the workload's interface, so a known flow costs what a first packet's verdict costs.
//! Rounds alternate between a node that only tracks connections and nodes with 1 and 100,000 rules;
//! the difference to the first is the verdict.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a bench stops at the first failure and prints its result"
)]

#[expect(dead_code, reason = "the bench needs a part of what the tests need")]
#[path = "../tests/kernel/programs.rs"]
mod programs;
#[expect(dead_code, reason = "the bench needs a part of what the tests need")]
#[path = "../tests/kernel/world.rs"]
mod world;

use std::net::{IpAddr, Ipv4Addr, UdpSocket};
use std::sync::Arc;
use std::time::Instant;

use bulkhead_enforce::{BackendChoice, MapSizes, Node, NodeHandle};
use bulkhead_wire::{ClassId, Judges, NodeProgram};
use ipnet::{IpNet, Ipv4Net};
use nix::time::{ClockId, clock_gettime};
use programs::Maker;
use world::{World, inside, sh};

const RULES_MANY: u32 = 100_000;
const ADDRESSES: u32 = 100_000;
const RULES_PER_GROUP: u32 = 100;
const ROUNDS: usize = 41;
const PACKETS: u32 = 4_000;
const ADDITIONS: u32 = 41;

fn main() {
    let idle = World::new(2);
    let script = "add table inet t; add chain inet t f { type filter hook forward priority 0; }; \
                  add rule inet t f ct state new counter";
    sh(&format!("nsenter --net={} nft '{script}'", idle.netns().display()));
    let nft = BackendChoice::Nftables;
    let (few, few_node, _) = mk_node(nft, 1, 1);
    let (many, many_node, program) = mk_node(nft, RULES_MANY, ADDRESSES);
    let mut senders = [&idle, &few, &many].map(Sender::new);
    let mut samples = [const { Vec::new() }; 3];
    for _ in 0..ROUNDS {
        for (sender, samples) in senders.iter_mut().zip(&mut samples) {
            samples.push(sender.packet_ns());
        }
    }
    let [idle_ns, few_ns, many_ns] = samples.map(median);
    let (add_ms, program) = add(&many_node, program, |n| peer(ADDRESSES + n).into());
    // A prefix goes by the bank that nobody reads, and the rules that choose the bank are replaced.
    let (prefix_ms, _) = add(&many_node, program, |n| {
        let address = Ipv4Addr::from_bits(u32::from_be_bytes([172, 16, 0, 0]) + n * 256);
        Ipv4Net::new_assert(address, 24).into()
    });
    drop((few_node, many_node));
    let (_world, ebpf_node, program) = mk_node(BackendChoice::Ebpf, RULES_MANY, ADDRESSES);
    let (ebpf_ms, _) = add(&ebpf_node, program, |n| peer(ADDRESSES + n).into());
    let verdict = |ns: f64| (ns - idle_ns).max(1.0);
    println!(
        "{}",
        serde_json::json!({
            "nft_packet_ns": { "tracked": idle_ns, "1": few_ns, "100000": many_ns },
            "nft_verdict_ns": { "1": verdict(few_ns), "100000": verdict(many_ns) },
            "verdict_100k_over_1_nft": rounded(verdict(many_ns) / verdict(few_ns)),
            "nft_add_one_ms": rounded(median(add_ms.clone())),
            "nft_add_one_worst_ms": rounded(add_ms.into_iter().fold(0.0, f64::max)),
            "nft_add_prefix_ms": rounded(median(prefix_ms)),
            "ebpf_add_one_ms": rounded(median(ebpf_ms)),
        })
    );
}

fn rounded(value: f64) -> f64 {
    (value * 1000.0).round() / 1000.0
}

fn median(mut samples: Vec<f64>) -> f64 {
    samples.sort_unstable_by(f64::total_cmp);
    samples.get(samples.len() / 2).copied().unwrap()
}

/// Datagrams of known flows, from the first pod to the second.
struct Sender {
    socket: UdpSocket,
    _receiver: UdpSocket,
}

impl Sender {
    fn new(world: &World) -> Self {
        let [from, to] = world.pods.as_slice() else { panic!("two pods") };
        let target = to.v4_port(port(0));
        let receiver = inside(&to.netns, || UdpSocket::bind(target).unwrap());
        let socket = inside(&from.netns, || UdpSocket::bind((from.v4, 4_000)).unwrap());
        socket.connect(target).unwrap();
        socket.send(b"first").unwrap();
        receiver.recv(&mut [0; 8]).unwrap();
        Self { socket, _receiver: receiver }
    }

    fn packet_ns(&mut self) -> f64 {
        let cpu_ns = || {
            let time = clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).unwrap();
            time.tv_sec() as f64 * 1e9 + time.tv_nsec() as f64
        };
        let began = cpu_ns();
        for _ in 0..PACKETS {
            // The receiver's queue is full most of the time, which costs all alike.
            let _ = self.socket.send(b"datagram");
        }
        (cpu_ns() - began) / f64::from(PACKETS)
    }
}

fn port(index: u32) -> u16 {
    (1_000 + index * 500 % 60_000) as u16
}

/// A node whose second pod has so many rules, each of which allows one group to one port, about so
/// many addresses. The first pod is of the last group.
fn mk_node(
    backend: BackendChoice,
    n_rules: u32,
    n_addresses: u32,
) -> (World, NodeHandle, NodeProgram) {
    let world = World::new(2);
    let mut maker = Maker::new(1);
    let (all, deny) = (maker.allow(), maker.deny());
    let n_groups = n_rules.div_ceil(RULES_PER_GROUP);
    let rows: Vec<(ClassId, _)> = (0..n_groups)
        .map(|group| {
            // No two groups alike.
            let mut ports: Vec<u16> = (0..RULES_PER_GROUP.min(n_rules)).map(port).collect();
            ports.push((62_000 + group) as u16);
            (ClassId(u64::from(group) + 1), maker.allow_ports(&ports))
        })
        .collect();
    let rows: Vec<(ClassId, &_)> = rows.iter().map(|(class, row)| (*class, row)).collect();
    let open = Judges { ingress: maker.judge(&all, &[]), egress: maker.judge(&all, &[]) };
    let judged = Judges { ingress: maker.judge(&deny, &rows), egress: open.egress };
    for (pod, judges) in world.pods.iter().zip([open, judged]) {
        maker.endpoint(&pod.name, &pod.addresses(), judges);
    }
    let classes = &mut maker.program.classes;
    for n in 0..n_addresses {
        classes.insert(peer(n).into(), ClassId(u64::from(n % n_groups) + 1));
    }
    let first = world.pods.first().unwrap();
    classes.insert(IpAddr::from(first.v4).into(), ClassId(u64::from(n_groups)));
    let mut options = world.options();
    options.backend = backend;
    options.sizes = MapSizes::DEFAULT;
    let (handle, records) = Node::start(options).unwrap();
    std::mem::forget(records);
    enforce(&handle, maker.program.clone());
    (world, handle, maker.program)
}

fn peer(n: u32) -> IpAddr {
    Ipv4Addr::from_bits(u32::from_be_bytes([10, 128, 0, 0]) + n).into()
}

fn enforce(handle: &NodeHandle, program: NodeProgram) {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(handle.enforce(Arc::new(program))).unwrap();
}

/// From the order to the kernel's answer, one member of a known class more each time.
fn add(
    handle: &NodeHandle,
    mut program: NodeProgram,
    member: impl Fn(u32) -> IpNet,
) -> (Vec<f64>, NodeProgram) {
    let added = (0..ADDITIONS).map(|n| {
        program.revision.0 += 1;
        let class = ClassId(u64::from(n) + 1);
        program.classes.insert(member(n), class);
        let next = program.clone();
        let began = Instant::now();
        enforce(handle, next);
        began.elapsed().as_secs_f64() * 1e3
    });
    (added.collect(), program)
}
