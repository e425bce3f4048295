use std::time::Duration;

use bulkhead_types::{Decision, Direction, PolicyKind, PolicyRef, Protocol, Revision, Verdict};

use super::*;

fn mk_record(event: FlowEvent, n_logged: u32) -> FlowRecord {
    let rule = |index| RuleRef::Rule {
        tier: "default".into(),
        policy: PolicyRef {
            kind: PolicyKind::GlobalNetworkPolicy,
            namespace: String::new(),
            name: "watch".into(),
        },
        direction: Direction::Ingress,
        index,
    };
    FlowRecord {
        node: "n1".into(),
        event,
        reporter: EndpointId::pod("shop", "db").into(),
        direction: Direction::Ingress,
        packet: Packet {
            src: [10, 0, 0, 1].into(),
            dst: [10, 0, 0, 2].into(),
            protocol: Protocol::TCP,
            src_port: 40_000,
            dst_port: 5432,
            icmp_type: 0,
            icmp_code: 0,
        },
        src: None,
        dst: Some(
            Peer { id: EndpointId::pod("shop", "db").into(), labels: Default::default() }.into(),
        ),
        names: bulkhead_types::Names::default(),
        verdict: Verdict {
            decision: Decision::Deny,
            rule: rule(n_logged),
            logged: (0..n_logged).map(rule).collect(),
        }
        .into(),
        revision: Revision(1),
        packets_forward: 1,
        bytes_forward: 60,
        packets_reverse: 0,
        bytes_reverse: 0,
        started_ns: 1,
        seen_ns: 1,
    }
}

fn mk_events(per_second: f64, burst: u32) -> LogEvents {
    LogEvents::new(LogRate { per_second, burst })
}

#[test]
fn each_log_rule_of_a_judged_flow_takes_one_token() {
    let now = Instant::now();
    let mut events = mk_events(1.0, 5);
    assert_eq!(events.note(&mk_record(FlowEvent::New, 2), now), 0);
    assert_eq!(events.note(&mk_record(FlowEvent::Denied, 2), now), 0);
    assert_eq!(events.note(&mk_record(FlowEvent::LateDenied, 3), now), 2);
    assert!(events.has_suppressed());
    events.tell_suppressed();
    assert!(!events.has_suppressed());
}

#[test]
fn what_tells_no_judgement_and_what_nobody_logs_is_no_event() {
    let now = Instant::now();
    let mut events = mk_events(0.0, 5);
    assert_eq!(events.note(&mk_record(FlowEvent::Ended, 1), now), 0);
    assert_eq!(events.note(&mk_record(FlowEvent::Update, 1), now), 0);
    assert_eq!(events.note(&mk_record(FlowEvent::New, 0), now), 0);
    assert_eq!(events.note(&mk_record(FlowEvent::New, 1), now), 1, "a rate of 0 writes nothing");
}

#[test]
fn tokens_come_back_with_time_and_not_beyond_the_burst() {
    let start = Instant::now();
    let mut events = mk_events(2.0, 3);
    let mut suppressed = |after_ms, n| {
        events.note(&mk_record(FlowEvent::New, n), start + Duration::from_millis(after_ms))
    };
    assert_eq!(suppressed(0, 4), 1);
    assert_eq!(suppressed(250, 1), 1);
    assert_eq!(suppressed(500, 1), 0);
    assert_eq!(suppressed(60_000, 4), 1);
    assert_eq!(suppressed(59_000, 1), 1, "a clock that goes back brings no tokens");
}
