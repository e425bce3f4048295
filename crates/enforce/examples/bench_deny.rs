//! What a deny set of a million prefixes costs: a look by the driver's program, and replacing it whole.
//! Needs root.
//!
//! ```text
//! cargo run --release -p bulkhead-enforce --example bench_deny [PREFIXES]
//! ```
//!
//! The kernel runs the loaded program (BPF_PROG_TEST_RUN) on frames from random addresses, each many
//! times; a frame that is not IP is the same program without the look, and is taken off. `xdp_lookup_ns`
//! is at the density of a real blocklist (one /24 in 250 has a listed address in it), so nearly all looks
//! end at the bitmap; `xdp_lookup_listed_ns` is one that goes to the trie. The replacement keeps a tenth.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a bench stops at the first failure and prints its result"
)]

use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::time::Instant;

use bulkhead_enforce::MapSizes;
use bulkhead_enforce::ebpf::denies::Prefixes;
use bulkhead_enforce::kernel::linux::Linux;
use bulkhead_wire::RuleId;
use ipnet::{IpNet, Ipv4Net};
use rand::prelude::*;
use rand::rngs::SmallRng;

const FRAMES: usize = 400;
const REPEAT: u32 = 20_000;
/// One /24 in so many has listed addresses.
const DENSITY: u32 = 250;

fn main() {
    let n: usize = std::env::args().nth(1).map_or(1_000_000, |text| text.parse().unwrap());
    let pin_dir = PathBuf::from(format!("/sys/fs/bpf/bhk-deny-{}", std::process::id()));
    let mut kernel = Linux::open(&pin_dir, MapSizes::SMALL).unwrap();
    let mut rng = SmallRng::seed_from_u64(7);
    let first = mk_set(&mut rng, n, 0);
    let mut second: Prefixes = first.iter().step_by(10).map(|(net, rule)| (*net, *rule)).collect();
    second.extend(mk_set(&mut rng, n - second.len(), 1));
    let filled = Instant::now();
    kernel.add_denies(&first).unwrap();
    let fill_s = filled.elapsed().as_secs_f64();
    let begun = Instant::now();
    kernel.add_denies(&second).unwrap();
    kernel.drop_denies(&second).unwrap();
    let replace_s = begun.elapsed().as_secs_f64();

    let listed: Vec<Ipv4Addr> = second
        .keys()
        .filter_map(|net| if let IpNet::V4(net) = net { Some(net.network()) } else { None })
        .collect();
    let (mut any, mut hit, mut empty) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..FRAMES {
        any.push(cost(&mut kernel, &mk_frame(Some(Ipv4Addr::from(rng.random::<u32>())))));
        hit.push(cost(&mut kernel, &mk_frame(listed.choose(&mut rng).copied())));
        empty.push(cost(&mut kernel, &mk_frame(None)));
    }
    let [any, hit, empty] = [any, hit, empty].map(|mut samples| {
        samples.sort_unstable();
        samples[samples.len() / 2]
    });
    Linux::teardown(&pin_dir).unwrap();
    let result = serde_json::json!({
        "xdp_prefixes": second.len(),
        "xdp_lookup_ns": any.saturating_sub(empty),
        "xdp_lookup_listed_ns": hit.saturating_sub(empty),
        "xdp_program_ns": any,
        "xdp_fill_s": fill_s,
        "xdp_replace_1m_s": replace_s,
    });
    println!("{result}");
}

/// Single addresses and some wider nets, crowded into few /24s as blocklists are.
fn mk_set(rng: &mut SmallRng, n: usize, odd: u32) -> Prefixes {
    let mut set = Prefixes::new();
    while set.len() < n {
        let block = rng.random_range(0..(1u32 << 24) / DENSITY) * DENSITY + odd;
        let address = Ipv4Addr::from(block << 8 | rng.random_range(0..256));
        let net = Ipv4Net::new(address, 32).unwrap();
        set.insert(IpNet::from(net), Some(RuleId(9)));
    }
    set
}

fn mk_frame(src: Option<Ipv4Addr>) -> Vec<u8> {
    let mut frame = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2];
    frame.extend(if src.is_some() { [0x08, 0x00] } else { [0x88, 0xcc] });
    frame.extend([0x45, 0, 0, 40, 0, 0, 0, 0, 64, 6, 0, 0]);
    frame.extend(src.unwrap_or(Ipv4Addr::UNSPECIFIED).octets());
    frame.extend([10, 0, 0, 1]);
    frame.extend([0; 26]);
    frame
}

fn cost(kernel: &mut Linux, frame: &[u8]) -> u64 {
    kernel.run_driver(frame, REPEAT).unwrap().1
}
