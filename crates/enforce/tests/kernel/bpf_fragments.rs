//! Fragments: the first one decides for the later ones.

use std::net::IpAddr;

use bulkhead_enforce_abi::REASON_FRAGMENT;
use bulkhead_types::{Direction, Protocol};
use bulkhead_wire::Judges;

use crate::bench::Bench;
use crate::packets::{Frame, mk_packet};
use crate::programs::Maker;

fn mk_bench(local: IpAddr) -> Bench {
    let mut maker = Maker::new(1);
    let (ports, deny) = (maker.allow_ports(&[53]), maker.deny());
    let judges = Judges { ingress: maker.judge(&ports, &[]), egress: maker.judge(&deny, &[]) };
    maker.endpoint("pod", &[local], judges);
    let mut bench = Bench::new();
    bench.enforce(&maker.program);
    bench
}

fn check(local: &str, remote: &str) {
    let (local, remote): (IpAddr, IpAddr) = (local.parse().unwrap(), remote.parse().unwrap());
    let mut bench = mk_bench(local);
    let mk = |port: u16, id: u32, offset: u16, more: bool| {
        let mut frame = Frame::new(mk_packet(remote, local, Protocol::UDP, (4_000, port)));
        frame.fragment = Some((id, offset, more));
        frame.payload = vec![0; 64];
        frame
    };
    // A later one alone is unknown.
    assert!(!bench.passes(Direction::Ingress, &mk(53, 1, 64, true)));
    assert_eq!(bench.n_dropped(REASON_FRAGMENT), 1);
    // After its first one it passes, and counts for the same flow.
    assert!(bench.passes(Direction::Ingress, &mk(53, 2, 0, true)));
    assert!(bench.passes(Direction::Ingress, &mk(53, 2, 72, true)));
    assert!(bench.passes(Direction::Ingress, &mk(53, 2, 136, false)));
    let mut flows = Vec::new();
    bench.kernel.flows().for_each(|_, flow| flows.push(flow)).unwrap();
    assert_eq!(flows.len(), 1);
    assert_eq!([0, 1].map(|side| flows[0].n_packets(side)), [3, 0]);
    // What the first one may not, the later ones may not either.
    assert!(!bench.passes(Direction::Ingress, &mk(54, 3, 0, true)));
    assert!(!bench.passes(Direction::Ingress, &mk(54, 3, 72, false)));
    assert_eq!(bench.n_dropped(REASON_FRAGMENT), 1);
    // An id is one packet's, not another's.
    assert!(!bench.passes(Direction::Ingress, &mk(53, 4, 72, false)));
    assert_eq!(bench.n_dropped(REASON_FRAGMENT), 2);
}

#[test]
fn ipv4_fragments_follow_their_first_one() {
    check("10.65.0.1", "192.0.2.7");
}

#[test]
fn ipv6_fragments_follow_their_first_one() {
    check("fd65::1", "2001:db8::7");
}

#[test]
fn a_first_fragment_without_a_whole_header_is_malformed() {
    let (local, remote): (IpAddr, IpAddr) =
        ("10.65.0.1".parse().unwrap(), "192.0.2.7".parse().unwrap());
    let mut bench = mk_bench(local);
    let mut frame = Frame::new(mk_packet(remote, local, Protocol::TCP, (4_000, 53)));
    frame.fragment = Some((9, 0, true));
    frame.payload = Vec::new();
    let mut bytes = frame.bytes();
    bytes.truncate(14 + 20 + 8);
    bytes[17] = 28;
    assert!(!bench.passes_bytes(Direction::Ingress, &bytes));
    assert_eq!(bench.n_dropped(bulkhead_enforce_abi::REASON_MALFORMED), 1);
}
