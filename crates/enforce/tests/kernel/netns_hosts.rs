//! Host endpoints in their four stages, and what a node translates: real interfaces, real packets, a
//! neighbour behind an interface of the node's own.

use std::io::{Read, Write};
use std::net::{SocketAddr, UdpSocket};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use bulkhead_enforce::BackendChoice;
use bulkhead_types::{
    Decision, Direction, EndpointId, FailsafePort, HostInterface, HostStage, Labels, Protocol,
    RuleRef, ToHost,
};
use bulkhead_wire::row::{Outcome, Row, Span, Spans};
use bulkhead_wire::{FlowEvent, HostProgram, NodeProgram, RuleId};

use crate::netns_node::{connect, enforce, is_closed, listen, mk_allow_all, mk_program, talk};
use crate::netns_services::{Proxy, translate};
use crate::programs::Maker;
use crate::world::{World, inside, sh, wait_for};

const IN: Direction = Direction::Ingress;
const OUT: Direction = Direction::Egress;
const NODE: &str = "192.0.2.1";
const NODE6: &str = "fd19::1";
pub const SHORT: Duration = Duration::from_millis(300);
const LONG: Duration = Duration::from_secs(8);

/// A neighbour of the node, at an interface that is no workload's.
pub struct Outside {
    pub netns: String,
}

impl Outside {
    pub fn new(world: &World) -> Self {
        let node = world.node();
        let netns = format!("{node}-out");
        sh(&format!(
            "set -e; ip netns add {netns}; ip -n {netns} link set lo up
             ip -n {node} link add wan0 type veth peer name eth0 netns {netns}
             ip -n {node} addr add {NODE}/24 dev wan0; ip -n {node} link set wan0 up
             ip -n {node} addr add {NODE6}/64 dev wan0 nodad
             ip -n {netns} addr add 192.0.2.9/24 dev eth0; ip -n {netns} link set eth0 up
             ip -n {netns} addr add fd19::9/64 dev eth0 nodad
             ip -n {netns} route add default via {NODE}
             ip -n {netns} -6 route add default via {NODE6}"
        ));
        Self { netns }
    }
}

impl Drop for Outside {
    fn drop(&mut self) {
        let _ = Command::new("ip").args(["netns", "del", &self.netns]).output();
    }
}

pub type Said<'a> = (HostStage, Direction, Row);

/// The stage says nothing but to these ranges of ports of TCP and UDP, about which it decides.
pub fn early(maker: &mut Maker, decision: Decision, ranges: &[(u16, u16)]) -> Row {
    let id = RuleId::of(&RuleRef::StageDefault);
    maker.program.rules.insert(id, RuleRef::StageDefault.into());
    let silence = bulkhead_wire::row::Leaf { decision: Decision::Allow, rule: id };
    // An early stage has the last word only by a rule that somebody wrote.
    let said = maker.leaf(decision, "early");
    let mut spans = vec![Span { start: 0, outcome: Outcome::Leaf(silence) }];
    for (first, last) in ranges {
        spans.push(Span { start: *first, outcome: Outcome::Leaf(said) });
        spans.push(Span { start: last + 1, outcome: Outcome::Leaf(silence) });
    }
    let spans = Spans::new(spans).unwrap();
    Row { tcp: spans.clone(), udp: spans, ..Row::uniform(silence) }
}

/// Adds a host endpoint that says this at these stages, to the program of `maker`.
pub fn add_host(maker: &mut Maker, interface: HostInterface, said: Vec<Said<'_>>) {
    let mut stages = bulkhead_wire::host::Stages::new();
    for (stage, direction, row) in said {
        let program = maker.judge(&row, &[]);
        let everywhere = ["0.0.0.0/0", "::/0"].map(|net| (net.parse().unwrap(), program));
        stages.insert((stage, direction), everywhere.into());
    }
    let id = EndpointId { kind: bulkhead_types::EndpointKind::Host, ..EndpointId::pod("", "node") };
    let ssh = FailsafePort { protocol: Protocol::TCP, port: 22, net: None };
    let host = HostProgram {
        id: id.clone(),
        labels: Labels::default(),
        interface,
        addresses: vec![NODE.parse().unwrap()],
        stages,
        staged: Default::default(),
        failsafe_inbound: vec![ssh],
        failsafe_outbound: vec![],
    };
    maker.program.hosts.insert(id, host.into());
}

/// Everything is allowed to the pods of the world; the host says `said`.
fn mk_host_program(
    world: &World,
    revision: u64,
    said: impl FnOnce(&mut Maker) -> Vec<Said<'static>>,
) -> NodeProgram {
    let mut maker = Maker { program: mk_allow_all(world, revision) };
    let said = said(&mut maker);
    add_host(&mut maker, HostInterface::All, said);
    maker.program
}

pub fn at(address: &str, port: u16) -> SocketAddr {
    (address.parse::<std::net::IpAddr>().unwrap(), port).into()
}

#[test]
fn a_host_is_reached_where_its_rules_or_its_fail_safe_ports_say() {
    let world = World::new(0);
    let outside = Outside::new(&world);
    let (handle, _records) = world.start();
    let program = |revision, open: u16| {
        mk_host_program(&world, revision, |maker| {
            let inward = maker.allow_ports(&[open]);
            let outward = maker.allow_ports(&[443]);
            vec![(HostStage::Normal, IN, inward), (HostStage::Normal, OUT, outward)]
        })
    };
    enforce(&handle, program(1, 80));
    for node in [NODE, NODE6] {
        let listeners = [22, 80, 81].map(|port| listen(&world.node(), at(node, port)));
        connect(&outside.netns, at(node, 22)).expect("a fail-safe port");
        let open = connect(&outside.netns, at(node, 80)).expect("a port that a rule opens");
        let (served, _) = listeners[1].accept().unwrap();
        talk(&open, &served).unwrap();
        assert!(is_closed(&outside.netns, at(node, 81)), "a port that no rule opens");

        // Tightened: the next packet is cut, also of what was open. Loosened: it goes on.
        enforce(&handle, program(2, 81));
        (&open).write_all(b"late").unwrap();
        served.set_read_timeout(Some(SHORT)).unwrap();
        (&served).read_exact(&mut [0; 4]).expect_err("a cut connection goes on");
        connect(&outside.netns, at(node, 81)).expect("a port that is open now");
        enforce(&handle, program(3, 80));
    }
    let far = ["192.0.2.9", "fd19::9"];
    for address in far {
        let _listeners = [443, 444].map(|port| listen(&outside.netns, at(address, port)));
        connect(&world.node(), at(address, 443)).expect("what a rule lets out");
        assert!(is_closed(&world.node(), at(address, 444)), "what no rule lets out");
    }
    // Neighbours still find one another, and the host itself.
    sh(&format!("ip netns exec {} ip neigh flush all", world.node()));
    let _local = listen(&world.node(), at("127.0.0.1", 9));
    connect(&world.node(), at("127.0.0.1", 9)).unwrap();
}

#[test]
fn what_a_host_forwards_meets_its_forward_stage_only() {
    let world = World::new(2);
    let outside = Outside::new(&world);
    let (handle, _records) = world.start();
    enforce(
        &handle,
        mk_host_program(&world, 1, |maker| {
            let (closed, some) = (maker.deny(), maker.allow_ports(&[80]));
            vec![(HostStage::Normal, IN, closed), (HostStage::Forward, IN, some)]
        }),
    );
    let [pod, other] = [0, 1].map(|n: usize| &world.pods[n]);
    let listeners = [pod.v4_port(80), pod.v6_port(80), pod.v4_port(81)];
    let listeners = listeners.map(|at| listen(&pod.netns, at));
    for (n, target) in [pod.v4_port(80), pod.v6_port(80)].into_iter().enumerate() {
        let client = connect(&outside.netns, target).expect("what is forwarded");
        let (served, _) = listeners[n].accept().unwrap();
        talk(&client, &served).unwrap();
    }
    assert!(is_closed(&outside.netns, pod.v4_port(81)), "what is not forwarded");
    connect(&other.netns, pod.v4_port(81)).expect("workloads of one node meet no host endpoint");
    // What goes out has no say against it, and its answers come back.
    let far = listen(&outside.netns, at("192.0.2.9", 7));
    let client = connect(&pod.netns, at("192.0.2.9", 7)).unwrap();
    let (served, _) = far.accept().unwrap();
    talk(&client, &served).unwrap();
}

#[test]
fn before_translation_a_node_port_can_be_closed_and_answers_are_not_new() {
    let world = World::new(1);
    let outside = Outside::new(&world);
    let (handle, _records) = world.start();
    let pod = &world.pods[0];
    translate(&world, Proxy::Nftables, (NODE, 30080), (pod.v4, 80));
    translate(&world, Proxy::Nftables, (NODE, 30081), (pod.v4, 80));
    enforce(
        &handle,
        mk_host_program(&world, 1, |maker| {
            let closed = [(30_080, 30_080), (32_768, 60_999)];
            vec![(HostStage::PreDnat, IN, early(maker, Decision::Deny, &closed))]
        }),
    );
    let _listener = listen(&pod.netns, pod.v4_port(80));
    assert!(is_closed(&outside.netns, at(NODE, 30080)), "a node port that is closed");
    connect(&outside.netns, at(NODE, 30081)).expect("a node port that nobody speaks of");
    // Answers go to ports that are closed to what is new.
    let _far = listen(&outside.netns, at("192.0.2.9", 7));
    connect(&world.node(), at("192.0.2.9", 7)).expect("an answer was taken for something new");
    connect(&pod.netns, at("192.0.2.9", 7)).expect("an answer to a workload");
}

#[test]
fn an_early_allow_is_the_hosts_last_word_and_an_early_deny_needs_no_memory() {
    let world = World::new(1);
    let outside = Outside::new(&world);
    let (handle, mut records) = world.start();
    enforce(
        &handle,
        mk_host_program(&world, 1, |maker| {
            let (denied, closed) = (early(maker, Decision::Deny, &[(82, 82)]), maker.deny());
            let mut first = denied;
            let allowed = early(maker, Decision::Allow, &[(81, 81)]);
            first.udp = allowed.udp;
            vec![(HostStage::Untracked, IN, first), (HostStage::Normal, IN, closed)]
        }),
    );
    let receive = |port: u16| {
        let socket = inside(&world.node(), || UdpSocket::bind(at(NODE, port)).unwrap());
        socket.set_read_timeout(Some(SHORT)).unwrap();
        let sender = inside(&outside.netns, || UdpSocket::bind("0.0.0.0:0").unwrap());
        sender.send_to(b"hello", at(NODE, port)).unwrap();
        socket.recv(&mut [0; 8]).is_ok()
    };
    assert!(receive(81), "the untracked stage has the last word");
    assert!(!receive(83), "it says nothing, and the normal stage denies");
    let _listener = listen(&world.node(), at(NODE, 82));
    assert!(is_closed(&outside.netns, at(NODE, 82)));
    wait_for("the denial of the untracked stage", || {
        let record = records.try_recv().ok()?;
        (record.event == FlowEvent::Denied && record.packet.dst_port == 82).then_some(())
    });
}

#[test]
fn an_endpoint_of_one_interface_says_nothing_about_others() {
    let world = World::new(0);
    let outside = Outside::new(&world);
    let (handle, _records) = world.start();
    let of = |interface: HostInterface, revision| {
        let mut maker = Maker::new(revision);
        let closed = maker.deny();
        add_host(&mut maker, interface, vec![(HostStage::Normal, IN, closed)]);
        maker.program
    };
    let _listener = listen(&world.node(), at(NODE, 80));
    enforce(&handle, of(HostInterface::Named("wan9".to_owned()), 1));
    connect(&outside.netns, at(NODE, 80)).expect("an interface that nobody stands for");
    enforce(&handle, of(HostInterface::Named("wan0".to_owned()), 2));
    assert!(is_closed(&outside.netns, at(NODE, 80)), "by name");
    enforce(&handle, of(HostInterface::ByAddress, 3));
    assert!(is_closed(&outside.netns, at(NODE, 80)), "by address");
    enforce(&handle, Maker::new(4).program);
    connect(&outside.netns, at(NODE, 80)).expect("nobody stands there any more");
}

#[test]
fn a_workload_reaches_its_host_where_the_setting_allows_and_is_always_reached() {
    let world = World::new(1);
    let (handle, mut records) = world.start();
    let pod = &world.pods[0];
    let program = |revision, to_host| {
        let mut program = mk_program(&world, revision, |maker| (maker.deny(), maker.allow()));
        program.to_host = to_host;
        program
    };
    sh(&format!("ip -n {} addr add {NODE}/32 dev lo", world.node()));
    let host = listen(&world.node(), at(NODE, 80));
    enforce(&handle, program(1, ToHost::Accept));
    let client = connect(&pod.netns, at(NODE, 80)).unwrap();
    let (served, _) = host.accept().unwrap();
    talk(&client, &served).unwrap();
    enforce(&handle, program(2, ToHost::Drop));
    assert!(is_closed(&pod.netns, at(NODE, 80)), "the setting says drop");
    (&client).write_all(b"late").unwrap();
    served.set_read_timeout(Some(SHORT)).unwrap();
    (&served).read_exact(&mut [0; 4]).expect_err("what was open goes on");
    wait_for("the denial by the setting", || {
        (records.try_recv().ok()?.verdict.rule == RuleRef::WorkloadToHost).then_some(())
    });
    let listener = listen(&pod.netns, pod.v4_port(80));
    let client = connect(&world.node(), pod.v4_port(80)).expect("a host reaches its workloads");
    let (served, _) = listener.accept().unwrap();
    talk(&client, &served).unwrap();
}

#[test]
fn fragments_of_a_new_flow_pass_together_or_not_at_all() {
    let world = World::new(2);
    let (handle, _records) = world.start();
    enforce(&handle, mk_program(&world, 1, |maker| (maker.allow_ports(&[80]), maker.allow())));
    for (port, passes) in [(80, true), (81, false)] {
        for target in [world.pods[1].v4_port(port), world.pods[1].v6_port(port)] {
            let server = inside(&world.pods[1].netns, || UdpSocket::bind(target).unwrap());
            server.set_read_timeout(Some(if passes { LONG } else { SHORT })).unwrap();
            let any: SocketAddr = if target.is_ipv4() { at("0.0.0.0", 0) } else { at("::", 0) };
            let client = inside(&world.pods[0].netns, || UdpSocket::bind(any).unwrap());
            client.send_to(&[7; 9_000], target).unwrap();
            let mut buffer = [0; 9_001];
            assert_eq!(server.recv(&mut buffer).ok(), passes.then_some(9_000), "{target}");
        }
    }
}

/// Denies everything from the class, which a rule logs before, and says nothing to others.
fn add_deny_set(maker: &mut Maker, nets: &[(String, u64)]) {
    let silent = early(maker, Decision::Deny, &[]);
    let denied = maker.leaf(Decision::Deny, "blocklist");
    let denied = maker.behind(denied, &["watch"]);
    let (denied, host) = (Row::uniform(denied), HostInterface::All);
    for (net, class) in nets {
        maker.class(net, bulkhead_wire::ClassId(*class));
    }
    let program = maker.judge(&silent, &[(bulkhead_wire::ClassId(66), &denied)]);
    add_host(maker, host, vec![]);
    for host in maker.program.hosts.values_mut() {
        let everywhere = ["0.0.0.0/0", "::/0"].map(|net| (net.parse().unwrap(), program));
        let stages = &mut Arc::make_mut(host).stages;
        stages.insert((HostStage::Untracked, IN), everywhere.into());
    }
}

#[test]
fn a_deny_set_is_dropped_by_the_driver_but_not_its_holes_or_fail_safe_ports() {
    let world = World::new(0);
    let outside = Outside::new(&world);
    let (handle, mut records) = world.start_on(BackendChoice::Ebpf);
    let others = (0..6_000u32).map(|n| (format!("198.18.{}.{}/32", n / 250, n % 250), 66));
    let mk_program = |revision, own: &[(&str, u64)]| {
        let mut maker = Maker::new(revision);
        let own = own.iter().map(|(net, class)| ((*net).to_owned(), *class));
        add_deny_set(&mut maker, &others.clone().chain(own).collect::<Vec<_>>());
        maker.program
    };
    let node = world.node();
    let _listeners = [22, 80].map(|port| listen(&node, at(NODE, port)));
    let _listeners6 = [22, 80].map(|port| listen(&node, at(NODE6, port)));
    // More than the maps of classes of this small node hold.
    enforce(&handle, mk_program(1, &[("192.0.2.0/24", 66), ("fd19::/64", 66)]));
    let filter = Command::new("ip").args(["-n", &node, "link", "show", "wan0"]).output().unwrap();
    let filter = String::from_utf8_lossy(&filter.stdout).into_owned();
    assert!(filter.contains("xdp"), "the driver has no program: {filter}");
    for address in [NODE, NODE6] {
        assert!(is_closed(&outside.netns, at(address, 80)), "{address} from the set");
        connect(&outside.netns, at(address, 22)).expect("a fail-safe port");
    }
    let record = wait_for("what is told about it", || {
        let record = records.try_recv().ok()?;
        (record.packet.dst_port == 80).then_some(record)
    });
    assert_eq!(record.verdict.rule, crate::programs::mk_rule("blocklist"));
    assert_eq!(record.verdict.logged, [crate::programs::mk_rule("watch")]);
    sh(&format!("ip netns exec {} ip neigh flush all", outside.netns));

    enforce(
        &handle,
        mk_program(2, &[("192.0.2.0/24", 66), ("192.0.2.9/32", 5), ("fd19::/64", 66)]),
    );
    connect(&outside.netns, at(NODE, 80)).expect("a hole in the set");
    assert!(is_closed(&outside.netns, at(NODE6, 80)));
    enforce(&handle, mk_program(3, &[]));
    for address in [NODE, NODE6] {
        connect(&outside.netns, at(address, 80)).expect("not in the set any more");
    }
    enforce(&handle, Maker::new(4).program);
    let filter = Command::new("ip").args(["-n", &node, "link", "show", "wan0"]).output().unwrap();
    assert!(!String::from_utf8_lossy(&filter.stdout).contains("xdp"), "the program stays behind");
}

#[test]
fn nothing_is_routed_to_or_from_an_interface_before_the_agent_knows_it() {
    let mut world = World::new(1);
    let mut options = world.options();
    // Interfaces are looked at only when something tells; so the agent is stopped while one comes.
    options.sweep_ms = 100_000;
    let (handle, records) = bulkhead_enforce::Node::start(options).unwrap();
    enforce(&handle, mk_allow_all(&world, 1));
    drop((handle, records));
    std::thread::sleep(Duration::from_millis(200));
    world.add_pod();
    let [known, new] = [0, 1].map(|n: usize| &world.pods[n]);
    // Neighbour discovery with the host always works: the gateway of the pod is found.
    let asker = inside(&new.netns, || UdpSocket::bind("[::]:0").unwrap());
    wait_for("the gateway's link address", || {
        asker.send_to(b"hello", known.v6_port(9)).unwrap();
        let show = ["-n", &new.netns, "-6", "neigh", "show", "fe80::1"];
        let shown = Command::new("ip").args(show).output().unwrap();
        String::from_utf8_lossy(&shown.stdout).contains("lladdr").then_some(())
    });
    for (from, to) in [(known, new), (new, known)] {
        for target in [to.v4_port(80), to.v6_port(80)] {
            let listener = listen(&to.netns, target);
            assert!(is_closed(&from.netns, target), "{target} is reached unjudged");
            drop(listener);
        }
    }
    let (handle, _records) = world.start();
    enforce(&handle, mk_allow_all(&world, 2));
    let _listener = listen(&new.netns, new.v4_port(80));
    connect(&known.netns, new.v4_port(80)).expect("judged, and allowed");
}
