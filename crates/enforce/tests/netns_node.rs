//! One node with real interfaces and real packets.

#[path = "support/programs.rs"]
mod programs;
#[path = "support/world.rs"]
mod world;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use bulkhead_enforce::NodeHandle;
use bulkhead_wire::row::Row;
use bulkhead_wire::{Judges, NodeProgram};
use programs::Maker;
use world::{World, inside};

const SHORT: Duration = Duration::from_millis(300);

fn enforce(handle: &NodeHandle, program: NodeProgram) -> bulkhead_enforce::EnforceReport {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(handle.enforce(Arc::new(program))).unwrap()
}

/// Every pod of the world, all with these rows about everybody.
fn mk_program(
    world: &World,
    revision: u64,
    rows: impl FnOnce(&mut Maker) -> (Row, Row),
) -> NodeProgram {
    let mut maker = Maker::new(revision);
    let (ingress, egress) = rows(&mut maker);
    let judges = Judges { ingress: maker.judge(&ingress, &[]), egress: maker.judge(&egress, &[]) };
    for pod in &world.pods {
        maker.endpoint(&pod.name, &pod.addresses(), judges);
    }
    maker.program
}

fn mk_allow_all(world: &World, revision: u64) -> NodeProgram {
    mk_program(world, revision, |maker| (maker.allow(), maker.allow()))
}

fn connect(netns: &str, to: SocketAddr) -> std::io::Result<TcpStream> {
    inside(netns, || TcpStream::connect_timeout(&to, SHORT))
}

fn listen(netns: &str, at: SocketAddr) -> TcpListener {
    inside(netns, || TcpListener::bind(at).unwrap())
}

/// Sends a line each way.
fn talk(client: &TcpStream, server: &TcpStream) -> std::io::Result<()> {
    for (mut from, mut to) in [(client, server), (server, client)] {
        to.set_read_timeout(Some(SHORT))?;
        from.write_all(b"hello\n")?;
        to.read_exact(&mut [0; 6])?;
    }
    Ok(())
}

#[test]
fn default_closed_until_program() {
    let world = World::new(2);
    let (handle, _records) = world.start();
    let target = world.pods[1].v4_port(80);
    let listener = listen(&world.pods[1].netns, target);
    connect(&world.pods[0].netns, target).expect_err("an interface without program passes");
    let closed = handle.report().borrow().closed_interfaces.clone();
    assert_eq!(closed, ["bhl0", "bhl1"]);

    let report = enforce(&handle, mk_allow_all(&world, 1));
    assert_eq!((report.attached.len(), report.waiting.len()), (2, 0));
    let client = connect(&world.pods[0].netns, target).unwrap();
    let (server, _) = listener.accept().unwrap();
    talk(&client, &server).unwrap();
}
