use std::time::Duration;

use bulkhead_types::{Direction, EndpointId, Packet, Protocol, Revision, RuleRef, Verdict};
use bulkhead_wire::FlowEvent;

use super::*;

/// A flow from `shop/web` to `data/db`, told by the latter.
pub fn mk_flow(n: u64) -> KeptFlow {
    let peer = |namespace: &str, name: &str| {
        Some(Arc::new(Peer {
            id: EndpointId::pod(namespace, name).into(),
            labels: Arc::new([("app".to_owned(), name.to_owned())].into()),
        }))
    };
    KeptFlow {
        record: FlowRecord {
            node: "n1".into(),
            event: FlowEvent::Denied,
            reporter: EndpointId::pod("data", "db").into(),
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
            dst: None,
            names: bulkhead_types::Names::default(),
            verdict: Verdict::deny(RuleRef::TierDefault { tier: "default".into() }).into(),
            revision: Revision(3),
            packets_forward: 1,
            bytes_forward: 60,
            packets_reverse: 0,
            bytes_reverse: 0,
            started_ns: n,
            seen_ns: 1_700_000_000_123_456_789 + n,
        },
        src: peer("shop", "web"),
        dst: peer("data", "db"),
    }
}

fn times(chunk: &Chunk) -> Vec<u64> {
    chunk.flows.iter().map(|flow| flow.record.started_ns).collect()
}

#[test]
fn the_ring_keeps_the_newest_and_a_reader_learns_what_it_missed() {
    let log = FlowLog::with_capacity(3);
    log.extend((0..2).map(mk_flow).collect());
    let chunk = log.read(0, 10);
    assert_eq!((chunk.missed, times(&chunk), chunk.next), (0, vec![0, 1], 2));
    log.extend((2..8).map(mk_flow).collect());
    let chunk = log.read(2, 2);
    assert_eq!((chunk.missed, times(&chunk), chunk.next), (3, vec![5, 6], 7));
    let chunk = log.read(chunk.next, 2);
    assert_eq!((chunk.missed, times(&chunk), chunk.next), (0, vec![7], 8));
    assert_eq!(times(&log.all()), [5, 6, 7]);
}

#[tokio::test]
async fn a_reader_wakes_when_its_flow_is_there() {
    let log = Arc::new(FlowLog::with_capacity(3));
    let reader = tokio::spawn({
        let log = Arc::clone(&log);
        async move { log.wait_for(1).await }
    });
    log.extend(vec![mk_flow(0)]);
    tokio::task::yield_now().await;
    assert!(!reader.is_finished(), "flow 0 is not flow 1");
    log.extend(vec![mk_flow(1)]);
    tokio::time::timeout(Duration::from_secs(10), reader).await.expect("wakes").expect("ends");
}

#[test]
fn a_flow_is_shown_with_both_ends_and_the_rule() {
    let shown = serde_json::to_value(show::flow(&mk_flow(0))).expect("is JSON");
    assert_eq!(shown["time"], "2023-11-14T22:13:20.123456Z");
    assert_eq!(shown["verdict"], "deny");
    assert_eq!(shown["event"], "denied");
    assert_eq!(shown["src"]["namespace"], "shop");
    assert_eq!(shown["src"]["labels"]["app"], "web");
    assert_eq!(shown["dst"]["port"], 5432);
    assert_eq!(shown["rule"], serde_json::json!({"tier": "default"}));
    assert!(shown.get("logged").is_none());
    let mut flow = mk_flow(0);
    Arc::make_mut(&mut flow.record.verdict).logged.push(RuleRef::Profile { name: "p".into() });
    let shown = serde_json::to_value(show::flow(&flow)).expect("is JSON");
    assert_eq!(shown["logged"], serde_json::json!([{"profile": "p"}]));
}
