//! How much of a TCP stream's speed is left when both veths are enforced. Needs root.
//!
//! ```text
//! cargo run --release -p bulkhead-enforce --example bench_stream
//! ```
//!
//! Two equal worlds, each a node and two pods as network namespaces: one without any program, one
//! enforced. Rounds alternate between them; the figures are medians.
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

use bulkhead_wire::Judges;
use programs::Maker;
use world::{World, inside};

const ROUNDS: usize = 11;
const ROUND: Duration = Duration::from_millis(700);
const PORT: u16 = 5_201;
const CHUNK: usize = 256 << 10;

fn main() {
    let (open, enforced) = (World::new(2), World::new(2));
    let (handle, _records) = enforced.start();
    let mut maker = Maker::new(1);
    let (ingress, egress) = (maker.allow_ports(&[PORT]), maker.allow());
    let judges = Judges { ingress: maker.judge(&ingress, &[]), egress: maker.judge(&egress, &[]) };
    for pod in &enforced.pods {
        maker.endpoint(&pod.name, &pod.addresses(), judges);
    }
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(handle.enforce(Arc::new(maker.program))).unwrap();

    let (mut without, mut with) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        without.push(stream(&open));
        with.push(stream(&enforced));
    }
    let (without, with) = (median(without), median(with));
    let rounded = |number: f64| (number * 1000.0).round() / 1000.0;
    let result = serde_json::json!({
        "tcp_stream_ratio": rounded(with / without),
        "tcp_stream_gbit_s": { "none": rounded(without), "enforced": rounded(with) },
    });
    println!("{result}");
}

fn median(mut samples: Vec<f64>) -> f64 {
    samples.sort_by(f64::total_cmp);
    samples[samples.len() / 2]
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
