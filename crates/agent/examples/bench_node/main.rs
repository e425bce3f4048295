//! One agent with 1,000 workloads and 100,000 known addresses: how soon each workload is open when all
//! start at once, and what the agent takes when nothing moves. Needs root and the agent beside it.
//!
//! ```text
//! cargo run --release -p bulkhead-agent --example bench_node
//! ```
//!
//! The agent has the program on disk and no server. Every workload's network namespace is there
//! beforehand. Then four makers make interfaces, addresses and routes of all of them, as fast as the
//! kernel lets them: "at once" is that. From the moment that a workload can send it sends an allowed and
//! a forbidden datagram to its node, again and again until an allowed one has arrived: then it is open.
//! The time runs from the moment that its interface is up with its address and route; that the node gets
//! its route to the workload comes after that and counts.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a bench stops at the first failure and prints its result"
)]

mod program;
mod start;
mod workload;

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use bulkhead_agent::saved;

use program::mk_program;
use start::start_all;
use workload::NODE;

const IDLE: Duration = Duration::from_secs(20);
const PATIENCE: Duration = Duration::from_secs(60);

fn main() {
    let bench = Bench::up();
    let began = Instant::now();
    let agent = bench.agent();
    wait_for("the agent's program", || agent.is_ready());
    let ready = began.elapsed();
    let alone = agent.usage();
    let (opened, workloads) = start_all(&bench.node);
    std::thread::sleep(Duration::from_secs(3));
    let before = agent.usage();
    std::thread::sleep(IDLE);
    let after = agent.usage();
    let idle = (after.cpu - before.cpu).as_secs_f64() / IDLE.as_secs_f64() * 100.0;
    let of =
        |times: &[Duration], share: f64| ms(times[((times.len() - 1) as f64 * share) as usize]);
    let rounded = |number: f64| (number * 100.0).round() / 100.0;
    let result = serde_json::json!({
        "start_1000_p50_ms": of(&opened.since_dressed, 0.5),
        "start_1000_p99_ms": of(&opened.since_dressed, 0.99),
        "start_1000_max_ms": of(&opened.since_dressed, 1.0),
        "start_1000_since_link_p99_ms": of(&opened.since_plugged, 0.99),
        "start_1000_wrongly_passed": opened.n_early + opened.n_late,
        "start_1000_wrongly_passed_later": opened.n_late,
        "start_1000_made_in_ms": ms(opened.made_in),
        "agent_ready_ms": ms(ready),
        "agent_rss_mb": rounded(after.rss_mb),
        "agent_rss_before_workloads_mb": rounded(alone.rss_mb),
        "agent_idle_cpu_percent": rounded(idle),
        "agent_cpu_for_1000_starts_ms": ms(before.cpu - alone.cpu),
    });
    println!("{result}");
    drop(workloads);
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

/// The node's namespace, pins and folder; gone when dropped.
struct Bench {
    node: String,
    pins: PathBuf,
    folder: PathBuf,
}

struct Agent(Child, PathBuf);

struct Usage {
    cpu: Duration,
    rss_mb: f64,
}

impl Bench {
    fn up() -> Self {
        let node = format!("bhn{}", std::process::id());
        let folder = std::env::temp_dir().join(&node);
        std::fs::create_dir_all(&folder).unwrap();
        let bench = Self { pins: Path::new("/sys/fs/bpf").join(&node), folder, node };
        let node = &bench.node;
        sh(&format!(
            "set -e; ip netns add {node}; ip -n {node} link set lo up
             ip -n {node} addr add {NODE}/32 dev lo
             ip netns exec {node} sysctl -qw net.ipv4.conf.all.rp_filter=0 \
                 net.ipv4.conf.default.rp_filter=0 net.ipv6.conf.default.disable_ipv6=1"
        ));
        saved::save(&bench.folder.join("state"), &mk_program()).unwrap();
        bench
    }

    fn agent(&self) -> Agent {
        let own = std::env::current_exe().unwrap();
        let program = own.parent().unwrap().parent().unwrap().join("bulkhead-agent");
        let log = self.folder.join("log");
        let output = File::create(&log).unwrap();
        let authority = "0".repeat(64);
        let child = Command::new(program)
            .envs([("RUST_LOG", "info,bulkhead_agent::keeper=debug"), ("NO_COLOR", "1")])
            .args(["--node", "bench", "--server", "127.0.0.1:9"])
            .args(["--token", &format!("bh1.a.b.{authority}")])
            .args(["--interface-prefix", "bhl"])
            .arg("--state-dir")
            .arg(self.folder.join("state"))
            .arg("--netns")
            .arg(Path::new("/run/netns").join(&self.node))
            .arg("--pin-dir")
            .arg(&self.pins)
            .stdout(output.try_clone().unwrap())
            .stderr(output)
            .spawn()
            .unwrap();
        Agent(child, log)
    }
}

fn sh(line: &str) {
    let output = Command::new("sh").args(["-c", line]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

impl Agent {
    /// It has said that the kernel is held to its program.
    fn is_ready(&self) -> bool {
        std::fs::read_to_string(&self.1).unwrap_or_default().contains("keeper: enforced")
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
        let _ = Command::new("ip").args(["netns", "del", &self.node]).output();
        let _ = std::fs::remove_dir_all(&self.pins);
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}
