//! Worlds without enforcement: every probe connects, and nothing is left behind.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that cannot go on fails")]

use std::sync::Arc;
use std::time::{Duration, Instant};

use bulkhead_api::Object;
use bulkhead_lab::claim::Claim;
use bulkhead_lab::probe::Patience;
use bulkhead_lab::{Net, Probe, World, netns};
use bulkhead_types::Protocol;
use serde_json::json;

fn mk_pod(index: usize, node: &str) -> Object {
    let (low, high) = (index % 250 + 1, index / 250);
    Object::from_value(json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"namespace": "shop", "name": format!("p{index}")},
        "spec": {"nodeName": node, "containers": [{"name": "c", "ports": [
            {"containerPort": 80}, {"containerPort": 53, "protocol": "UDP"},
            {"containerPort": 3868, "protocol": "SCTP"}]}]},
        "status": {"podIPs": [{"ip": format!("10.65.{high}.{low}")}, {"ip": format!("fd65::{:x}", index + 1)}]}
    }))
    .unwrap()
}

async fn mk_net(pods: usize) -> (Arc<Claim>, Net) {
    let nodes = ["alpha", "beta"];
    let pods: Vec<Object> = (0..pods).map(|i| mk_pod(i, nodes[i % 2])).collect();
    let claim = Arc::new(Claim::take().unwrap());
    let net = Net::up(Arc::clone(&claim), &World::from_objects(&pods).unwrap()).await.unwrap();
    net.listen().await.unwrap();
    (claim, net)
}

async fn unconnected(net: &Net, probes: &[Probe]) -> Vec<String> {
    let outcomes = net.probe(probes, &Patience::default()).await.unwrap();
    assert_eq!(outcomes.len(), probes.len());
    let failed = probes.iter().zip(outcomes).filter(|(_, outcome)| !outcome.connected);
    failed.map(|(probe, _)| format!("{} {:?}", probe.id, probe.family)).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_protocol_connects_between_pods_nodes_and_the_outside() {
    let (claim, net) = mk_net(3).await;
    let mut probes = Vec::new();
    for (src, dst) in [
        ("shop/p0", "shop/p1"),
        ("shop/p0", "shop/p2"),
        ("shop/p1", "198.51.100.7"),
        ("203.0.113.9", "shop/p2"),
        ("shop/p1", "2001:db8::7"),
        ("2001:db8:1::9", "shop/p2"),
    ] {
        for (protocol, port) in [
            (Protocol::TCP, 80),
            (Protocol::TCP, 8443),
            (Protocol::UDP, 53),
            (Protocol::SCTP, 3868),
            (Protocol::SCTP, 3869),
            (Protocol::ICMP, 0),
            (Protocol(47), 0),
        ] {
            probes.push(Probe::new(src, dst, protocol, port));
            if !dst.contains('.') && !src.contains('.') {
                probes.push(Probe::new(src, dst, protocol, port).v6());
            }
        }
        let mut timestamp = Probe::new(src, dst, Protocol::ICMP, 0);
        timestamp.icmp_type = Some(13);
        probes.push(timestamp);
    }
    assert_eq!(unconnected(&net, &probes).await, Vec::<String>::new());

    let prefix = claim.netns("");
    assert_eq!(netns::list(&prefix).len(), 6);
    drop(net);
    drop(claim);
    assert_eq!(netns::list(&prefix), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_pods_are_up_in_seconds() {
    let began = Instant::now();
    let (_claim, net) = mk_net(100).await;
    let up = began.elapsed();
    let probes: Vec<Probe> = (0..100)
        .map(|i| Probe::tcp(&format!("shop/p{i}"), &format!("shop/p{}", (i * 7 + 1) % 100), 80))
        .collect();
    assert_eq!(unconnected(&net, &probes).await, Vec::<String>::new());
    println!("100 pods up in {up:?}, 100 probes in {:?}", began.elapsed() - up);
    assert!(up < Duration::from_secs(20), "took {up:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unknown_workload_is_named() {
    let (_claim, net) = mk_net(1).await;
    let probes = [Probe::tcp("shop/p0", "shop/nobody", 80)];
    let error = net.probe(&probes, &Patience::default()).await.unwrap_err();
    assert!(format!("{error:#}").contains("`shop/nobody` is neither an address nor a workload"));
}
