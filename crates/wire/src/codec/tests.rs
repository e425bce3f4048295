use bulkhead_types::{EndpointId, Packet, Protocol, Revision, RuleRef, Verdict};
use prost::Message;

use super::*;
use crate::flow::{FlowEvent, FlowRecord};
use crate::program::NodeProgram;
use crate::session::{FlowBatch, FromNode, Hello, Nack, ToNode};

fn mk_leaf() -> m::Leaf {
    m::Leaf { decision: m::Decision::Allow.into(), rule: 7 }
}

fn mk_span(start: u32) -> m::Span {
    m::Span { start, leaf: Some(mk_leaf()), by_source: Vec::new() }
}

/// A valid row, as a message.
fn mk_row(id: u64) -> m::Row {
    let one = vec![mk_span(0)];
    m::Row {
        id,
        tcp: one.clone(),
        udp: one.clone(),
        sctp: one.clone(),
        icmp: one.clone(),
        icmpv6: one.clone(),
        other: one,
    }
}

fn mk_endpoint(address: Vec<u8>) -> m::EndpointProgram {
    m::EndpointProgram {
        id: Some(m::EndpointId {
            kind: m::EndpointKind::Pod.into(),
            namespace: "shop".into(),
            name: "web".into(),
        }),
        labels: vec![],
        addresses: vec![m::JudgedAddress { address, ingress: 1, egress: 2 }],
        interface: None,
        mac: vec![],
        staged: vec![],
    }
}

fn mk_member(address: Vec<u8>, length: u32) -> m::ClassMember {
    m::ClassMember { prefix: Some(m::Prefix { address, length }), class: 3 }
}

fn mk_record() -> FlowRecord {
    FlowRecord {
        node: "n1".into(),
        event: FlowEvent::Denied,
        reporter: EndpointId::pod("shop", "web").into(),
        direction: bulkhead_types::Direction::Ingress,
        packet: Packet {
            src: [10, 0, 0, 1].into(),
            dst: [10, 0, 0, 2].into(),
            protocol: Protocol::TCP,
            src_port: 40_000,
            dst_port: 80,
            icmp_type: 0,
            icmp_code: 0,
        },
        src: None,
        dst: None,
        names: bulkhead_types::Names::new(["a.org"]),
        verdict: Verdict {
            logged: vec![RuleRef::TierDefault { tier: "default".into() }],
            ..Verdict::deny(RuleRef::Unknown)
        }
        .into(),
        revision: Revision(4),
        packets_forward: 1,
        bytes_forward: 60,
        packets_reverse: 0,
        bytes_reverse: 0,
        started_ns: 1,
        seen_ns: 2,
    }
}

#[track_caller]
fn check(program: m::NodeProgram, expected: &str) {
    let error = NodeProgram::decode(&program.encode_to_vec()).expect_err("must be refused");
    assert_eq!(error.to_string(), expected);
}

#[test]
fn a_fault_in_a_row_is_named_with_its_path() {
    let mut row = mk_row(1);
    row.udp = vec![mk_span(5)];
    check(
        m::NodeProgram { rows: vec![mk_row(9), row.clone()], ..Default::default() },
        "`rows[1].udp` do not start at 0, are not in order, or repeat one another",
    );
    row.udp = vec![mk_span(0), mk_span(70_000)];
    check(
        m::NodeProgram { rows: vec![row.clone()], ..Default::default() },
        "`rows[0].udp[1].start` is 70000, more than 65535",
    );
    row.udp = vec![m::Span { start: 0, leaf: None, by_source: Vec::new() }];
    check(
        m::NodeProgram { rows: vec![row.clone()], ..Default::default() },
        "`rows[0].udp[0].leaf` is not set",
    );
    row.udp = vec![m::Span { start: 0, leaf: Some(m::Leaf::default()), by_source: Vec::new() }];
    check(
        m::NodeProgram { rows: vec![row], ..Default::default() },
        "`rows[0].udp[0].leaf.decision` names no known value (0)",
    );
    check(
        m::NodeProgram { rows: vec![mk_row(9), mk_row(9)], ..Default::default() },
        "`rows[1]` says again what an earlier one says",
    );
}

#[test]
fn a_fault_in_an_address_is_named_with_its_path() {
    check(
        m::NodeProgram { endpoints: vec![mk_endpoint(vec![1, 2, 3])], ..Default::default() },
        "`endpoints[0].addresses[0].address` has 3 bytes: an address has 4 or 16",
    );
    check(
        m::NodeProgram { classes: vec![mk_member(vec![10, 0, 0, 1], 8)], ..Default::default() },
        "`classes[0].prefix.address` has bits beyond its length",
    );
    check(
        m::NodeProgram { classes: vec![mk_member(vec![10, 0, 0, 0], 33)], ..Default::default() },
        "`classes[0].prefix.length` is 33, more than 32",
    );
    check(
        m::NodeProgram {
            classes: vec![m::ClassMember { prefix: None, class: 1 }],
            ..Default::default()
        },
        "`classes[0].prefix` is not set",
    );
}

#[test]
fn a_delta_that_sets_and_unsets_a_key_is_refused() {
    let delta = m::ProgramDelta {
        set_classes: vec![mk_member(vec![10, 0, 0, 1], 32)],
        unset_classes: vec![m::Prefix { address: vec![10, 0, 0, 1], length: 32 }],
        ..Default::default()
    };
    let error = crate::ProgramDelta::from_message(delta).expect_err("must be refused");
    assert_eq!(error.to_string(), "`unset_classes[0]` is both set and unset");
}

#[test]
fn bytes_that_are_no_message_are_refused() {
    let error = ToNode::decode(&[0xff; 40]).expect_err("must be refused");
    assert!(matches!(error, DecodeError::Protobuf(_)), "{error}");
    let error = ToNode::decode(&[]).expect_err("must be refused");
    assert_eq!(error.to_string(), "`word` is not set");
}

#[test]
fn a_message_beyond_its_limit_is_refused() {
    let record = mk_record();
    let batch =
        FlowBatch { boot: 1, sequence: 1, records: vec![record; limits::FLOWS_PER_BATCH_MAX + 1] };
    let error = FlowBatch::decode(&batch.encode()).expect_err("must be refused");
    assert_eq!(error.to_string(), "`records` holds 1025, more than 1024");

    let hello = Hello { node: "n".repeat(limits::TEXT_BYTES_MAX + 1), ..Hello::default() };
    let error = FromNode::decode(&FromNode::Hello(hello).encode()).expect_err("must be refused");
    assert_eq!(error.to_string(), "`hello.node` is 1025, more than 1024");
}

#[test]
fn a_reason_too_long_is_cut_between_characters() {
    let reason = "ä".repeat(limits::REASON_BYTES_MAX);
    let sent = FromNode::Nack(Nack { revision: Revision(3), reason });
    let Ok(FromNode::Nack(nack)) = FromNode::decode(&sent.encode()) else {
        panic!("must be read");
    };
    assert_eq!(nack.reason.len(), limits::REASON_BYTES_MAX);
    assert!(nack.reason.chars().all(|c| c == 'ä'));
}

#[test]
fn the_digest_is_of_the_content_only() {
    let program = NodeProgram { revision: Revision(3), ..NodeProgram::default() };
    let later = NodeProgram { revision: Revision(9), ..NodeProgram::default() };
    assert_eq!(program.digest(), later.digest());
    let mut other = later;
    other.rules.insert(crate::RuleId(1), RuleRef::Unknown.into());
    assert_ne!(program.digest(), other.digest());
}
