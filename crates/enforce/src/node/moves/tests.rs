use std::sync::Arc;

use bulkhead_wire::{EndpointProgram, Judges, ProgramId};

use super::*;

const ADDRESS: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 5));

fn mk_program(name: &str) -> NodeProgram {
    let mut program = NodeProgram::default();
    let id = EndpointId::pod("app", name);
    let judges = Judges { ingress: ProgramId(1), egress: ProgramId(1) };
    let endpoint = EndpointProgram {
        id: id.clone(),
        labels: Arc::default(),
        addresses: [(ADDRESS, judges)].into_iter().collect(),
        staged: Default::default(),
        interface: None,
        mac: None,
    };
    program.endpoints.insert(id, endpoint.into());
    program
}

fn mk_topology(interfaces: &[u32], route: Option<u32>) -> Topology {
    let mut topology = Topology::default();
    for ifindex in interfaces {
        topology.interfaces.insert(*ifindex, format!("bhl{ifindex}"));
    }
    topology.routes.extend(route.map(|ifindex| (ADDRESS, ifindex)));
    topology
}

/// The interface of the pod of this name, as the last look left it.
fn bound(moves: &mut Moves, name: &str, at: &Topology, held: &Held, now: Instant) -> Option<u32> {
    let attached: BTreeSet<u32> = at.interfaces.keys().copied().collect();
    let found = moves.bind(&mk_program(name), at, &attached, held, now);
    found.bindings.get(&EndpointId::pod("app", name))?.get(&ADDRESS).map(|place| place.ifindex)
}

#[test]
fn a_flapping_link_keeps_its_endpoint() {
    let (mut moves, held, now) = (Moves::default(), Held::new(), Instant::now());
    assert_eq!(bound(&mut moves, "a", &mk_topology(&[7], Some(7)), &held, now), Some(7));
    assert_eq!(bound(&mut moves, "a", &mk_topology(&[7], None), &held, now), Some(7));
    assert_eq!(bound(&mut moves, "a", &mk_topology(&[], None), &held, now), None);
}

#[test]
fn an_address_on_another_interface_is_nobodys_until_the_server_could_say_whose() {
    let (mut moves, held, now) = (Moves::default(), Held::new(), Instant::now());
    assert_eq!(bound(&mut moves, "a", &mk_topology(&[7], Some(7)), &held, now), Some(7));
    let moved = mk_topology(&[9], Some(9));
    assert_eq!(bound(&mut moves, "a", &moved, &held, now), None);
    assert!(moves.wait());
    assert_eq!(bound(&mut moves, "a", &moved, &held, now + MOVED_AFTER / 2), None);
    assert_eq!(bound(&mut moves, "a", &moved, &held, now + MOVED_AFTER), Some(9));
    assert!(!moves.wait());
}

#[test]
fn somebody_new_is_bound_at_once() {
    let (mut moves, held, now) = (Moves::default(), Held::new(), Instant::now());
    assert_eq!(bound(&mut moves, "a", &mk_topology(&[7], Some(7)), &held, now), Some(7));
    assert_eq!(bound(&mut moves, "b", &mk_topology(&[9], Some(9)), &held, now), Some(9));
}

#[test]
fn what_an_earlier_process_bound_is_remembered() {
    let held: Held = [(7, EndpointId::pod("app", "a"))].into();
    let (now, moved) = (Instant::now(), mk_topology(&[9], Some(9)));
    assert_eq!(bound(&mut Moves::default(), "a", &moved, &held, now), None);
    assert_eq!(bound(&mut Moves::default(), "b", &moved, &held, now), Some(9));
}
