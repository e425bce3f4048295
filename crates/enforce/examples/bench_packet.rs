//! What one packet costs over a program that does nothing, with 100,000 addresses in 500 classes
//! known. Needs root.
//!
//! ```text
//! cargo run --release -p bulkhead-enforce --example bench_packet
//! ```
//!
//! BPF_PROG_TEST_RUN, in rounds that alternate: the empty program, one that only finds a class, an
//! established packet, first packets with their entries in the flow table. The packet of the first three is
//! repeated; for the last the program makes another flow of it each time, once by its port and once by its
//! address, whose class is then not in any cache either.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    reason = "a bench stops at the first failure and prints its result"
)]

#[expect(dead_code, reason = "the bench needs a part of what the tests need")]
#[path = "../tests/kernel/bench.rs"]
mod bench;
#[expect(dead_code, reason = "the bench needs a part of what the tests need")]
#[path = "../tests/kernel/packets.rs"]
mod packets;
#[expect(dead_code, reason = "the bench needs a part of what the tests need")]
#[path = "../tests/kernel/programs.rs"]
mod programs;

use std::net::{IpAddr, Ipv4Addr};

use aya::programs::{SchedClassifier, TestRunOptions};
use aya::{Ebpf, EbpfLoader, TestRun};
use bench::Bench;
use bulkhead_enforce::MapSizes;
use bulkhead_types::{Direction, Protocol};
use bulkhead_wire::{ClassId, FlowEvent, Judges};
use packets::{ACK, Frame, SYN, mk_packet};
use programs::Maker;

static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/bench.bpf.o"));

const ADDRESSES: u32 = 100_000;
const CLASSES: u32 = 500;
const ROUNDS: usize = 21;
const REPEAT: u32 = 50_000;
/// Addresses that a round takes one after another.
const PEERS: u32 = 8;
/// New flows of one kind in a round. What they told is read before the ring is full.
const NEW: u32 = 4_000;
const LOCAL: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1));

fn peer(number: u32) -> Ipv4Addr {
    Ipv4Addr::from(u32::from_be_bytes([10, 128, 0, 0]) + number % ADDRESSES)
}

fn frame(number: u32, port: u16, flags: u8) -> Vec<u8> {
    let packet = mk_packet(peer(number).into(), LOCAL, Protocol::TCP, (port, 443));
    Frame::new(packet).flags(flags).bytes()
}

fn answer(number: u32, port: u16) -> Vec<u8> {
    let packet = mk_packet(LOCAL, peer(number).into(), Protocol::TCP, (443, port));
    Frame::new(packet).flags(SYN | ACK).bytes()
}

#[derive(Default)]
struct Samples {
    empty: Vec<u64>,
    classify: Vec<u64>,
    established: Vec<u64>,
    next_port: Vec<u64>,
    new_flow: Vec<u64>,
    new_peer: Vec<u64>,
}

fn main() {
    let mut bench = mk_bench();
    let mut beside = beside(&bench);
    let mut samples = Samples::default();
    for round in 0..ROUNDS as u32 {
        for n in 0..PEERS {
            let number = round * 4_001 + n * 12_007;
            let (syn, ack) = (frame(number, 40_000, SYN), frame(number, 40_000, ACK));
            let answer = answer(number, 40_000);
            samples.empty.push(run(&mut beside, "empty", &ack, REPEAT));
            samples.classify.push(run(&mut beside, "classify", &ack, REPEAT));
            for (direction, packet) in [
                (Direction::Ingress, &syn),
                (Direction::Egress, &answer),
                (Direction::Ingress, &ack),
            ] {
                assert!(bench.passes_bytes(direction, packet));
            }
            let (_, ns) = bench.run(Direction::Ingress, &ack, REPEAT);
            samples.established.push(ns);
        }
        let syn = frame(round * 4_001, 50_000, SYN);
        samples.next_port.push(run(&mut beside, "next_port", &syn, NEW));
        samples.new_flow.push(run(&mut beside, "new_flow", &syn, NEW));
        let syn = frame(round * NEW, 20_000, SYN);
        samples.new_peer.push(run(&mut beside, "new_flow_of_new_peer", &syn, NEW));
        let told = bench.records();
        let n_new = told.iter().filter(|record| record.event == FlowEvent::New).count();
        assert_eq!(n_new as u32, 2 * NEW + PEERS, "every packet of a bench begins a flow");
    }
    let [empty, classify, established, next_port, new_flow, new_peer] = [
        samples.empty,
        samples.classify,
        samples.established,
        samples.next_port,
        samples.new_flow,
        samples.new_peer,
    ]
    .map(median);
    let result = serde_json::json!({
        "classify_extra_ns": classify.saturating_sub(empty),
        "established_extra_ns": established.saturating_sub(empty),
        "new_flow_extra_ns": new_flow.saturating_sub(next_port),
        "new_flow_of_new_peer_extra_ns": new_peer.saturating_sub(next_port),
        "packet_ns": {
            "empty": empty, "classify": classify, "established": established,
            "next_port": next_port, "new_flow": new_flow, "new_flow_of_new_peer": new_peer,
        },
    });
    println!("{result}");
}

fn median(mut samples: Vec<u64>) -> u64 {
    samples.sort_unstable();
    samples[samples.len() / 2]
}

fn run(ebpf: &mut Ebpf, name: &str, frame: &[u8], repeat: u32) -> u64 {
    let program: &mut SchedClassifier = ebpf.program_mut(name).unwrap().try_into().unwrap();
    let mut options = TestRunOptions::new();
    options.data_in = Some(frame);
    options.repeat = repeat;
    let result = program.test_run(options).unwrap();
    assert_eq!(result.return_value, u32::MAX, "`{name}` passes everything");
    result.duration.as_nanos() as u64
}

/// The programs to compare with, on the same maps.
fn beside(bench: &Bench) -> Ebpf {
    let mut loader = EbpfLoader::new();
    let maps = format!("maps-{}", bulkhead_enforce_abi::LAYOUT);
    loader.default_map_pin_directory(bench.pin_dir.join(maps));
    let mut ebpf = loader.load(OBJECT).unwrap();
    for name in ["empty", "classify", "next_port", "new_flow", "new_flow_of_new_peer"] {
        let program: &mut SchedClassifier = ebpf.program_mut(name).unwrap().try_into().unwrap();
        program.load().unwrap();
    }
    ebpf
}

fn mk_bench() -> Bench {
    let mut maker = Maker::new(1);
    let deny = maker.deny();
    let rows: Vec<_> = (0..CLASSES)
        .map(|n| (ClassId(u64::from(n) + 1), maker.allow_ports(&[443, 1_000 + n as u16])))
        .collect();
    let rows: Vec<_> = rows.iter().map(|(class, row)| (*class, row)).collect();
    let judge = maker.judge(&deny, &rows);
    maker.endpoint("endpoint", &[LOCAL], Judges { ingress: judge, egress: judge });
    for n in 0..ADDRESSES {
        maker.class(&format!("{}/32", peer(n)), ClassId(u64::from(n % CLASSES) + 1));
    }
    // The table of flows that figures of this kind of machine are known for.
    let sizes = MapSizes { flows: 524_288, ..MapSizes::DEFAULT };
    let mut bench = Bench::sized(sizes);
    bench.enforce(&maker.program);
    bench
}
