//! One node with real interfaces and real packets.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use bulkhead_enforce::{BackendChoice, Node, NodeHandle};
use bulkhead_types::EndpointId;
use bulkhead_wire::row::Row;
use bulkhead_wire::{FlowEvent, Judges, NodeProgram};

use crate::programs::Maker;
use crate::world::{StopOnDrop, World, backend, inside, sh, wait_for};

/// So long a test waits for what must not come.
const SHORT: Duration = Duration::from_millis(300);
/// And so long for what must, on a machine that does other things too.
const LONG: Duration = Duration::from_secs(8);

pub fn enforce(handle: &NodeHandle, program: NodeProgram) -> bulkhead_enforce::EnforceReport {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(handle.enforce(Arc::new(program))).unwrap()
}

/// Every pod of the world, all with these rows about everybody.
pub fn mk_program(
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

pub fn mk_allow_all(world: &World, revision: u64) -> NodeProgram {
    mk_program(world, revision, |maker| (maker.allow(), maker.allow()))
}

pub fn connect(netns: &str, to: SocketAddr) -> std::io::Result<TcpStream> {
    inside(netns, || TcpStream::connect_timeout(&to, LONG))
}

pub fn is_closed(netns: &str, to: SocketAddr) -> bool {
    inside(netns, || TcpStream::connect_timeout(&to, SHORT)).is_err()
}

pub fn listen(netns: &str, at: SocketAddr) -> TcpListener {
    inside(netns, || TcpListener::bind(at).unwrap())
}

/// Sends a line each way.
pub fn talk(client: &TcpStream, server: &TcpStream) -> std::io::Result<()> {
    talk_within(LONG, client, server)
}

fn talk_within(patience: Duration, client: &TcpStream, server: &TcpStream) -> std::io::Result<()> {
    for (mut from, mut to) in [(client, server), (server, client)] {
        to.set_read_timeout(Some(patience))?;
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
    assert!(is_closed(&world.pods[0].netns, target), "an interface without program passes");
    let closed = handle.report().borrow().closed_interfaces.clone();
    assert_eq!(closed, ["bhl0", "bhl1"]);

    let report = enforce(&handle, mk_allow_all(&world, 1));
    assert_eq!((report.attached.len(), report.waiting.len()), (2, 0));
    let client = connect(&world.pods[0].netns, target).unwrap();
    let (server, _) = listener.accept().unwrap();
    talk(&client, &server).unwrap();
}

#[test]
fn late_deny_closes_established_flow() {
    let world = World::new(2);
    let (handle, mut records) = world.start();
    enforce(&handle, mk_allow_all(&world, 1));
    let ends = [world.pods[1].v4_port(80), world.pods[1].v6_port(80)].map(|target| {
        let listener = listen(&world.pods[1].netns, target);
        let client = connect(&world.pods[0].netns, target).unwrap();
        let (server, _) = listener.accept().unwrap();
        talk(&client, &server).unwrap();
        (client, server)
    });
    enforce(&handle, mk_program(&world, 2, |maker| (maker.allow_ports(&[81]), maker.allow())));
    for (client, server) in &ends {
        talk_within(SHORT, client, server).expect_err("a denied connection goes on");
    }
    let mut n_late = 0;
    wait_for("both late denials", || {
        while let Ok(record) = records.try_recv() {
            if record.event == FlowEvent::LateDenied {
                assert_eq!((record.packet.dst_port, record.revision.0), (80, 2));
                n_late += 1;
            }
        }
        (n_late >= 2).then_some(())
    });
}

#[test]
fn both_ends_of_a_cut_connection_are_reset_where_that_is_wanted() {
    let world = World::new(2);
    let mut options = world.options();
    options.resets = true;
    let (handle, _records) = bulkhead_enforce::Node::start(options).unwrap();
    let [from, to] = [0, 1].map(|n: usize| &world.pods[n]);
    for (n, target) in [to.v4_port(80), to.v6_port(80)].into_iter().enumerate() {
        let revision = 1 + n as u64 * 2;
        enforce(&handle, mk_allow_all(&world, revision));
        let listener = listen(&to.netns, target);
        let client = connect(&from.netns, target).unwrap();
        let (server, _) = listener.accept().unwrap();
        talk(&client, &server).unwrap();
        let closed = mk_program(&world, revision + 1, |maker| (maker.deny(), maker.allow()));
        enforce(&handle, closed);
        (&server).write_all(b"late").unwrap();
        for end in [&client, &server] {
            end.set_read_timeout(Some(LONG)).unwrap();
            let end = (&*end).read(&mut [0; 8]);
            let error = end.expect_err("a cut connection goes on");
            assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset, "{target}");
        }
    }
}

#[test]
fn loosening_does_not_disturb() {
    let world = World::new(2);
    let (handle, _records) = world.start();
    enforce(&handle, mk_program(&world, 1, |maker| (maker.allow_ports(&[80]), maker.allow())));
    let target = world.pods[1].v4_port(80);
    let listener = listen(&world.pods[1].netns, target);
    let client = connect(&world.pods[0].netns, target).unwrap();
    let (server, _) = listener.accept().unwrap();
    for revision in 2..50 {
        let ports: Vec<u16> = (0..revision as u16).map(|n| 80 + n * 2).collect();
        enforce(
            &handle,
            mk_program(&world, revision, |maker| (maker.allow_ports(&ports), maker.allow())),
        );
        talk(&client, &server).unwrap();
    }
}

#[test]
fn a_restart_under_traffic_cuts_nothing_and_leaks_nothing() {
    let world = World::new(2);
    let (handle, records) = world.start();
    let program =
        |revision| mk_program(&world, revision, |maker| (maker.allow_ports(&[80]), maker.allow()));
    enforce(&handle, program(1));
    let target = world.pods[1].v4_port(80);
    let listener = listen(&world.pods[1].netns, target);
    let denied =
        inside(&world.pods[1].netns, || UdpSocket::bind(world.pods[1].v4_port(81)).unwrap());
    denied.set_nonblocking(true).unwrap();
    let knocker = inside(&world.pods[0].netns, || UdpSocket::bind("0.0.0.0:0").unwrap());
    let client = connect(&world.pods[0].netns, target).unwrap();
    let (server, _) = listener.accept().unwrap();
    let stop = AtomicBool::new(false);
    let n_talks = AtomicU32::new(0);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let _stop = StopOnDrop(&stop);
            while !stop.load(Ordering::Relaxed) {
                talk(&client, &server).expect("the connection was cut");
                knocker.send_to(b"knock", world.pods[1].v4_port(81)).unwrap();
                n_talks.fetch_add(1, Ordering::Relaxed);
            }
        });
        let _stop = StopOnDrop(&stop);
        let more_talk = || {
            let before = n_talks.load(Ordering::Relaxed);
            wait_for("traffic", || (n_talks.load(Ordering::Relaxed) > before + 20).then_some(()));
        };
        drop((handle, records));
        more_talk();
        for revision in 2..6 {
            // What was enforced holds while nobody is there, and after someone came.
            let (handle, records) = world.start();
            assert_eq!(handle.report().borrow().revision.0, revision - 1);
            more_talk();
            enforce(&handle, program(revision));
            more_talk();
            connect(&world.pods[0].netns, target).unwrap();
            drop((handle, records));
            more_talk();
        }
    });
    let got = denied.recv_from(&mut [0; 16]);
    assert!(got.is_err(), "a denied packet went through: {got:?}");
}

#[test]
fn a_reused_address_inherits_nothing() {
    let mut world = World::new(2);
    let (handle, _records) = world.start();
    enforce(&handle, mk_allow_all(&world, 1));
    let client =
        inside(&world.pods[0].netns, || UdpSocket::bind(world.pods[0].v4_port(4_000)).unwrap());
    let target = world.pods[1].v4_port(53);
    let server = inside(&world.pods[1].netns, || UdpSocket::bind(target).unwrap());
    client.send_to(b"first", target).unwrap();
    server.recv_from(&mut [0; 16]).unwrap();
    drop(server);

    let gone = world.pods.remove(1);
    sh(&format!("ip netns del {}", gone.netns));
    enforce(&handle, mk_allow_all(&world, 2));
    world.add_pod_named("heir", 2);
    wait_for("the new interface to be closed", || {
        handle.report().borrow().closed_interfaces.contains(&"bhlheir".to_owned()).then_some(())
    });
    let heir = inside(&world.pods[1].netns, || UdpSocket::bind(target).unwrap());
    heir.set_read_timeout(Some(SHORT)).unwrap();
    client.send_to(b"second", target).unwrap();
    heir.recv_from(&mut [0; 16]).expect_err("a pod without a program is reached");

    let allow_81 = mk_program(&world, 3, |maker| (maker.allow_ports(&[81]), maker.allow()));
    enforce(&handle, allow_81);
    client.send_to(b"third", target).unwrap();
    heir.recv_from(&mut [0; 16]).expect_err("the old pod's flow lets packets through");
    enforce(&handle, mk_allow_all(&world, 4));
    heir.set_read_timeout(Some(LONG)).unwrap();
    client.send_to(b"fourth", target).unwrap();
    assert_eq!(heir.recv_from(&mut [0; 16]).unwrap().0, 6);
}

#[test]
fn a_program_that_does_not_fit_leaves_the_last_good_one() {
    let world = World::new(2);
    let (handle, _records) = world.start();
    enforce(&handle, mk_program(&world, 1, |maker| (maker.allow_ports(&[80]), maker.allow())));
    let mut too_big = mk_allow_all(&world, 2);
    for n in 0..5_000u16 {
        let [a, b] = n.to_be_bytes();
        let address = std::net::IpAddr::from([10, 9, a, b]);
        too_big.classes.insert(address.into(), bulkhead_wire::ClassId(9));
    }
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let error = runtime.block_on(handle.enforce(Arc::new(too_big))).unwrap_err();
    let text = error.to_string();
    assert!(text.contains("`classes4`: it needs 5000 entries, 4096 are available"), "{text}");
    assert_eq!(handle.report().borrow().revision.0, 1);
    let listener = listen(&world.pods[1].netns, world.pods[1].v4_port(80));
    let other = listen(&world.pods[1].netns, world.pods[1].v4_port(82));
    connect(&world.pods[0].netns, listener.local_addr().unwrap()).unwrap();
    assert!(is_closed(&world.pods[0].netns, other.local_addr().unwrap()));
}

#[test]
fn a_pod_that_comes_later_is_found_by_its_route() {
    let mut world = World::new(1);
    let (handle, _records) = world.start();
    world.add_pod();
    let mut program = mk_allow_all(&world, 1);
    let elsewhere = EndpointId::pod("test", "elsewhere");
    let mut waiting = program.endpoints.values().next().unwrap().as_ref().clone();
    let judges = *waiting.addresses.values().next().unwrap();
    waiting.addresses = [("10.65.9.9".parse().unwrap(), judges)].into();
    program.endpoints.insert(elsewhere.clone(), waiting.into());
    let report = enforce(&handle, program);
    assert_eq!(report.waiting, [elsewhere]);
    wait_for("both pods", || (handle.report().borrow().attached.len() == 2).then_some(()));
    let listener = listen(&world.pods[1].netns, world.pods[1].v4_port(80));
    connect(&world.pods[0].netns, listener.local_addr().unwrap()).unwrap();
}

#[test]
fn a_pod_on_an_interface_of_any_name_is_found_by_its_route() {
    let mut world = World::new(1);
    let mut options = world.options();
    options.interface_prefixes = vec!["other".to_owned()];
    let (handle, _records) = Node::start(options).unwrap();
    let program = |world: &World, revision| {
        mk_program(world, revision, |maker| (maker.allow_ports(&[80]), maker.allow()))
    };
    let report = enforce(&handle, program(&world, 1));
    assert_eq!((report.attached.len(), report.waiting.len()), (1, 0), "there before its program");
    world.add_pod();
    // Its program comes before the route to it.
    let (node, later) = (world.node(), &world.pods[1]);
    let routes = [format!("route del {}/32", later.v4), format!("-6 route del {}/128", later.v6)];
    for route in &routes {
        sh(&format!("ip -n {node} {route} dev bhl1"));
    }
    let report = enforce(&handle, program(&world, 2));
    assert_eq!((report.attached.len(), report.waiting.len()), (1, 1));
    for route in &routes {
        sh(&format!("ip -n {node} {} dev bhl1", route.replace("del", "add")));
    }
    wait_for("both pods", || (handle.report().borrow().attached.len() == 2).then_some(()));
    for [client, server] in [[0, 1], [1, 0]].map(|both| both.map(|n: usize| &world.pods[n])) {
        let _listeners = [80, 81].map(|port| listen(&server.netns, server.v4_port(port)));
        connect(&client.netns, server.v4_port(80)).unwrap();
        assert!(is_closed(&client.netns, server.v4_port(81)), "{}", server.name);
    }
}

#[test]
fn teardown_leaves_nothing() {
    let world = World::new(1);
    let (handle, records) = world.start();
    if backend() == BackendChoice::Ebpf {
        assert!(world.pin_dir().join("links").read_dir().unwrap().count() == 2);
    }
    let report = handle.report();
    drop((handle, records));
    // The thread ends by itself; until then it would mend what is taken away.
    wait_for("its end", || report.has_changed().is_err().then_some(()));
    Node::teardown(&world.pin_dir(), Some(&world.netns())).unwrap();
    assert!(!world.pin_dir().exists());
    Node::teardown(&world.pin_dir(), Some(&world.netns())).unwrap();
}
