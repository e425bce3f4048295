use bulkhead_types::{Direction, EndpointId, Packet, Protocol, Revision, RuleRef, Verdict};
use bulkhead_wire::FlowEvent;

use super::*;

fn mk_record(n: u64) -> FlowRecord {
    FlowRecord {
        node: "n1".into(),
        event: FlowEvent::New,
        reporter: EndpointId::pod("shop", "web").into(),
        direction: Direction::Egress,
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
        names: bulkhead_types::Names::default(),
        verdict: Verdict::allow(RuleRef::Unknown).into(),
        revision: Revision(1),
        packets_forward: 1,
        bytes_forward: 60,
        packets_reverse: 0,
        bytes_reverse: 0,
        started_ns: n,
        seen_ns: n,
    }
}

#[test]
fn beyond_its_limit_the_queue_loses_the_oldest_and_counts() {
    let queue = FlowQueue::default();
    for n in 0..FLOWS_KEPT_MAX as u64 + 3 {
        queue.push(mk_record(n));
    }
    assert_eq!(queue.n_lost(), 3);
    let batch = queue.take();
    assert_eq!(batch.len(), FLOWS_PER_BATCH_MAX);
    assert_eq!(batch.first().map(|record| record.seen_ns), Some(3));
}

#[test]
fn batches_are_in_order_and_the_queue_runs_dry() {
    let queue = FlowQueue::default();
    (0..FLOWS_PER_BATCH_MAX as u64 + 1).for_each(|n| queue.push(mk_record(n)));
    assert_eq!(queue.take().len(), FLOWS_PER_BATCH_MAX);
    assert!(!queue.is_empty());
    assert_eq!(queue.take().len(), 1);
    assert!(queue.is_empty());
    assert_eq!(queue.take().len(), 0);
    assert_eq!(queue.n_lost(), 0);
}
