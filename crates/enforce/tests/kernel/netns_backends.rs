//! Two back ends on one node: which one is taken, and from one to the other under traffic.

use std::net::UdpSocket;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use bulkhead_enforce::{BackendChoice, BackendKind, Node};
use bulkhead_wire::ClassId;

use crate::netns_node::{connect, enforce, listen, mk_program, talk};
use crate::world::{StopOnDrop, World, inside, sh, wait_for};

fn has_table(world: &World) -> bool {
    let listed =
        std::process::Command::new("nft").args(["list", "tables"]).output_in(&world.node());
    listed.contains("bulkhead")
}

trait OutputIn {
    fn output_in(&mut self, netns: &str) -> String;
}

impl OutputIn for std::process::Command {
    /// What it prints inside the namespace.
    fn output_in(&mut self, netns: &str) -> String {
        let output = inside(netns, || self.output().unwrap());
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{errors}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }
}

#[test]
fn ebpf_is_chosen_where_the_kernel_can_and_nftables_where_it_cannot() {
    let world = World::new(1);
    let mut options = world.options();
    options.backend = BackendChoice::Auto;
    let (handle, records) = Node::start(options.clone()).unwrap();
    assert_eq!(handle.report().borrow().backend, Some(BackendKind::Ebpf));
    drop((handle, records));
    Node::teardown(&world.pin_dir(), Some(&world.netns())).unwrap();

    let folder = tempfile::tempdir().unwrap();
    options.pin_dir = folder.path().join("bulkhead-no-bpffs");
    let (handle, records) = Node::start(options.clone()).unwrap();
    assert_eq!(handle.report().borrow().backend, Some(BackendKind::Nftables));
    assert!(has_table(&world));
    drop((handle, records));
    Node::teardown(&options.pin_dir, Some(&world.netns())).unwrap();
    assert!(!has_table(&world));

    options.backend = BackendChoice::Ebpf;
    let error = Node::start(options).map(|_| ()).unwrap_err().to_string();
    assert!(error.contains("not on a BPF file system"), "{error}");
}

#[test]
fn a_switch_of_back_ends_under_traffic_leaks_nothing_and_leaves_nothing() {
    let world = World::new(2);
    let program =
        |revision| mk_program(&world, revision, |maker| (maker.allow_ports(&[80]), maker.allow()));
    let start = |backend| {
        let mut options = world.options();
        options.backend = backend;
        Node::start(options).unwrap()
    };
    let mut node = start(BackendChoice::Ebpf);
    enforce(&node.0, program(1));
    let (client, server) = (&world.pods[0], &world.pods[1]);
    let denied = inside(&server.netns, || UdpSocket::bind(server.v4_port(81)).unwrap());
    denied.set_nonblocking(true).unwrap();
    let allowed = inside(&server.netns, || UdpSocket::bind(server.v4_port(80)).unwrap());
    allowed.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
    let stop = AtomicBool::new(false);
    let n_heard = AtomicU32::new(0);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let _stop = StopOnDrop(&stop);
            let knocker = inside(&client.netns, || UdpSocket::bind("0.0.0.0:0").unwrap());
            while !stop.load(Ordering::Relaxed) {
                for port in [80, 81] {
                    knocker.send_to(b"knock", server.v4_port(port)).unwrap();
                }
                if allowed.recv_from(&mut [0; 8]).is_ok() {
                    n_heard.fetch_add(1, Ordering::Relaxed);
                }
            }
        });
        let _stop = StopOnDrop(&stop);
        let hear = || {
            let before = n_heard.load(Ordering::Relaxed);
            wait_for("knocks", || (n_heard.load(Ordering::Relaxed) > before + 20).then_some(()));
        };
        hear();
        for revision in 2..8 {
            let is_nft = revision % 2 == 0;
            drop(node);
            node = start(if is_nft { BackendChoice::Nftables } else { BackendChoice::Ebpf });
            // The old one judges until the new one has its program.
            assert_eq!(node.0.report().borrow().revision.0, revision - 1);
            hear();
            enforce(&node.0, program(revision));
            assert_eq!(has_table(&world), is_nft);
            assert_eq!(world.pin_dir().join("links").exists(), !is_nft);
            hear();
            let listener = listen(&server.netns, server.v4_port(80));
            let stream = connect(&client.netns, server.v4_port(80)).unwrap();
            talk(&stream, &listener.accept().unwrap().0).unwrap();
        }
    });
    let got = denied.recv_from(&mut [0; 16]);
    assert!(got.is_err(), "a denied packet went through: {got:?}");
}

#[test]
fn a_new_interface_is_closed_while_back_ends_change() {
    let mut world = World::new(1);
    let mut options = world.options();
    options.backend = BackendChoice::Ebpf;
    let node = Node::start(options.clone()).unwrap();
    enforce(&node.0, mk_program(&world, 1, |maker| (maker.allow(), maker.allow())));
    drop(node);
    options.backend = BackendChoice::Nftables;
    let node = Node::start(options).unwrap();
    world.add_pod();
    wait_for("the new interface to be closed", || {
        node.0.report().borrow().closed_interfaces.contains(&"bhl1".to_owned()).then_some(())
    });
    let target = world.pods[1].v4_port(53);
    let stranger = inside(&world.pods[1].netns, || UdpSocket::bind(target).unwrap());
    stranger.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
    let known = inside(&world.pods[0].netns, || UdpSocket::bind("0.0.0.0:0").unwrap());
    known.send_to(b"q", target).unwrap();
    stranger.recv_from(&mut [0; 8]).expect_err("an interface without program passes");
    sh(&format!("ip -n {} link set bhl1 up", world.node()));
}

/// Other users of nftables on the node list all tables; some versions of `nft` abort at rules that the
/// kernel takes.
#[test]
fn nft_can_list_what_is_enforced() {
    let world = World::new(1);
    let mut options = world.options();
    options.backend = BackendChoice::Nftables;
    let (handle, _records) = Node::start(options).unwrap();
    let mut program = mk_program(&world, 1, |maker| (maker.allow_ports(&[80]), maker.allow()));
    for (n, prefix) in ["10.1.0.0/16", "10.1.2.0/24", "fd01::/16"].into_iter().enumerate() {
        Arc::make_mut(&mut program.classes).insert(prefix.parse().unwrap(), ClassId(5 + n as u64));
    }
    enforce(&handle, program);
    for format in [&["list", "ruleset"][..], &["-j", "list", "ruleset"]] {
        let listed = std::process::Command::new("nft").args(format).output_in(&world.node());
        let has = |text: &str| assert!(listed.contains(text), "{text} is not in {listed}");
        has("judge4-from-opener-0-x");
        has("10.1.2.0");
    }
}
