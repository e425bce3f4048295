//! The sentences, as people read them.

use bulkhead_api::Object;
use bulkhead_types::{Direction, EndpointId, Packet, Protocol};
use serde_json::json;

use super::steps;
use crate::World;

#[test]
fn every_step_is_told_in_order() {
    let objects = [
        json!({
            "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "db", "namespace": "shop"},
            "status": {"podIPs": [{"ip": "10.0.0.1"}]},
        }),
        json!({
            "apiVersion": "projectcalico.org/v3", "kind": "Tier", "metadata": {"name": "early"},
            "spec": {"order": 1},
        }),
        json!({
            "apiVersion": "projectcalico.org/v3", "kind": "GlobalNetworkPolicy",
            "metadata": {"name": "pass"},
            "spec": {"tier": "early", "ingress": [
                {"action": "Deny", "source": {"nets": ["192.0.2.0/24"]}},
                {"action": "Log"},
                {"action": "Pass"},
            ]},
        }),
        json!({
            "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
            "metadata": {"name": "isolate", "namespace": "shop"}, "spec": {"podSelector": {}},
        }),
    ];
    let objects = objects.map(|value| Object::from_value(value).expect("object"));
    let packet = Packet {
        src: "198.51.100.1".parse().expect("address"),
        dst: "10.0.0.1".parse().expect("address"),
        protocol: Protocol::TCP,
        src_port: 40000,
        dst_port: 5432,
        icmp_type: 0,
        icmp_code: 0,
    };
    let world = World::from_objects(&objects);
    let trace = world.trace(&EndpointId::pod("shop", "db"), Direction::Ingress, &packet);
    assert_eq!(
        steps(&trace),
        [
            "tier early, GlobalNetworkPolicy pass: rule 0 does not match: the source is in none of its nets",
            "tier early, GlobalNetworkPolicy pass: rule 1 matches, logs and goes on",
            "tier early, GlobalNetworkPolicy pass: rule 2 matches and passes to the next tier",
            "tier default, KubernetesNetworkPolicy shop/isolate: has no rules for this direction",
            "tier default: no rule decided, so it denies",
            "shop/db ingress: denied at the end of tier default: its policies apply and no rule matched",
        ]
    );
}
