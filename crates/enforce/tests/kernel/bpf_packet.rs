//! Header parsing on crafted frames: what is found behind options, tags and extension headers, and
//! what is named when a packet cannot be judged.

use std::net::IpAddr;

use bulkhead_enforce_abi::{
    REASON_LINK_NOISE, REASON_MALFORMED, REASON_NO_PROGRAM, REASON_NOT_IP, REASON_NOT_ITS_ADDRESS,
};
use bulkhead_types::{Direction, Protocol, RuleRef, Verdict};
use bulkhead_wire::{FlowEvent, Judges};

use crate::bench::Bench;
use crate::packets::{Frame, mk_packet};
use crate::programs::Maker;

fn local4() -> IpAddr {
    "10.65.0.1".parse().unwrap()
}

fn local6() -> IpAddr {
    "fd65::1".parse().unwrap()
}

fn remote4() -> IpAddr {
    "192.0.2.7".parse().unwrap()
}

fn remote6() -> IpAddr {
    "2001:db8::7".parse().unwrap()
}

/// One endpoint that may be reached on port 80 and may send nothing.
fn mk_bench() -> Bench {
    let mut maker = Maker::new(1);
    let (ports, deny) = (maker.allow_ports(&[80]), maker.deny());
    let judges = Judges { ingress: maker.judge(&ports, &[]), egress: maker.judge(&deny, &[]) };
    maker.endpoint("pod", &[local4(), local6()], judges);
    let mut bench = Bench::new();
    bench.enforce(&maker.program);
    bench
}

fn frame4(protocol: Protocol, port: u16) -> Frame {
    Frame::new(mk_packet(remote4(), local4(), protocol, (40_000, port)))
}

fn frame6(protocol: Protocol, port: u16) -> Frame {
    Frame::new(mk_packet(remote6(), local6(), protocol, (40_000, port)))
}

/// Port 80 passes and port 81 does not, however the frame is dressed.
fn check_found(dress: impl Fn(&mut Frame), is_v4: bool) {
    let mut bench = mk_bench();
    for protocol in [Protocol::TCP, Protocol::UDP] {
        for (port, passes) in [(80, true), (81, false)] {
            let mut frame = if is_v4 { frame4(protocol, port) } else { frame6(protocol, port) };
            dress(&mut frame);
            assert_eq!(bench.passes(Direction::Ingress, &frame), passes, "{frame:?}");
        }
    }
}

#[test]
fn ports_are_found_behind_ipv4_options() {
    for options in [0, 4, 20, 40] {
        check_found(|frame| frame.options = options, true);
    }
}

#[test]
fn ports_are_found_behind_vlan_tags() {
    for vlan_tags in 0..=2 {
        check_found(|frame| frame.vlan_tags = vlan_tags, true);
        check_found(|frame| frame.vlan_tags = vlan_tags, false);
    }
}

#[test]
fn ports_are_found_behind_extension_headers() {
    let chains: [&[(u8, usize)]; 6] =
        [&[], &[(0, 1)], &[(0, 2), (60, 3)], &[(43, 3)], &[(51, 3)], &[(0, 1), (43, 1), (60, 1)]];
    for chain in chains {
        check_found(|frame| frame.extensions = chain.to_vec(), false);
    }
}

#[test]
fn an_endless_chain_of_extension_headers_is_malformed() {
    let mut bench = mk_bench();
    let mut frame = frame6(Protocol::TCP, 80);
    frame.extensions = vec![(60, 1); 7];
    assert!(bench.passes(Direction::Ingress, &frame));
    frame.packet.src_port += 1;
    frame.extensions = vec![(60, 1); 12];
    let before = bench.n_dropped(REASON_MALFORMED);
    assert!(!bench.passes(Direction::Ingress, &frame));
    assert_eq!(bench.n_dropped(REASON_MALFORMED), before + 1);
}

#[test]
fn cut_frames_are_malformed_at_every_length() {
    let mut bench = mk_bench();
    for frame in [frame4(Protocol::TCP, 80), frame6(Protocol::UDP, 80)] {
        let whole = frame.bytes();
        // The test run itself wants a whole network header.
        let shortest = if frame.packet.src.is_ipv4() { 34 } else { 54 };
        for length in shortest..whole.len() {
            assert!(!bench.passes_bytes(Direction::Ingress, &whole[..length]), "{length} bytes");
        }
        assert!(bench.passes_bytes(Direction::Ingress, &whole));
    }
    assert!(bench.n_dropped(REASON_MALFORMED) > 50);
}

#[test]
fn lying_lengths_are_malformed() {
    let mut bench = mk_bench();
    let whole = frame4(Protocol::TCP, 80).bytes();
    let with = |at: usize, value: u8| {
        let mut bytes = whole.clone();
        bytes[at] = value;
        bytes
    };
    // Version 5; header length 4 words; total length too long, too short; TCP header too long.
    for bytes in [with(14, 0x55), with(14, 0x44), with(16, 9), with(17, 19), with(46, 0xf0)] {
        let before = bench.n_dropped(REASON_MALFORMED);
        assert!(!bench.passes_bytes(Direction::Ingress, &bytes));
        assert_eq!(bench.n_dropped(REASON_MALFORMED), before + 1);
    }
}

#[test]
fn mapped_addresses_on_the_wire_are_malformed() {
    let mut bench = mk_bench();
    let mapped: IpAddr = "::ffff:10.65.0.1".parse().unwrap();
    let frame = Frame::new(mk_packet(remote6(), mapped, Protocol::TCP, (40_000, 80)));
    assert!(!bench.passes(Direction::Ingress, &frame));
    assert_eq!(bench.n_dropped(REASON_MALFORMED), 1);
}

#[test]
fn spoofed_sources_are_named_after_the_interface() {
    let mut bench = mk_bench();
    let spoofed = Frame::new(mk_packet(remote4(), local4(), Protocol::TCP, (40_000, 80)));
    assert!(!bench.passes(Direction::Egress, &spoofed));
    let told = bench.told();
    let [(reason, Some(record))] = told.as_slice() else { panic!("{told:?}") };
    assert_eq!(*reason, REASON_NOT_ITS_ADDRESS);
    assert_eq!((record.event, record.reporter.name.as_str()), (FlowEvent::Denied, "pod"));
    assert_eq!(*record.verdict, Verdict::deny(RuleRef::NotItsOwn));
    // The next one like it is counted, not told.
    assert!(!bench.passes(Direction::Egress, &spoofed));
    assert_eq!(bench.told().len(), 0);
    assert_eq!(bench.n_dropped(REASON_NOT_ITS_ADDRESS), 2);
}

#[test]
fn without_a_program_only_arp_and_neighbour_discovery_pass() {
    let mut bench = Bench::new();
    assert!(!bench.passes(Direction::Ingress, &frame4(Protocol::TCP, 80)));
    assert!(!bench.passes(Direction::Egress, &frame6(Protocol::UDP, 80)));
    assert_eq!(bench.n_dropped(REASON_NO_PROGRAM), 2);
    check_link_protocols(&mut bench);
}

#[test]
fn link_protocols_pass_a_programmed_interface() {
    check_link_protocols(&mut mk_bench());
}

fn check_link_protocols(bench: &mut Bench) {
    let mut arp = vec![0xff; 6];
    arp.extend([2, 0, 0, 0, 0, 1, 0x08, 0x06]);
    arp.resize(60, 0);
    let mut nd = frame6(Protocol::ICMPV6, 0);
    nd.packet.src = "fe80::5".parse().unwrap();
    nd.packet.dst = "ff02::1:ff00:1".parse().unwrap();
    for direction in Direction::BOTH {
        assert!(bench.passes_bytes(direction, &arp));
        for (kind, hop_limit, passes) in [
            (135, 255, true),
            (136, 255, true),
            (133, 255, true),
            (135, 64, false),
            (128, 255, false),
        ] {
            (nd.packet.icmp_type, nd.hop_limit) = (kind, hop_limit);
            assert_eq!(bench.passes(direction, &nd), passes, "type {kind}, hop limit {hop_limit}");
        }
    }
}

#[test]
fn what_is_not_ip_is_dropped_and_named() {
    let mut bench = mk_bench();
    let mut lldp = vec![2; 12];
    lldp.extend([0x88, 0xcc]);
    lldp.resize(60, 0);
    assert!(!bench.passes_bytes(Direction::Egress, &lldp));
    assert_eq!(bench.n_dropped(REASON_NOT_IP), 1);
}

#[test]
fn group_reports_are_dropped_in_silence() {
    let mut bench = mk_bench();
    let mut report = frame6(Protocol::ICMPV6, 0);
    report.packet.src = "fe80::5".parse().unwrap();
    report.packet.dst = "ff02::16".parse().unwrap();
    (report.packet.icmp_type, report.hop_limit) = (143, 1);
    assert!(!bench.passes(Direction::Egress, &report));
    assert_eq!(bench.n_dropped(REASON_LINK_NOISE), 1);
    assert_eq!(bench.told().len(), 0);
}
