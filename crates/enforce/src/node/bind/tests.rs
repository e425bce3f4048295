use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use bulkhead_types::EndpointId;
use bulkhead_wire::{EndpointProgram, Judges, NodeProgram, ProgramId};

use super::{Held, bind};
use crate::netlink::Topology;
use crate::netlink::far::Peer;
use crate::node::given::{Given, GivenInterface};

const FRONT: &str = "10.0.0.1";
const BACK: &str = "10.0.0.2";

fn at(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// Pods by name and address.
fn mk_program(pods: &[(&str, &str)]) -> NodeProgram {
    let judges = Judges { ingress: ProgramId(1), egress: ProgramId(2) };
    let mut program = NodeProgram::default();
    for (name, address) in pods {
        let id = EndpointId::pod("test", *name);
        let endpoint = EndpointProgram {
            id: id.clone(),
            labels: Arc::default(),
            addresses: [(at(address), judges)].into_iter().collect(),
            staged: Default::default(),
            interface: None,
            mac: None,
        };
        program.endpoints.insert(id, endpoint.into());
    }
    program
}

/// Interfaces by number, and the addresses in the namespaces behind them.
fn mk_topology(seen: &[(u32, &[&str])]) -> Topology {
    let mut topology = Topology::default();
    for (ifindex, addresses) in seen {
        topology.interfaces.insert(*ifindex, format!("veth{ifindex}"));
        let addresses = addresses.iter().copied().map(at).collect();
        let mac = "02:00:00:00:00:01".parse().ok();
        topology.peers.insert(*ifindex, Peer { mac, addresses });
    }
    topology
}

/// The interface of each pod by name, in order; 0 where it has none.
fn found(program: &NodeProgram, topology: &Topology, held: &Held) -> Vec<u32> {
    let attached: BTreeSet<u32> = topology.interfaces.keys().copied().collect();
    let found = bind(program, topology, &attached, held);
    let of = |id| found.bindings.get(id).and_then(|b| b.values().next()).map_or(0, |p| p.ifindex);
    program.endpoints.keys().map(of).collect()
}

fn held(ifindex: u32, name: &str) -> Held {
    [(ifindex, EndpointId::pod("test", name))].into()
}

#[test]
fn an_interface_is_found_by_the_address_behind_it_and_lends_its_link_address() {
    let program = mk_program(&[("back", BACK), ("front", FRONT)]);
    let topology = mk_topology(&[(1, &[FRONT]), (2, &[BACK])]);
    assert_eq!(found(&program, &topology, &Held::new()), [2, 1]);
    let attached = [1, 2].into();
    let bound = bind(&program, &topology, &attached, &Held::new()).bindings;
    let places: Vec<_> = bound.values().flat_map(|bound| bound.values()).collect();
    assert!(places.iter().all(|place| place.mac.is_some()), "{places:?}");
}

#[test]
fn the_hosts_own_route_comes_first() {
    let program = mk_program(&[("front", FRONT)]);
    let mut topology = mk_topology(&[(1, &[FRONT]), (2, &[])]);
    topology.routes.insert(at(FRONT), 2);
    assert_eq!(found(&program, &topology, &Held::new()), [2]);
}

#[test]
fn a_container_that_takes_a_second_address_gains_nothing() {
    let program = mk_program(&[("back", BACK), ("front", FRONT)]);
    let stolen = mk_topology(&[(1, &[FRONT, BACK])]);
    assert_eq!(found(&program, &stolen, &held(1, "front")), [0, 1], "while it is known");
    assert_eq!(found(&program, &stolen, &Held::new()), [0, 0], "and from the start");
    let swapped = mk_topology(&[(1, &[BACK])]);
    assert_eq!(found(&program, &swapped, &held(1, "front")), [0, 1], "nor when it drops its own");
    let both = mk_topology(&[(1, &[FRONT, BACK]), (2, &[BACK])]);
    assert_eq!(found(&program, &both, &held(1, "front")), [2, 1], "and it keeps nobody out");
}

#[test]
fn an_address_behind_two_interfaces_is_a_doubt_unless_it_is_held() {
    let program = mk_program(&[("front", FRONT)]);
    let topology = mk_topology(&[(1, &[FRONT]), (2, &[FRONT])]);
    assert_eq!(found(&program, &topology, &Held::new()), [0]);
    let doubts = bind(&program, &topology, &[1, 2].into(), &Held::new()).doubts;
    assert!(doubts.iter().any(|d| d.contains("veth1 and veth2") && d.contains("test/front")));
    assert_eq!(found(&program, &topology, &held(2, "front")), [2]);
}

#[test]
fn an_interface_whose_endpoint_has_gone_is_free_again() {
    let topology = mk_topology(&[(1, &[BACK])]);
    assert_eq!(found(&mk_program(&[("back", BACK)]), &topology, &held(1, "front")), [1]);
}

#[test]
fn what_the_runtime_says_comes_before_all_else_and_keeps_its_link_address() {
    let program = mk_program(&[("back", BACK), ("front", FRONT)]);
    let mut topology = mk_topology(&[(1, &[FRONT]), (2, &[])]);
    topology.routes.insert(at(FRONT), 1);
    let mac = "02:00:00:00:00:77".parse().ok();
    let front = GivenInterface {
        ifindex: 2,
        name: "veth2".to_owned(),
        id: Some(EndpointId::pod("test", "front")),
        addresses: [at(FRONT)].into(),
        mac,
    };
    topology.given = Given::from([(2, front)]);
    let found = bind(&program, &topology, &[1, 2].into(), &Held::new());
    let places: Vec<_> = found.bindings.values().flat_map(|bound| bound.values()).collect();
    assert_eq!(
        places.iter().map(|place| (place.ifindex, place.mac)).collect::<Vec<_>>(),
        [(2, mac)]
    );

    let mut stolen = mk_topology(&[(2, &[BACK])]);
    stolen.given = topology.given;
    let found = bind(&program, &stolen, &[2].into(), &Held::new());
    assert_eq!(found.bindings.len(), 1, "another's address behind a given interface is not taken");
}
