//! Two back ends on one node: which one is taken, and from one to the other under traffic.

use std::net::UdpSocket;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use bulkhead_enforce::{BackendChoice, BackendKind, Node, NodeHandle, NodeOptions};
use bulkhead_types::{Decision, Direction, HostInterface, HostStage};
use bulkhead_wire::{ClassId, Judges};

use crate::netns_hosts::{add_host, at, early};
use crate::netns_node::{connect, enforce, listen, mk_program, talk};
use crate::netns_services::{Proxy, translate};
use crate::programs::Maker;
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
fn a_service_leads_to_its_back_end_after_every_switch_of_back_ends() {
    let world = World::new(2);
    let [client, server] = [0, 1].map(|n: usize| &world.pods[n]);
    translate(&world, Proxy::Nftables, ("10.96.0.1", 80), (server.v4, 8080));
    // The client may reach the server's own address and nothing else, the Service's neither.
    let program = |revision| {
        let (mut maker, class) = (Maker::new(revision), ClassId(7));
        maker.class(&format!("{}/32", server.v4), class);
        let (all, none) = (maker.allow(), maker.deny());
        let free = maker.judge(&all, &[]);
        let egress = maker.judge(&none, &[(class, &all)]);
        maker.endpoint("client", &client.addresses(), Judges { ingress: free, egress });
        maker.endpoint("server", &server.addresses(), Judges { ingress: free, egress: free });
        maker.program
    };
    let _listener = listen(&server.netns, server.v4_port(8080));
    let mut backends = [BackendChoice::Ebpf, BackendChoice::Nftables].into_iter().cycle();
    for revision in 1..5 {
        let backend = backends.next().unwrap();
        let (handle, _records) = world.start_on(backend);
        enforce(&handle, program(revision));
        connect(&client.netns, at("10.96.0.1", 80))
            .unwrap_or_else(|error| panic!("program {revision}, on {backend:?}: {error}"));
    }
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
        program.classes.insert(prefix.parse().unwrap(), ClassId(5 + n as u64));
    }
    let mut maker = Maker { program };
    let row = early(&mut maker, Decision::Deny, &[(81, 99)]);
    let stages = [
        (HostStage::Untracked, Direction::Ingress, row.clone()),
        (HostStage::Normal, Direction::Egress, row),
    ];
    add_host(&mut maker, HostInterface::All, stages.into());
    sh(&format!("ip -n {} link add br7 type bridge", world.node()));
    enforce(&handle, maker.program);
    wait_for("the host endpoint at the new link", || {
        let listed =
            std::process::Command::new("nft").args(["list", "ruleset"]).output_in(&world.node());
        let at = listed.find("map safe4-").and_then(|at| listed.get(at..));
        at.is_some_and(|at| at.contains("elements")).then_some(())
    });
    for format in [&["list", "ruleset"][..], &["-j", "list", "ruleset"]] {
        let listed = std::process::Command::new("nft").args(format).output_in(&world.node());
        let has = |text: &str| assert!(listed.contains(text), "{text} is not in {listed}");
        has("judge4-from-opener-0-x");
        has("10.1.2.0");
    }
}

/// A node on nftables with two pods, of which port 80 is open.
fn mk_nft_world() -> (World, NodeHandle) {
    mk_nft_world_that(true)
}

/// Whether nobody else can change its table.
fn mk_nft_world_that(guards_tables: bool) -> (World, NodeHandle) {
    let world = World::new(2);
    let options =
        NodeOptions { backend: BackendChoice::Nftables, guards_tables, ..world.options() };
    let (handle, records) = Node::start(options).unwrap();
    std::mem::forget(records);
    enforce(&handle, mk_program(&world, 1, |maker| (maker.allow_ports(&[80]), maker.allow())));
    (world, handle)
}

fn table_of(world: &World) -> String {
    format!("bulkhead-{}", world.pin_dir().file_name().unwrap().to_string_lossy())
}

/// Whether `nft` carries out these lines in the node's namespace.
fn nft(world: &World, lines: &str) -> bool {
    let script = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(script.path(), lines.replace(" ; ", "\n") + "\n").unwrap();
    let mut nft = std::process::Command::new("nft");
    inside(&world.node(), || nft.arg("-f").arg(script.path()).output().unwrap()).status.success()
}

/// Whether a datagram from one pod to the other arrives.
fn arrives(world: &World, port: u16) -> bool {
    let target = world.pods[1].v4_port(port);
    let receiver = inside(&world.pods[1].netns, || UdpSocket::bind(target).unwrap());
    receiver.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
    let sender = inside(&world.pods[0].netns, || UdpSocket::bind("0.0.0.0:0").unwrap());
    sender.send_to(b"q", target).unwrap();
    receiver.recv_from(&mut [0; 8]).is_ok()
}

#[test]
fn nobody_else_changes_the_table_while_the_agent_is_there() {
    let (world, handle) = mk_nft_world();
    let table = table_of(&world);
    for change in [
        format!("delete table inet {table}"),
        format!("insert rule inet {table} forward accept"),
        format!("flush map inet {table} out4-0"),
    ] {
        assert!(!nft(&world, &change), "`{change}` was carried out");
    }
    // Firewall services do this whenever they are started or stopped.
    assert!(nft(&world, "flush ruleset"));
    assert!(has_table(&world));
    assert!(!arrives(&world, 81));
    assert!(arrives(&world, 80));
    assert_eq!(handle.report().borrow().drift, Vec::<String>::new());
}

#[test]
fn the_next_agent_takes_a_guarded_table_over() {
    let (world, handle) = mk_nft_world();
    let table = table_of(&world);
    drop(handle);
    assert!(has_table(&world), "the table has gone with its agent");
    assert!(!arrives(&world, 81));
    assert!(arrives(&world, 80));
    let (handle, _records) = world.start_on(BackendChoice::Nftables);
    assert!(!nft(&world, &format!("delete table inet {table}")), "guarded before any program");
    assert!(arrives(&world, 80));
    drop(handle);
    // One that does not guard, as of an older version, goes on with it, and it is anybody's.
    let options =
        NodeOptions { backend: BackendChoice::Nftables, guards_tables: false, ..world.options() };
    let (handle, _records) = Node::start(options).unwrap();
    enforce(&handle, mk_program(&world, 2, |maker| (maker.allow_ports(&[80]), maker.allow())));
    assert!(arrives(&world, 80));
    drop(handle);
    // One that guards takes over what was not made for that, once it has a program.
    let (handle, _records) = world.start_on(BackendChoice::Nftables);
    enforce(&handle, mk_program(&world, 3, |maker| (maker.allow_ports(&[80]), maker.allow())));
    assert!(!nft(&world, &format!("delete table inet {table}")));
    assert!(!arrives(&world, 81));
}

#[test]
fn an_agent_that_starts_before_the_last_one_has_ended_waits_for_it() {
    let (world, handle) = mk_nft_world();
    let options = NodeOptions { backend: BackendChoice::Nftables, ..world.options() };
    let has_ended = AtomicBool::new(false);
    let next = std::thread::scope(|scope| {
        let next = scope.spawn(|| {
            let next = Node::start(options).unwrap();
            assert!(has_ended.load(Ordering::Relaxed), "two agents hold one table");
            next
        });
        assert!(arrives(&world, 80));
        assert!(!arrives(&world, 81));
        has_ended.store(true, Ordering::Relaxed);
        drop(handle);
        next.join().unwrap()
    });
    enforce(&next.0, mk_program(&world, 2, |maker| (maker.allow_ports(&[81]), maker.allow())));
    assert!(arrives(&world, 81));
}

#[test]
fn what_somebody_changes_in_the_table_is_put_back_and_told() {
    let (world, handle) = mk_nft_world_that(false);
    let table = table_of(&world);
    for change in [
        format!("delete table inet {table}"),
        format!("insert rule inet {table} forward accept"),
        format!("flush chain inet {table} from-forward"),
        format!("flush map inet {table} out4-0 ; flush map inet {table} out4-1"),
        "flush ruleset".to_owned(),
    ] {
        let told = handle.report().borrow().drift.len();
        assert!(nft(&world, &change), "`{change}` was refused");
        let began = Instant::now();
        wait_for(&format!("what undoes `{change}`"), || {
            (handle.report().borrow().drift.len() > told).then_some(())
        });
        println!("`{change}` was undone {:?} later at most", began.elapsed());
        assert!(!arrives(&world, 81), "a denied packet passes after `{change}`");
        assert!(arrives(&world, 80), "an allowed packet is dropped after `{change}`");
    }
}

#[test]
fn who_has_a_link_address_sends_by_no_other_on_nftables() {
    let (world, handle) = mk_nft_world();
    let mut program = mk_program(&world, 2, |maker| (maker.allow_ports(&[80]), maker.allow()));
    let netns = &world.pods[0].netns;
    sh(&format!("ip -n {netns} link set eth0 address 02:00:00:00:00:01"));
    for endpoint in program.endpoints.values_mut() {
        if endpoint.id.name == "pod0" {
            Arc::make_mut(endpoint).mac = Some([2, 0, 0, 0, 0, 1].try_into().unwrap());
        }
    }
    enforce(&handle, program);
    assert!(arrives(&world, 80));
    sh(&format!("ip -n {netns} link set eth0 address 02:00:00:00:00:02"));
    sh(&format!("ip -n {} neigh flush all", world.node()));
    assert!(!arrives(&world, 80), "a frame in another's name passes");
    sh(&format!("ip -n {netns} link set eth0 address 02:00:00:00:00:01"));
    sh(&format!("ip -n {} neigh flush all", world.node()));
    assert!(arrives(&world, 80));
}

#[test]
fn a_port_of_a_bridge_is_closed_and_named_on_nftables() {
    let (world, handle) = mk_nft_world();
    let node = world.node();
    sh(&format!(
        "set -e; ip -n {node} link add br0 type bridge; ip -n {node} link set br0 up
         for n in 0 1; do
           ip -n {node} link add bhlb$n type veth peer name eth9 netns {}
           ip -n {node} link set bhlb$n master br0 up
           ip -n {} link set eth9 name eth9b$n netns {}
         done",
        world.pods[0].netns, world.pods[0].netns, world.pods[0].netns
    ));
    wait_for("the ports to be named", || {
        let report = handle.report().borrow().clone();
        let named = |name: &str| report.drift.iter().any(|said| said.contains(name));
        (named("`bhlb0`") && named("`bhlb1`")).then_some(())
    });
    let netns = &world.pods[0].netns;
    sh(&format!(
        "set -e; ip -n {netns} addr add 10.99.0.1/24 dev eth9b0; ip -n {netns} link set eth9b0 up
         ip netns add {node}-x; ip -n {netns} link set eth9b1 netns {node}-x
         ip -n {node}-x addr add 10.99.0.2/24 dev eth9b1; ip -n {node}-x link set eth9b1 up"
    ));
    let receiver = inside(&format!("{node}-x"), || UdpSocket::bind("10.99.0.2:80").unwrap());
    receiver.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
    let sender = inside(netns, || UdpSocket::bind("10.99.0.1:0").unwrap());
    sender.send_to(b"q", "10.99.0.2:80").unwrap();
    let got = receiver.recv_from(&mut [0; 8]);
    sh(&format!("ip netns del {node}-x"));
    got.expect_err("a packet crosses the bridge unjudged");
    assert!(arrives(&world, 80));
}
