//! The words, as people read them.

use bulkhead_api::Object;
use bulkhead_types::{Direction, EndpointId, Packet, Protocol};
use serde_json::json;

use super::{miss, verdict};
use crate::World;

#[test]
fn what_a_rule_asked_in_vain_and_who_decided_is_told() {
    let objects = [
        json!({
            "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "db", "namespace": "shop"},
            "status": {"podIPs": [{"ip": "10.0.0.1"}]},
        }),
        json!({
            "apiVersion": "projectcalico.org/v3", "kind": "GlobalNetworkPolicy",
            "metadata": {"name": "many"},
            "spec": {"ingress": [
                {"action": "Deny", "source": {"nets": ["192.0.2.0/24"]}},
                {"action": "Allow", "protocol": "UDP"},
                {"action": "Allow", "source": {"selector": "app == 'web'"}},
                {
                    "action": "Allow", "protocol": "TCP",
                    "destination": {"ports": [1, 2, 3, 4, 5, 6, 7, 8, "9:10", "pg"]},
                },
            ]},
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
    let rules = world.policies()[0].ingress.clone().expect("rules");
    let seen = trace.tiers[0].policies[0].rules.iter().zip(rules.iter());
    let missed: Vec<String> =
        seen.filter_map(|(seen, rule)| Some(miss(rule, seen.miss?))).collect();
    assert_eq!(
        missed,
        [
            "source nets 192.0.2.0/24",
            "protocol UDP",
            "source selector app == \"web\"",
            "destination ports 1, 2, 3, 4, 5, 6, 7, 8 and 2 more",
        ]
    );
    assert_eq!(
        verdict(&trace.verdict),
        "denied at the end of tier default: its policies apply and no rule matched"
    );
}
