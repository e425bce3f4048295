use std::time::Instant;

use bulkhead_api::Object;
use bulkhead_types::{Packet, Protocol, Revision, RuleRef, Verdict};
use bulkhead_wire::FlowEvent;
use serde_json::json;

use super::*;

const WEB: &str = "10.0.0.1";
const DB: &str = "10.0.0.2";

fn mk_pod(name: &str, node: &str, address: &str) -> Object {
    Object::from_value(json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": name, "namespace": "shop", "labels": {"app": name}},
        "spec": {"nodeName": node, "containers": []},
        "status": {"podIPs": [{"ip": address}]},
    }))
    .expect("is a pod")
}

fn mk_ingest() -> Ingest {
    let directory = Arc::new(Directory::default());
    directory.upsert(&mk_pod("web", "n1", WEB), Instant::now());
    directory.upsert(&mk_pod("db", "n2", DB), Instant::now());
    Ingest::new(directory, Arc::new(FlowLog::default()))
}

/// From web to db, as web's node tells it.
fn mk_record(node: &str, reporter: &str, direction: Direction) -> FlowRecord {
    FlowRecord {
        node: node.into(),
        event: FlowEvent::New,
        reporter: EndpointId::pod("shop", reporter).into(),
        direction,
        packet: Packet {
            src: WEB.parse().expect("an address"),
            dst: DB.parse().expect("an address"),
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
        started_ns: 1,
        seen_ns: 2,
    }
}

fn mk_batch(sequence: u64, records: Vec<FlowRecord>) -> FlowBatch {
    FlowBatch { boot: 1, sequence, records }
}

#[test]
fn the_other_end_gets_its_name_and_labels() {
    let ingest = mk_ingest();
    let record = mk_record("n1", "web", Direction::Egress);
    ingest.take("n1", mk_batch(1, vec![record])).expect("is taken");
    let kept = ingest.log.all();
    let names: Vec<_> = kept
        .flows
        .iter()
        .flat_map(|flow| [flow.src.clone(), flow.dst.clone()])
        .flatten()
        .map(|peer| (peer.id.name.clone(), bulkhead_types::Labels::clone(&peer.labels)))
        .collect();
    let says = |name: &str| (name.to_owned(), [("app".to_owned(), name.to_owned())].into());
    assert_eq!(names, [says("web"), says("db")]);
}

#[test]
fn a_batch_that_is_sent_twice_counts_once() {
    let ingest = mk_ingest();
    let batch = mk_batch(1, vec![mk_record("n1", "web", Direction::Egress)]);
    for _ in 0..2 {
        assert_eq!(ingest.take("n1", batch.clone()).expect("is taken").sequence, 1);
    }
    assert_eq!(ingest.log.all().flows.len(), 1);
    let reboot = FlowBatch { boot: 2, ..batch };
    ingest.take("n1", reboot).expect("is taken");
    assert_eq!(ingest.log.all().flows.len(), 2);
}

#[test]
fn a_node_reports_its_own_flows_only() {
    let ingest = mk_ingest();
    let own = mk_record("n1", "web", Direction::Egress);
    let forged = mk_record("n2", "db", Direction::Ingress);
    let error = ingest.take("n1", mk_batch(1, vec![own, forged])).expect_err("is refused");
    assert!(error.to_string().contains("record 1 is node `n2`'s"), "{error}");
    assert!(ingest.log.all().flows.is_empty(), "a batch is taken whole or not at all");
    // In its own name, but about a workload of another node.
    let forged = mk_record("n1", "db", Direction::Ingress);
    ingest.take("n1", mk_batch(1, vec![forged])).expect("the batch is fine");
    assert!(ingest.log.all().flows.is_empty(), "the record is not");
}
