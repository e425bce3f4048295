//! The flow table: what is remembered, judged again, told and counted.

use std::net::IpAddr;

use bulkhead_enforce_abi::Flow;
use bulkhead_types::{Direction, Packet, Protocol};
use bulkhead_wire::{FlowEvent, FlowRecord, Judges, NodeProgram};

use crate::bench::Bench;
use crate::packets::{ACK, FIN, Frame, RST, SYN, mk_error, mk_packet};
use crate::programs::Maker;

const IN: Direction = Direction::Ingress;
const OUT: Direction = Direction::Egress;

fn local() -> IpAddr {
    "10.65.0.1".parse().unwrap()
}

fn remote() -> IpAddr {
    "192.0.2.7".parse().unwrap()
}

/// An endpoint that may be reached at `ingress` and reach `egress`.
fn mk_program(revision: u64, ingress: &[u16], egress: &[u16]) -> NodeProgram {
    let mut maker = Maker::new(revision);
    let (ingress, egress) = (maker.allow_ports(ingress), maker.allow_ports(egress));
    let judges = Judges { ingress: maker.judge(&ingress, &[]), egress: maker.judge(&egress, &[]) };
    maker.endpoint("pod", &[local(), "fd65::1".parse().unwrap()], judges);
    maker.program
}

fn mk_bench(ingress: &[u16], egress: &[u16]) -> Bench {
    let mut bench = Bench::new();
    bench.enforce(&mk_program(1, ingress, egress));
    bench
}

fn received(protocol: Protocol, port: u16, flags: u8) -> Frame {
    Frame::new(mk_packet(remote(), local(), protocol, (4_000, port))).flags(flags)
}

fn sent(protocol: Protocol, port: u16, flags: u8) -> Frame {
    Frame::new(mk_packet(local(), remote(), protocol, (port, 4_000))).flags(flags)
}

fn events(records: &[FlowRecord]) -> Vec<FlowEvent> {
    records.iter().map(|record| record.event).collect()
}

/// Packets from the opener and to it.
fn counts(flow: &Flow) -> [u64; 2] {
    [0, 1].map(|side| flow.n_packets(side))
}

/// Opens a connection from the remote side to port 80.
fn establish(bench: &mut Bench) {
    assert!(bench.passes(IN, &received(Protocol::TCP, 80, SYN)));
    assert!(bench.passes(OUT, &sent(Protocol::TCP, 80, SYN | ACK)));
    assert!(bench.passes(IN, &received(Protocol::TCP, 80, ACK)));
}

#[test]
fn answers_pass_where_the_question_passed() {
    let mut bench = mk_bench(&[80], &[]);
    // Before the question there is nothing to answer.
    assert!(!bench.passes(OUT, &sent(Protocol::UDP, 80, 0)));
    assert!(bench.passes(IN, &received(Protocol::UDP, 80, 0)));
    assert!(bench.passes(OUT, &sent(Protocol::UDP, 80, 0)));
    let events = events(&bench.records());
    assert_eq!(events, [FlowEvent::Denied, FlowEvent::New]);
}

#[test]
fn a_denied_question_is_told_once_and_counted() {
    let mut bench = mk_bench(&[80], &[]);
    for _ in 0..5 {
        assert!(!bench.passes(IN, &received(Protocol::UDP, 81, 0)));
    }
    assert_eq!(events(&bench.records()), [FlowEvent::Denied]);
    let mut flows = Vec::new();
    bench.kernel.flows().for_each(|_, flow| flows.push(flow)).unwrap();
    assert_eq!((flows.len(), counts(&flows[0])), (1, [5, 0]));
}

#[test]
fn an_answer_never_opens_what_was_denied() {
    let mut bench = mk_bench(&[], &[]);
    assert!(!bench.passes(IN, &received(Protocol::UDP, 81, 0)));
    assert!(!bench.passes(OUT, &sent(Protocol::UDP, 81, 0)));
    assert!(!bench.passes(IN, &received(Protocol::UDP, 81, 0)));
}

#[test]
fn a_denied_attempt_does_not_stand_in_the_way_of_the_other_side() {
    let mut bench = mk_bench(&[], &[4_000]);
    assert!(!bench.passes(IN, &received(Protocol::UDP, 81, 0)));
    assert!(bench.passes(OUT, &sent(Protocol::UDP, 81, 0)));
    assert!(bench.passes(IN, &received(Protocol::UDP, 81, 0)));
}

#[test]
fn a_tightened_program_cuts_at_the_next_packet_either_way() {
    for direction in Direction::BOTH {
        let mut bench = mk_bench(&[80], &[]);
        establish(&mut bench);
        assert_eq!(events(&bench.records()), [FlowEvent::New]);
        bench.enforce(&mk_program(2, &[], &[4_000]));
        let next = match direction {
            Direction::Ingress => received(Protocol::TCP, 80, ACK),
            Direction::Egress => sent(Protocol::TCP, 80, ACK),
        };
        for _ in 0..3 {
            assert!(!bench.passes(direction, &next), "{direction}");
        }
        let records = bench.records();
        assert_eq!(events(&records), [FlowEvent::LateDenied]);
        assert_eq!((records[0].direction, records[0].revision.0), (IN, 2));
        assert_eq!(records[0].packet.dst_port, 80);
    }
}

#[test]
fn a_loosened_program_goes_on_without_a_word() {
    let mut bench = mk_bench(&[80], &[]);
    establish(&mut bench);
    bench.records();
    bench.enforce(&mk_program(2, &[80, 81, 82], &[5_000]));
    assert!(bench.passes(OUT, &sent(Protocol::TCP, 80, ACK)));
    assert!(bench.passes(IN, &received(Protocol::TCP, 80, ACK)));
    assert_eq!(bench.records(), []);
    let mut flows = Vec::new();
    bench.kernel.flows().for_each(|_, flow| flows.push(flow)).unwrap();
    assert_eq!((flows.len(), counts(&flows[0]), flows[0].revision), (1, [3, 2], 2));
}

#[test]
fn a_cut_connection_lives_again_when_it_is_allowed_again() {
    let mut bench = mk_bench(&[80], &[]);
    establish(&mut bench);
    bench.enforce(&mk_program(2, &[], &[]));
    assert!(!bench.passes(IN, &received(Protocol::TCP, 80, ACK)));
    bench.enforce(&mk_program(3, &[80], &[]));
    assert!(bench.passes(OUT, &sent(Protocol::TCP, 80, ACK)));
    let events = events(&bench.records());
    assert_eq!(events, [FlowEvent::New, FlowEvent::LateDenied, FlowEvent::New]);
}

#[test]
fn a_syn_is_judged_afresh_and_a_denied_one_leaves_the_connection_alone() {
    let mut bench = mk_bench(&[80], &[]);
    establish(&mut bench);
    // The same ports, opened from the other side: not an answer.
    assert!(!bench.passes(OUT, &sent(Protocol::TCP, 80, SYN)));
    assert!(bench.passes(IN, &received(Protocol::TCP, 80, ACK)));
    assert!(bench.passes(OUT, &sent(Protocol::TCP, 80, ACK)));
    assert_eq!(events(&bench.records()), [FlowEvent::New, FlowEvent::Denied]);
}

#[test]
fn the_same_ports_again_after_a_close_are_a_new_connection() {
    for closing in [[FIN | ACK, FIN | ACK], [RST, RST]] {
        let mut bench = mk_bench(&[80], &[]);
        establish(&mut bench);
        assert!(bench.passes(IN, &received(Protocol::TCP, 80, closing[0])));
        assert!(bench.passes(OUT, &sent(Protocol::TCP, 80, closing[1])));
        assert!(bench.passes(IN, &received(Protocol::TCP, 80, SYN)));
        let records = bench.records();
        assert_eq!(events(&records), [FlowEvent::New, FlowEvent::Ended, FlowEvent::New]);
        assert_eq!((records[1].packets_forward, records[1].packets_reverse), (3, 2));
        assert_eq!(records[2].packets_forward, 1);
    }
}

#[test]
fn a_repeated_syn_is_the_same_connection() {
    let mut bench = mk_bench(&[80], &[]);
    for _ in 0..3 {
        assert!(bench.passes(IN, &received(Protocol::TCP, 80, SYN)));
    }
    assert!(bench.passes(OUT, &sent(Protocol::TCP, 80, SYN | ACK)));
    assert!(bench.passes(IN, &received(Protocol::TCP, 80, SYN)));
    assert_eq!(events(&bench.records()), [FlowEvent::New]);
}

#[test]
fn a_reset_of_nothing_is_not_told() {
    let mut bench = mk_bench(&[80], &[]);
    assert!(!bench.passes(IN, &received(Protocol::TCP, 81, RST)));
    assert!(bench.passes(IN, &received(Protocol::TCP, 80, RST)));
    assert_eq!(bench.records(), []);
}

#[test]
fn every_byte_and_packet_is_counted_on_its_side() {
    let mut bench = mk_bench(&[53], &[]);
    let length = |frame: &Frame| frame.bytes().len() as u64 - 14;
    let question = received(Protocol::UDP, 53, 0);
    let mut answer = sent(Protocol::UDP, 53, 0);
    answer.payload = vec![0; 500];
    for _ in 0..7 {
        assert!(bench.passes(IN, &question));
    }
    for _ in 0..4 {
        assert!(bench.passes(OUT, &answer));
    }
    let mut flows = Vec::new();
    bench.kernel.flows().for_each(|_, flow| flows.push(flow)).unwrap();
    assert_eq!(flows.len(), 1);
    assert_eq!(counts(&flows[0]), [7, 4]);
    let bytes = [0, 1].map(|side| flows[0].n_bytes(side));
    assert_eq!(bytes, [7 * length(&question), 4 * length(&answer)]);
}

#[test]
fn more_packets_than_a_tally_holds_are_all_counted() {
    const MANY: u32 = 2_500_000;
    let mut bench = mk_bench(&[80], &[]);
    establish(&mut bench);
    let frame = received(Protocol::TCP, 80, ACK);
    let (verdict, _) = bench.run(IN, &frame.bytes(), MANY);
    assert_eq!(verdict, u32::MAX);
    let mut flows = Vec::new();
    bench.kernel.flows().for_each(|_, flow| flows.push(flow)).unwrap();
    assert!(flows[0].packets[0] > 2_000_000, "nothing was moved: {:?}", flows[0]);
    assert_eq!(counts(&flows[0]), [2 + u64::from(MANY), 1]);
    let length = frame.bytes().len() as u64 - 14;
    assert_eq!(flows[0].n_bytes(0), (2 + u64::from(MANY)) * length);
}

#[test]
fn in_the_middle_of_a_connection_only_what_is_whole_and_its_own_passes() {
    let mut bench = mk_bench(&[80], &[]);
    establish(&mut bench);
    let data = received(Protocol::TCP, 80, ACK).bytes();
    assert!(bench.passes_bytes(IN, &data));
    // Of the fields that the short way looks at, each is wrong once.
    let total_of_no_header = (16, vec![0, 19]);
    let total_beyond_the_frame = (16, 2_000u16.to_be_bytes().to_vec());
    let tcp_header_of_16_bytes = (14 + 20 + 12, vec![0x40]);
    let tcp_header_beyond_the_frame = (14 + 20 + 12, vec![0xf0]);
    let another_address = (14 + 16, vec![10, 65, 0, 9]);
    for (at, bytes) in [
        total_of_no_header,
        total_beyond_the_frame,
        tcp_header_of_16_bytes,
        tcp_header_beyond_the_frame,
        another_address,
    ] {
        let mut frame = data.clone();
        frame[at..at + bytes.len()].copy_from_slice(&bytes);
        assert!(!bench.passes_bytes(IN, &frame), "{bytes:?} at {at}");
    }
    assert!(bench.passes_bytes(IN, &data), "the connection goes on");
}

#[test]
fn echo_answers_belong_to_their_question() {
    let mut maker = Maker::new(1);
    let (allow, deny) = (maker.allow(), maker.deny());
    let judges = Judges { ingress: maker.judge(&deny, &[]), egress: maker.judge(&allow, &[]) };
    maker.endpoint("pod", &[local()], judges);
    let mut bench = Bench::new();
    bench.enforce(&maker.program);
    let echo = |out: bool, icmp_type: u8, query_id: u16| {
        let (src, dst) = if out { (local(), remote()) } else { (remote(), local()) };
        let packet = Packet { icmp_type, ..mk_packet(src, dst, Protocol::ICMP, (0, 0)) };
        Frame { query_id, ..Frame::new(packet) }
    };
    assert!(!bench.passes(IN, &echo(false, 0, 5)), "an answer without a question");
    assert!(bench.passes(OUT, &echo(true, 8, 5)));
    assert!(bench.passes(IN, &echo(false, 0, 5)));
    assert!(!bench.passes(IN, &echo(false, 0, 6)), "an answer to another question");
    assert!(!bench.passes(IN, &echo(false, 8, 5)), "a question of the other side");
}

#[test]
fn errors_pass_when_they_are_about_an_allowed_flow() {
    let mut bench = mk_bench(&[], &[4_000]);
    let router: IpAddr = "198.51.100.1".parse().unwrap();
    let question = sent(Protocol::UDP, 9_000, 0);
    let about = mk_error(router, local(), &question);
    assert!(!bench.passes(IN, &about), "an error about nothing");
    assert!(bench.passes(OUT, &question));
    assert!(bench.passes(IN, &about));
    let other = mk_error(router, local(), &sent(Protocol::UDP, 9_001, 0));
    assert!(!bench.passes(IN, &other), "an error about another flow");
    // Tightened: the error is cut with the flow.
    bench.enforce(&mk_program(2, &[], &[]));
    assert!(!bench.passes(IN, &about));
}

#[test]
fn ipv6_errors_pass_too_and_so_do_the_workloads_own() {
    let mut bench = mk_bench(&[80], &[]);
    let (inner, outer): (IpAddr, IpAddr) =
        ("fd65::1".parse().unwrap(), "2001:db8::7".parse().unwrap());
    let question = Frame::new(mk_packet(outer, inner, Protocol::UDP, (4_000, 80)));
    let unreachable = mk_error(inner, outer, &question);
    assert!(!bench.passes(OUT, &unreachable));
    assert!(bench.passes(IN, &question));
    assert!(bench.passes(OUT, &unreachable));
}
