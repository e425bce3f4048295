//! Frames and ARP in another's name.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use bulkhead_enforce_abi::{REASON_NOT_ITS_ADDRESS, REASON_NOT_ITS_MAC};
use bulkhead_types::{Direction, Protocol, RuleRef, Verdict};
use bulkhead_wire::Judges;

use crate::bench::Bench;
use crate::packets::{Frame, mk_packet};
use crate::programs::Maker;

const OWN: Ipv4Addr = Ipv4Addr::new(10, 65, 0, 1);
const OTHER: Ipv4Addr = Ipv4Addr::new(10, 65, 0, 2);
const OWN_MAC: [u8; 6] = [2, 0, 0, 0, 0, 2];
const OTHER_MAC: [u8; 6] = [2, 0, 0, 0, 0, 9];

/// One endpoint that may do everything, with or without a link address of its own.
fn mk_bench(mac: Option<[u8; 6]>) -> Bench {
    let mut maker = Maker::new(1);
    let allow = maker.allow();
    let judges = Judges { ingress: maker.judge(&allow, &[]), egress: maker.judge(&allow, &[]) };
    let v6: IpAddr = "fd65::1".parse().unwrap();
    let id = maker.endpoint("pod", &[OWN.into(), v6], judges);
    let endpoints = &mut maker.program.endpoints;
    Arc::make_mut(endpoints.get_mut(&id).unwrap()).mac = mac.map(|mac| mac.try_into().unwrap());
    let mut bench = Bench::new();
    bench.enforce(&maker.program);
    bench
}

fn mk_frame(src: IpAddr, dst: IpAddr, mac: [u8; 6]) -> Vec<u8> {
    let mut bytes = Frame::new(mk_packet(src, dst, Protocol::UDP, (4_000, 53))).bytes();
    bytes[6..12].copy_from_slice(&mac);
    bytes
}

fn mk_arp(frame_mac: [u8; 6], mac: [u8; 6], address: Ipv4Addr) -> Vec<u8> {
    let mut bytes = vec![0xff; 6];
    bytes.extend(frame_mac);
    bytes.extend([8, 6, 0, 1, 8, 0, 6, 4, 0, 1]);
    bytes.extend(mac);
    bytes.extend(address.octets());
    bytes.extend([0; 6]);
    bytes.extend([10, 65, 0, 7]);
    bytes
}

#[test]
fn only_the_own_link_address_may_send() {
    let mut bench = mk_bench(Some(OWN_MAC));
    let ends: [(IpAddr, IpAddr); 2] = [
        (OWN.into(), "192.0.2.7".parse().unwrap()),
        ("fd65::1".parse().unwrap(), "2001:db8::7".parse().unwrap()),
    ];
    let mut told = Vec::new();
    for (own, remote) in ends {
        assert!(bench.passes_bytes(Direction::Egress, &mk_frame(own, remote, OWN_MAC)));
        let before = bench.n_dropped(REASON_NOT_ITS_MAC);
        assert!(!bench.passes_bytes(Direction::Egress, &mk_frame(own, remote, OTHER_MAC)));
        assert_eq!(bench.n_dropped(REASON_NOT_ITS_MAC), before + 1);
        told.extend(bench.told());
        // what comes from outside carries a router's
        assert!(bench.passes_bytes(Direction::Ingress, &mk_frame(remote, own, OTHER_MAC)));
    }
    // Once in a while, of both.
    let spoofed = told.iter().find(|(reason, _)| *reason == REASON_NOT_ITS_MAC);
    let Some((_, Some(record))) = spoofed else { panic!("nobody is told: {told:?}") };
    assert_eq!(*record.verdict, Verdict::deny(RuleRef::NotItsOwn));
}

#[test]
fn an_endpoint_without_a_link_address_may_use_any() {
    let mut bench = mk_bench(None);
    let remote = "192.0.2.7".parse().unwrap();
    assert!(bench.passes_bytes(Direction::Egress, &mk_frame(OWN.into(), remote, OTHER_MAC)));
}

#[test]
fn arp_speaks_of_the_sender_alone() {
    let mut bench = mk_bench(Some(OWN_MAC));
    let mut says =
        |frame, mac, address| bench.passes_bytes(Direction::Egress, &mk_arp(frame, mac, address));
    assert!(says(OWN_MAC, OWN_MAC, OWN));
    assert!(says(OWN_MAC, OWN_MAC, Ipv4Addr::UNSPECIFIED), "a probe for a free address");
    assert!(!says(OWN_MAC, OWN_MAC, OTHER), "another's address");
    assert!(!says(OWN_MAC, OTHER_MAC, OWN), "another's link address inside");
    assert!(!says(OTHER_MAC, OWN_MAC, OWN), "another's link address outside");
    assert!(bench.passes_bytes(Direction::Ingress, &mk_arp(OTHER_MAC, OTHER_MAC, OTHER)));
    let n = [REASON_NOT_ITS_ADDRESS, REASON_NOT_ITS_MAC].map(|reason| bench.n_dropped(reason));
    assert_eq!(n, [1, 2]);
}
