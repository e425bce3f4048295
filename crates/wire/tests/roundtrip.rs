//! `decode(encode(x)) == x` for everything that travels, and no bytes make the decoder panic.

#![expect(clippy::expect_used, reason = "a test fails by panic")]

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use bulkhead_types::{
    Decision, Direction, EndpointId, EndpointKind, FailsafePort, HostInterface, HostStage, Labels,
    Mac, Packet, PolicyKind, PolicyRef, Protocol, Revision, RuleRef, ToHost, Verdict,
};
use bulkhead_wire::delta::Change;
use bulkhead_wire::row::Leaf;
use bulkhead_wire::{
    Ack, ClassId, Codec, EndpointProgram, FlowBatch, FlowEvent, FlowReceipt, FlowRecord, FromNode,
    Hello, HostProgram, JoinRequest, JoinResponse, JudgedAddresses, Judges, Nack, NameSetId,
    NameTables, NodeProgram, NodeStatus, Outcome, Peer, ProgramDelta, ProgramId, Row, RowId,
    RuleId, Sight, Span, Spans, Surroundings, Tag, ToNode, Welcome,
};
use ipnet::IpNet;
use proptest::collection::{btree_map, btree_set, vec};
use proptest::option;
use proptest::prelude::*;

#[track_caller]
fn check<T: Codec + PartialEq + std::fmt::Debug>(value: &T) {
    assert_eq!(T::decode(&value.encode()).as_ref(), Ok(value));
}

fn name() -> impl Strategy<Value = String> {
    "[a-zäöü0-9./-]{0,12}"
}

fn endpoint_id() -> impl Strategy<Value = EndpointId> {
    let kind = prop_oneof![
        Just(EndpointKind::Pod),
        Just(EndpointKind::Workload),
        Just(EndpointKind::Host)
    ];
    (kind, name(), name()).prop_map(|(kind, namespace, name)| EndpointId { kind, namespace, name })
}

fn labels() -> impl Strategy<Value = Labels> {
    btree_map(name(), name(), 0..4)
}

fn address() -> impl Strategy<Value = IpAddr> {
    prop_oneof![any::<[u8; 4]>().prop_map(IpAddr::from), any::<[u8; 16]>().prop_map(IpAddr::from)]
}

fn net() -> impl Strategy<Value = IpNet> {
    (address(), 0u8..=128).prop_map(|(address, length)| {
        let longest = IpNet::from(address).prefix_len();
        IpNet::new(address, length.min(longest)).expect("bounded").trunc()
    })
}

fn decision() -> impl Strategy<Value = Decision> {
    prop_oneof![Just(Decision::Allow), Just(Decision::Deny)]
}

fn direction() -> impl Strategy<Value = Direction> {
    prop_oneof![Just(Direction::Ingress), Just(Direction::Egress)]
}

fn rule() -> impl Strategy<Value = RuleRef> {
    let kind = prop_oneof![
        Just(PolicyKind::KubernetesNetworkPolicy),
        Just(PolicyKind::NetworkPolicy),
        Just(PolicyKind::GlobalNetworkPolicy)
    ];
    let policy = (kind, name(), name()).prop_map(|(kind, namespace, name)| PolicyRef {
        kind,
        namespace,
        name,
    });
    prop_oneof![
        (name(), policy, direction(), any::<u32>()).prop_map(|(tier, policy, direction, index)| {
            RuleRef::Rule { tier, policy, direction, index }
        }),
        name().prop_map(|tier| RuleRef::TierDefault { tier }),
        name().prop_map(|name| RuleRef::Profile { name }),
        Just(RuleRef::Unknown),
        Just(RuleRef::NoProfile),
        Just(RuleRef::Failsafe),
        Just(RuleRef::StageDefault),
        Just(RuleRef::WorkloadToHost),
        Just(RuleRef::HostToWorkload),
        Just(RuleRef::NotItsOwn),
    ]
}

fn leaf() -> impl Strategy<Value = Leaf> {
    (decision(), any::<u64>()).prop_map(|(decision, rule)| Leaf { decision, rule: RuleId(rule) })
}

/// Starts that are sorted and begin at 0.
fn starts() -> impl Strategy<Value = BTreeSet<u16>> {
    btree_set(any::<u16>(), 0..4).prop_map(|mut starts| {
        starts.insert(0);
        starts
    })
}

fn outcome() -> impl Strategy<Value = Outcome> {
    prop_oneof![
        leaf().prop_map(Outcome::Leaf),
        (starts(), vec(leaf(), 4..6)).prop_map(|(starts, leaves)| Outcome::BySource(
            starts.into_iter().zip(leaves).collect()
        )),
    ]
}

fn spans() -> impl Strategy<Value = Spans> {
    (starts(), vec(outcome(), 4..6)).prop_map(|(starts, outcomes)| {
        let spans =
            starts.into_iter().zip(outcomes).map(|(start, outcome)| Span { start, outcome });
        Spans::new(spans.collect()).expect("sorted, from 0")
    })
}

fn row() -> impl Strategy<Value = Row> {
    (spans(), spans(), spans(), spans(), spans(), spans()).prop_map(
        |(tcp, udp, sctp, icmp, icmpv6, other)| Row { tcp, udp, sctp, icmp, icmpv6, other },
    )
}

fn judges() -> impl Strategy<Value = Judges> {
    (any::<u64>(), any::<u64>()).prop_map(|(ingress, egress)| Judges {
        ingress: ProgramId(ingress),
        egress: ProgramId(egress),
    })
}

fn endpoints() -> impl Strategy<Value = BTreeMap<EndpointId, Arc<EndpointProgram>>> {
    let addresses = || btree_map(address(), judges(), 0..3).prop_map(JudgedAddresses::from);
    let mac = any::<[u8; 6]>().prop_map(|octets| Mac::try_from(octets).ok());
    let body = (labels(), addresses(), addresses(), option::of(name()), mac);
    btree_map(endpoint_id(), body, 0..4).prop_map(|bodies| {
        let mut endpoints = BTreeMap::new();
        for (id, (labels, addresses, staged, interface, mac)) in bodies {
            let labels = Arc::new(labels);
            let program =
                EndpointProgram { id: id.clone(), labels, addresses, staged, interface, mac };
            endpoints.insert(id, Arc::new(program));
        }
        endpoints
    })
}

fn hosts() -> impl Strategy<Value = BTreeMap<EndpointId, Arc<HostProgram>>> {
    let interface = prop_oneof![
        Just(HostInterface::All),
        Just(HostInterface::ByAddress),
        "[a-z]{1,8}".prop_map(HostInterface::Named),
    ];
    let stage = prop_oneof![
        Just(HostStage::Untracked),
        Just(HostStage::PreDnat),
        Just(HostStage::Normal),
        Just(HostStage::Forward),
    ];
    let locals = btree_map(net(), any::<u64>().prop_map(ProgramId), 0..3);
    let stages = btree_map((stage, direction()), locals, 0..4).boxed();
    let port = (any::<u8>(), any::<u16>(), option::of(net()))
        .prop_map(|(protocol, port, net)| FailsafePort { protocol: Protocol(protocol), port, net });
    let ports = vec(port, 0..3).boxed();
    let body = (
        (labels(), interface, vec(address(), 0..3)),
        (stages.clone(), stages),
        (ports.clone(), ports),
    );
    btree_map(endpoint_id(), body, 0..3).prop_map(|bodies| {
        let host = |(id, body): (EndpointId, _)| {
            let (
                (labels, interface, addresses),
                (stages, staged),
                (failsafe_inbound, failsafe_outbound),
            ) = body;
            let host = HostProgram {
                id: id.clone(),
                labels,
                interface,
                addresses,
                stages,
                staged,
                failsafe_inbound,
                failsafe_outbound,
            };
            (id, Arc::new(host))
        };
        bodies.into_iter().map(host).collect()
    })
}

fn program() -> impl Strategy<Value = NodeProgram> {
    let entries = btree_map(
        (any::<u64>().prop_map(ProgramId), any::<u64>().prop_map(ClassId)),
        any::<u64>().prop_map(RowId),
        0..6,
    );
    (
        any::<u64>().prop_map(Revision),
        endpoints(),
        btree_map(net(), any::<u64>().prop_map(ClassId), 0..6),
        entries,
        btree_map(any::<u64>().prop_map(RowId), row().prop_map(Arc::new), 0..4),
        (btree_map(any::<u64>().prop_map(RuleId), rule().prop_map(Arc::new), 0..4), logged()),
        names(),
        hosts(),
        prop_oneof![Just(ToHost::Drop), Just(ToHost::Accept), Just(ToHost::Return)],
    )
        .prop_map(
            |(
                revision,
                endpoints,
                classes,
                entries,
                rows,
                (rules, logged),
                names,
                hosts,
                to_host,
            )| {
                NodeProgram {
                    revision,
                    endpoints: endpoints.into(),
                    classes: classes.into(),
                    entries: entries.into(),
                    rows: rows.into(),
                    rules: rules.into(),
                    logged: logged.into(),
                    names,
                    hosts: hosts.into(),
                    to_host,
                }
            },
        )
}

fn logged() -> impl Strategy<Value = BTreeMap<RuleId, Arc<[RuleId]>>> {
    let rule = || any::<u64>().prop_map(RuleId);
    btree_map(rule(), vec(rule(), 0..4).prop_map(Arc::from), 0..4)
}

fn names() -> impl Strategy<Value = NameTables> {
    let tags = || btree_set(any::<u64>().prop_map(Tag), 0..3);
    let program = || any::<u64>().prop_map(ProgramId);
    let sight = (tags(), any::<bool>()).prop_map(|(tags, is_cut)| Sight { tags, is_cut });
    let key = (program(), any::<u64>().prop_map(ClassId), any::<u64>().prop_map(NameSetId));
    (
        btree_map(name(), tags(), 0..4),
        btree_map(program(), sight, 0..3),
        btree_map(key, any::<u64>().prop_map(RowId), 0..4),
    )
        .prop_map(|(patterns, programs, entries)| NameTables {
            patterns: patterns.into(),
            programs: programs.into(),
            entries: entries.into(),
        })
}

fn record() -> impl Strategy<Value = FlowRecord> {
    let event = prop_oneof![
        Just(FlowEvent::New),
        Just(FlowEvent::Denied),
        Just(FlowEvent::LateDenied),
        Just(FlowEvent::Ended),
        Just(FlowEvent::Update)
    ];
    let peer = || {
        let peer = (endpoint_id(), labels());
        option::of(
            peer.prop_map(|(id, labels)| Arc::new(Peer { id: id.into(), labels: labels.into() })),
        )
    };
    let packet = (address(), address(), any::<u8>(), any::<u16>(), any::<u16>(), any::<[u8; 2]>())
        .prop_map(|(src, dst, protocol, src_port, dst_port, [icmp_type, icmp_code])| Packet {
            src,
            dst,
            protocol: Protocol(protocol),
            src_port,
            dst_port,
            icmp_type,
            icmp_code,
        });
    let verdict = (decision(), rule(), vec(rule(), 0..3))
        .prop_map(|(decision, rule, logged)| Verdict { decision, rule, logged });
    (
        (name(), event, endpoint_id(), direction()),
        (packet, peer(), peer(), verdict),
        any::<[u64; 7]>(),
    )
        .prop_map(|((node, event, reporter, direction), (packet, src, dst, verdict), n)| {
            FlowRecord {
                node: node.into(),
                event,
                reporter: reporter.into(),
                direction,
                packet,
                src,
                dst,
                names: bulkhead_types::Names::new(["a.org", "b.org"]),
                verdict: verdict.into(),
                revision: Revision(n[0]),
                packets_forward: n[1],
                bytes_forward: n[2],
                packets_reverse: n[3],
                bytes_reverse: n[4],
                started_ns: n[5],
                seen_ns: n[6],
            }
        })
}

fn word() -> impl Strategy<Value = FromNode> {
    let revision = || any::<u64>().prop_map(Revision);
    let hello = (any::<u32>(), name(), name(), revision(), any::<[u64; 2]>(), revision()).prop_map(
        |(version, node, agent_version, holds, [digest, life], enforces)| {
            FromNode::Hello(Hello { version, node, agent_version, holds, digest, enforces, life })
        },
    );
    let status = (
        (revision(), any::<u64>(), any::<u32>(), any::<u32>(), any::<[u64; 2]>()),
        vec(endpoint_id(), 0..3),
        vec(name(), 0..3),
    )
        .prop_map(
            |((enforced, enforced_at_ns, n_attached, n_waiting, lost), waiting, drift)| {
                FromNode::Status(NodeStatus {
                    enforced,
                    enforced_at_ns,
                    n_attached,
                    n_waiting,
                    waiting,
                    flows_lost: lost[0],
                    log_events_suppressed: lost[1],
                    drift,
                })
            },
        );
    prop_oneof![
        hello,
        status,
        (revision(), any::<u64>())
            .prop_map(|(revision, at_ns)| FromNode::Ack(Ack { revision, at_ns })),
        (revision(), name())
            .prop_map(|(revision, reason)| FromNode::Nack(Nack { revision, reason })),
        name().prop_map(|reason| FromNode::WantSnapshot { reason }),
        surroundings(),
    ]
}

fn surroundings() -> impl Strategy<Value = FromNode> {
    let given = btree_map(endpoint_id(), btree_set(address(), 0..3), 0..4);
    (labels(), given)
        .prop_map(|(labels, given)| FromNode::Surroundings(Surroundings { labels, given }))
}

proptest! {
    #[test]
    fn programs_survive_the_trip(program in program()) {
        check(&program);
        check(&ToNode::Program(Arc::new(program)));
    }

    #[test]
    fn deltas_survive_the_trip_and_apply_alike(old in program(), new in program()) {
        let delta = ProgramDelta::between(&old, &new);
        check(&delta);
        let mut moved = old;
        ProgramDelta::decode(&delta.encode()).expect("reads").apply(&mut moved).expect("applies");
        prop_assert_eq!(moved, new);
    }

    #[test]
    fn flows_survive_the_trip(
        records in vec(record(), 0..5), boot in any::<u64>(), sequence in any::<u64>()
    ) {
        check(&FlowBatch { boot, sequence, records });
        check(&FlowReceipt { sequence });
        check(&ToNode::Welcome(Welcome { life: boot }));
    }

    #[test]
    fn words_survive_the_trip(word in word(), texts in any::<[u32; 4]>()) {
        check(&word);
        let [node, token, one, two] = texts.map(|n| n.to_string());
        check(&JoinRequest { version: 1, node, token, certificate_request: one.clone() });
        check(&JoinResponse { certificate: one, authority: two });
    }

    #[test]
    fn any_bytes_are_read_or_refused(
        bytes in vec(any::<u8>(), 0..200), program in program(), at in any::<usize>(), bit in 0u8..8
    ) {
        let _ = ToNode::decode(&bytes);
        let _ = FromNode::decode(&bytes);
        let mut damaged = ToNode::Program(Arc::new(program)).encode();
        if !damaged.is_empty() {
            let at = at % damaged.len();
            damaged[at] ^= 1u8 << bit;
            let _ = ToNode::decode(&damaged);
            let _ = ToNode::decode(&damaged[..at]);
        }
    }

    #[test]
    fn changes_are_disjoint(old in program(), new in program()) {
        let change: Change<_, _> = Change::between(&old.classes, &new.classes);
        prop_assert!(change.unset.iter().all(|key| !change.set.contains_key(key)));
    }
}
