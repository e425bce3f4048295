//! A kept flow as its readers see it.

use bulkhead_api::flow::{
    Flow, FlowCount, FlowDecider, FlowEnd, FlowEndpoint, FlowEvent, FlowIcmp, FlowPolicy, FlowRule,
};
use bulkhead_types::{EndpointId, Labels, Protocol, RuleRef};
use bulkhead_wire::{FlowEvent as WireEvent, Peer};
use jiff::Timestamp;

use super::KeptFlow;

pub fn flow(kept: &KeptFlow) -> Flow {
    let record = &kept.record;
    let packet = &record.packet;
    let port = |port: u16| packet.protocol.has_ports().then_some(port);
    let end = |address, port, peer: Option<&Peer>| FlowEnd {
        address,
        port,
        endpoint: peer.map(|peer| endpoint(&peer.id)),
        labels: peer.map(|peer| Labels::clone(&peer.labels)).unwrap_or_default(),
        names: Vec::new(),
    };
    let mut dst = end(packet.dst, port(packet.dst_port), kept.dst.as_deref());
    dst.names = record.names.iter().map(str::to_owned).collect();
    Flow {
        time: time(record.seen_ns),
        started: time(record.started_ns),
        node: record.node.to_string(),
        event: event(record.event),
        direction: record.direction,
        reporter: endpoint(&record.reporter),
        src: end(packet.src, port(packet.src_port), kept.src.as_deref()),
        dst,
        protocol: packet.protocol.to_string(),
        icmp: is_icmp(packet.protocol)
            .then_some(FlowIcmp { icmp_type: packet.icmp_type, code: packet.icmp_code }),
        verdict: record.verdict.decision,
        rule: rule(&record.verdict.rule),
        logged: record.verdict.logged.iter().map(rule).collect(),
        revision: record.revision.0,
        forward: FlowCount { packets: record.packets_forward, bytes: record.bytes_forward },
        reverse: FlowCount { packets: record.packets_reverse, bytes: record.bytes_reverse },
    }
}

fn is_icmp(protocol: Protocol) -> bool {
    protocol.is_icmp()
}

fn endpoint(id: &EndpointId) -> FlowEndpoint {
    FlowEndpoint { kind: id.kind, namespace: id.namespace.clone(), name: id.name.clone() }
}

fn event(event: WireEvent) -> FlowEvent {
    match event {
        WireEvent::New => FlowEvent::New,
        WireEvent::Denied => FlowEvent::Denied,
        WireEvent::LateDenied => FlowEvent::LateDenied,
        WireEvent::Ended => FlowEvent::Ended,
        WireEvent::Update => FlowEvent::Update,
    }
}

fn rule(rule: &RuleRef) -> FlowRule {
    match rule {
        RuleRef::Rule { tier, policy, direction, index } => FlowRule {
            tier: Some(tier.clone()),
            policy: Some(FlowPolicy {
                kind: policy.kind.as_str().to_owned(),
                namespace: policy.namespace.clone(),
                name: policy.name.clone(),
            }),
            direction: Some(*direction),
            index: Some(*index),
            ..FlowRule::default()
        },
        RuleRef::TierDefault { tier } => {
            FlowRule { tier: Some(tier.clone()), ..FlowRule::default() }
        }
        RuleRef::Profile { name } => {
            FlowRule { profile: Some(name.clone()), ..FlowRule::default() }
        }
        RuleRef::NoProfile => other(FlowDecider::NoProfile),
        RuleRef::Failsafe => other(FlowDecider::Failsafe),
        RuleRef::StageDefault => other(FlowDecider::StageDefault),
        RuleRef::WorkloadToHost => other(FlowDecider::WorkloadToHost),
        RuleRef::HostToWorkload => other(FlowDecider::HostToWorkload),
        RuleRef::NotItsOwn => other(FlowDecider::NotItsOwn),
        RuleRef::Unknown => FlowRule::default(),
    }
}

fn other(decider: FlowDecider) -> FlowRule {
    FlowRule { other: Some(decider), ..FlowRule::default() }
}

/// RFC 3339 in UTC with microseconds.
fn time(unix_ns: u64) -> String {
    let timestamp = Timestamp::from_nanosecond(unix_ns.into()).unwrap_or(Timestamp::UNIX_EPOCH);
    format!("{timestamp:.6}")
}
