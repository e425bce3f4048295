use std::sync::Mutex;

use bulkhead_types::{Direction, EndpointId, HostInterface, HostStage, Packet};
use bulkhead_wire::HostProgram;

use super::*;

/// Remembers what it was asked to enforce.
#[derive(Default)]
struct Fake(Mutex<Vec<Arc<NodeProgram>>>);

impl Enforcer for Fake {
    fn enforce(&self, program: Arc<NodeProgram>) -> Enforced {
        self.0.lock().unwrap().push(program);
        Box::pin(async { Ok(EnforceReport::default()) })
    }

    fn report(&self) -> watch::Receiver<EnforceReport> {
        watch::channel(EnforceReport::default()).1
    }
}

/// A host that nothing allows and that has no fail-safe ports.
fn mk_locked() -> Arc<NodeProgram> {
    let id = EndpointId::host("h");
    let host = HostProgram {
        id: id.clone(),
        labels: Default::default(),
        interface: HostInterface::All,
        addresses: Vec::new(),
        stages: Default::default(),
        staged: Default::default(),
        failsafe_inbound: Vec::new(),
        failsafe_outbound: Vec::new(),
    };
    let mut program = NodeProgram::default();
    program.hosts.insert(id, host.into());
    program.into()
}

async fn enforced(program: &Arc<NodeProgram>, server: &str) -> Arc<NodeProgram> {
    let fake = Arc::new(Fake::default());
    let inner: Arc<dyn Enforcer> = fake.clone();
    WayOpen::new(inner, server).enforce(Arc::clone(program)).await.unwrap();
    let program = fake.0.lock().unwrap().first().cloned();
    program.unwrap()
}

fn is_open(program: &NodeProgram, to: &str, port: u16) -> bool {
    let src = if to.contains(':') { "fd00::9" } else { "192.0.2.9" };
    let packet = Packet {
        src: src.parse().unwrap(),
        dst: to.parse().unwrap(),
        protocol: Protocol::TCP,
        src_port: 40_000,
        dst_port: port,
        icmp_type: 0,
        icmp_code: 0,
    };
    let id = EndpointId::host("h");
    let host = program.hosts.get(&id).unwrap();
    host.is_failsafe(HostStage::Normal, Direction::Egress, &packet)
}

#[tokio::test]
async fn no_host_endpoint_cuts_its_agent_off_from_its_server() {
    let locked = mk_locked();
    for server in ["192.0.2.1:7444", "[fd00::1]:7444", "bulkhead.example:7444"] {
        let program = enforced(&locked, server).await;
        assert!(is_open(&program, "192.0.2.1", 7444) && is_open(&program, "fd00::1", 7444));
        assert!(!is_open(&program, "192.0.2.1", 7445), "another port");
    }
    assert!(!is_open(&locked, "192.0.2.1", 7444), "what is held and saved is as it came");
}

#[tokio::test]
async fn a_program_without_host_endpoints_is_enforced_as_it_came() {
    let program = Arc::new(NodeProgram::default());
    assert!(Arc::ptr_eq(&enforced(&program, "192.0.2.1:7444").await, &program));
}
