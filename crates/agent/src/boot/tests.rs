use bulkhead_types::{EndpointId, HostInterface, Protocol};
use bulkhead_wire::{HostProgram, NodeProgram};

use super::*;

fn mk_gate(state_dir: &Path) -> BootGate {
    mk_gate_to(state_dir, "server:6444")
}

fn mk_gate_to(state_dir: &Path, server: &str) -> BootGate {
    BootGate { state_dir: state_dir.to_owned(), netns: None, server: Some(server.to_owned()) }
}

fn tcp(port: u16) -> FailsafePort {
    FailsafePort { protocol: Protocol::TCP, port, net: None }
}

#[test]
fn a_host_that_never_had_a_program_keeps_remote_login_and_the_way_to_its_server() {
    let folder = tempfile::tempdir().unwrap();
    let failsafe = mk_gate(folder.path()).failsafe();
    assert!(failsafe.inbound.contains(&tcp(22)) && !failsafe.inbound.contains(&tcp(6444)));
    assert!(failsafe.outbound.contains(&tcp(6444)) && !failsafe.outbound.contains(&tcp(22)));
}

#[test]
fn a_gate_closes_also_where_the_way_to_the_server_cannot_be_read() {
    let folder = tempfile::tempdir().unwrap();
    for server in ["192.0.2.1", ""] {
        let failsafe = mk_gate_to(folder.path(), server).failsafe();
        assert_eq!(failsafe.outbound, default_failsafe(Direction::Egress), "{server}");
        assert!(failsafe.inbound.contains(&tcp(22)));
    }
}

#[test]
fn the_last_program_says_which_ports_are_failsafe() {
    let folder = tempfile::tempdir().unwrap();
    let id = EndpointId::host("h");
    let host = HostProgram {
        id: id.clone(),
        labels: Default::default(),
        interface: HostInterface::All,
        addresses: Vec::new(),
        stages: Default::default(),
        staged: Default::default(),
        failsafe_inbound: vec![tcp(2222)],
        failsafe_outbound: Vec::new(),
    };
    let mut program = NodeProgram::default();
    program.hosts.insert(id, host.into());
    saved::save(folder.path(), &program).unwrap();
    let failsafe = mk_gate(folder.path()).failsafe();
    assert_eq!((failsafe.inbound, failsafe.outbound), (vec![tcp(2222)], vec![tcp(6444)]));
}
