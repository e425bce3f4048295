//! How much of a TCP stream's speed, and of the rate of new connections, is left when both veths are
//! enforced by 1 rule and by 100,000. Needs root.
//!
//! ```text
//! cargo run --release -p bulkhead-enforce --example bench_stream
//! ```
//!
//! Three equal worlds, each a node and two pods as network namespaces: one without any program, two
//! enforced. Rounds alternate between them; the figures are medians of the rounds' ratios.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a bench stops at the first failure and prints its result"
)]

#[expect(dead_code, reason = "the bench needs a part of what the tests need")]
#[path = "../tests/kernel/programs.rs"]
mod programs;
#[expect(dead_code, reason = "the bench needs a part of what the tests need")]
#[path = "../tests/kernel/world.rs"]
mod world;

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bulkhead_enforce::{Node, NodeHandle, NodeOptions};
use bulkhead_wire::{ClassId, Judges};
use programs::Maker;
use world::{World, inside};

const ROUNDS: usize = 11;
const ROUND: Duration = Duration::from_millis(600);
const PORT: u16 = 5_201;
const CHUNK: usize = 256 << 10;
const CLOSED_MAX: &str = "/proc/sys/net/ipv4/tcp_max_tw_buckets";
/// Rules about one peer group.
const PORTS: u32 = 100;

fn main() {
    let worlds = [World::new(2), World::new(2), World::new(2)];
    let [_, one, many] = &worlds;
    for pod in worlds.iter().flat_map(|world| &world.pods) {
        // Else closed connections would use up the ports, and the search for a free one be measured.
        inside(&pod.netns, || std::fs::write(CLOSED_MAX, "0").unwrap());
    }
    let _handles = [enforce(one, 1), enforce(many, 100_000)];
    let mut streams = [Vec::new(), Vec::new(), Vec::new()];
    let mut rates = [Vec::new(), Vec::new(), Vec::new()];
    for _ in 0..ROUNDS {
        for (world, (streams, rates)) in worlds.iter().zip(streams.iter_mut().zip(&mut rates)) {
            streams.push(stream(world));
            rates.push(connections(world));
        }
    }
    let result = serde_json::json!({
        "tcp_stream_ratio": rounded(ratio(&streams, 1)),
        "tcp_stream_ratio_1": rounded(ratio(&streams, 1)),
        "tcp_stream_ratio_100k": rounded(ratio(&streams, 2)),
        "tcp_stream_gbit_s": named(&streams),
        "tcp_crr_ratio": rounded(ratio(&rates, 1)),
        "tcp_crr_ratio_100k": rounded(ratio(&rates, 2)),
        "tcp_crr_per_s": named(&rates),
    });
    println!("{result}");
}

fn rounded(number: f64) -> f64 {
    (number * 1000.0).round() / 1000.0
}

fn named(samples: &[Vec<f64>; 3]) -> serde_json::Value {
    let [none, one, many] = samples.clone().map(|samples| rounded(median(samples)));
    serde_json::json!({ "none": none, "rules_1": one, "rules_100000": many })
}

/// Of each round with the one beside it, so that what else the machine does hits both.
fn ratio(samples: &[Vec<f64>; 3], which: usize) -> f64 {
    median(samples[which].iter().zip(&samples[0]).map(|(with, without)| with / without).collect())
}

fn median(mut samples: Vec<f64>) -> f64 {
    samples.sort_by(f64::total_cmp);
    samples[samples.len() / 2]
}

/// Each rule opens one port to one group; the pods are in the last group.
fn enforce(world: &World, n_rules: u32) -> NodeHandle {
    let mut maker = Maker::new(1);
    let (deny, allow) = (maker.deny(), maker.allow());
    let groups = n_rules.div_ceil(PORTS);
    let rows: Vec<_> = (0..groups)
        .map(|group| {
            let others =
                (1..n_rules.min(PORTS)).map(|n| (10_000 + (group * 13 + n * 500) % 50_000) as u16);
            let mut ports: Vec<u16> = others.collect();
            ports.push(PORT);
            ports.sort_unstable();
            (ClassId(u64::from(group) + 1), maker.allow_ports(&ports))
        })
        .collect();
    let rows: Vec<_> = rows.iter().map(|(class, row)| (*class, row)).collect();
    let judges = Judges { ingress: maker.judge(&deny, &rows), egress: maker.judge(&allow, &[]) };
    for n in 0..groups * 10 {
        let address = std::net::Ipv4Addr::from(u32::from_be_bytes([10, 128, 0, 0]) + n);
        maker.class(&format!("{address}/32"), ClassId(u64::from(n / 10) + 1));
    }
    for pod in &world.pods {
        maker.endpoint(&pod.name, &pod.addresses(), judges);
        maker.class(&format!("{}/32", pod.v4), ClassId(u64::from(groups)));
    }
    // As an agent has them: tests look through the flows more often.
    let NodeOptions { sweep_ms, update_ms, sizes, .. } = NodeOptions::new("", "");
    let options = NodeOptions { sweep_ms, update_ms, sizes, ..world.options() };
    let (handle, mut records) = Node::start(options).unwrap();
    std::thread::spawn(move || while records.blocking_recv().is_some() {});
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(handle.enforce(Arc::new(maker.program))).unwrap();
    handle
}

/// Connect, request, answer, close: how many a second.
fn connections(world: &World) -> f64 {
    let at = world.pods[1].v4_port(PORT);
    let listener = inside(&world.pods[1].netns, || TcpListener::bind(at).unwrap());
    let until = Instant::now() + ROUND;
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while let Ok((mut socket, _)) = listener.accept() {
                let mut byte = [0];
                if socket.read_exact(&mut byte).is_err() || byte[0] == 0 {
                    return;
                }
                socket.write_all(&byte).unwrap();
            }
        });
        let dial = |last: bool| {
            let mut socket = TcpStream::connect(at).unwrap();
            socket.write_all(&[u8::from(!last)]).unwrap();
            if !last {
                socket.read_exact(&mut [0]).unwrap();
            }
        };
        inside(&world.pods[0].netns, || {
            let (began, mut n) = (Instant::now(), 0u32);
            while Instant::now() < until {
                dial(false);
                n += 1;
            }
            let rate = f64::from(n) / began.elapsed().as_secs_f64();
            dial(true);
            rate
        })
    })
}

/// Gigabits a second from the first pod to the second.
fn stream(world: &World) -> f64 {
    let at = world.pods[1].v4_port(PORT);
    let listener = inside(&world.pods[1].netns, || TcpListener::bind(at).unwrap());
    std::thread::scope(|scope| {
        let receiver = scope.spawn(|| {
            let (mut socket, _) = listener.accept().unwrap();
            let mut chunk = vec![0; CHUNK];
            let (began, mut n_bytes) = (Instant::now(), 0u64);
            while let Ok(n @ 1..) = socket.read(&mut chunk) {
                n_bytes += n as u64;
            }
            n_bytes as f64 * 8.0 / began.elapsed().as_secs_f64() / 1e9
        });
        let mut socket = inside(&world.pods[0].netns, || TcpStream::connect(at).unwrap());
        let chunk = vec![0; CHUNK];
        let until = Instant::now() + ROUND;
        while Instant::now() < until {
            socket.write_all(&chunk).unwrap();
        }
        drop(socket);
        receiver.join().unwrap()
    })
}
