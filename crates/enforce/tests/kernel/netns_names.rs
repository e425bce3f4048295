//! Names from real resolvers to real connections.

use std::collections::BTreeSet;
use std::io::Write;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream, UdpSocket};
use std::time::Duration;

use bulkhead_enforce::dns::DnsOptions;
use bulkhead_enforce::{BackendKind, MapSizes, Node, NodeHandle, NodeOptions};
use bulkhead_types::{Decision, Direction, EndpointId, Names, Packet, Protocol};
use bulkhead_wire::{ClassId, FlowEvent, FlowRecord, Judges, NameSetId, NodeProgram, RowId, Tag};
use tokio::sync::mpsc;

use crate::dns::{
    A, AAAA, Client, Outside, STRANGER, TRUSTED, TRUSTED6, address4, address6, ask_tcp,
};
use crate::netns_node::enforce;
use crate::programs::Maker;
use crate::world::{World, inside, sh, wait_for};

/// What the node translates to a resolver outside.
const SERVICE: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 96, 0, 10));

const SHORT: Duration = Duration::from_millis(300);
const LONG: Duration = Duration::from_secs(8);

const BY_NAME: Tag = Tag(1);
const OTHER: Tag = Tag(2);
const CUT: Tag = Tag(3);

/// Every pod may ask resolvers, reach `*.by.test` and `one.test` at 80, and `*.other.test` at 81.
fn mk_program(world: &World, revision: u64) -> NodeProgram {
    let mut maker = Maker::new(revision);
    let allow = maker.allow();
    let [nothing, by_name, other, both] =
        [&[53][..], &[53, 80], &[53, 81], &[53, 80, 81]].map(|ports| maker.allow_ports(ports));
    let egress = maker.judge(&nothing, &[]);
    let judges = Judges { ingress: maker.judge(&allow, &[]), egress };
    for (pattern, tag) in [("*.by.test", BY_NAME), ("one.test", BY_NAME), ("*.other.test", OTHER)] {
        maker.pattern(pattern, tag);
    }
    maker.by_name(egress, &[BY_NAME], &by_name);
    maker.by_name(egress, &[OTHER], &other);
    maker.by_name(egress, &[BY_NAME, OTHER], &both);
    for pod in &world.pods {
        maker.endpoint(&pod.name, &pod.addresses(), judges);
    }
    maker.program
}

struct Scene {
    // First, so that nobody puts pins back while they are removed.
    handle: Option<NodeHandle>,
    records: Option<mpsc::Receiver<FlowRecord>>,
    outside: Outside,
    world: World,
    folder: tempfile::TempDir,
    ttl_min_s: u32,
    sizes: MapSizes,
}

impl Scene {
    fn new(n_pods: usize, ttl_min_s: u32) -> Self {
        Self::sized(n_pods, ttl_min_s, MapSizes::SMALL)
    }

    fn sized(n_pods: usize, ttl_min_s: u32, sizes: MapSizes) -> Self {
        let world = World::new(n_pods);
        let mut outside = Outside::of(&world);
        outside.accept(80);
        outside.accept(81);
        let folder = tempfile::tempdir().unwrap();
        let (handle, records) = (None, None);
        let mut scene = Self { world, outside, handle, records, folder, ttl_min_s, sizes };
        scene.start(1);
        scene
    }

    fn options(&self) -> NodeOptions {
        let dns = DnsOptions {
            resolvers: BTreeSet::from([TRUSTED, TRUSTED6, SERVICE]),
            ttl_min_s: self.ttl_min_s,
            journal: Some(self.folder.path().join("names")),
            ..DnsOptions::default()
        };
        NodeOptions { dns, sizes: self.sizes, ..self.world.options() }
    }

    fn start(&mut self, revision: u64) {
        let (handle, records) = Node::start(self.options()).unwrap();
        enforce(&handle, mk_program(&self.world, revision));
        (self.handle, self.records) = (Some(handle), Some(records));
    }

    /// The process goes; what is pinned stays.
    fn stop(&mut self) {
        (self.handle, self.records) = (None, None);
    }

    fn inside<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        inside(&self.world.pods[0].netns, work)
    }

    fn ask(&self, server: IpAddr, name: &str, kind: u16) -> std::io::Result<Vec<u8>> {
        self.inside(|| Client::new(server).ask(name, kind))
    }

    fn reaches(&self, address: IpAddr, port: u16) -> bool {
        self.reaches_within(address, port, SHORT)
    }

    fn reaches_within(&self, address: IpAddr, port: u16, patience: Duration) -> bool {
        self.inside(|| {
            TcpStream::connect_timeout(&SocketAddr::new(address, port), patience).is_ok()
        })
    }

    fn connect(&self, address: IpAddr, port: u16) -> TcpStream {
        self.inside(|| TcpStream::connect_timeout(&SocketAddr::new(address, port), LONG).unwrap())
    }

    fn wait_for_addresses(&self, n: u64) {
        let report = self.handle.as_ref().unwrap().report();
        wait_for("so many addresses", || (report.borrow().dns.n_addresses == n).then_some(()));
    }

    fn n_late_denied(&mut self) -> usize {
        let mut n = 0;
        while let Ok(record) = self.records.as_mut().unwrap().try_recv() {
            n += usize::from(record.event == FlowEvent::LateDenied);
        }
        n
    }
}

#[test]
fn a_thousand_first_connections_right_after_their_lookup_all_come_about() {
    let mut scene = Scene::new(1, 60);
    scene.inside(|| {
        let mut client = Client::new(TRUSTED);
        for n in 1..=1_000u16 {
            client.ask(&format!("n{n}.by.test"), A).unwrap();
            let to = SocketAddr::new(address4(n), 80);
            TcpStream::connect_timeout(&to, LONG).unwrap();
        }
    });
    // A first SYN that was dropped would have been sent again, so connecting says too little.
    let mut n_new = 0;
    wait_for("a record of every connection", || {
        while let Ok(record) = scene.records.as_mut().unwrap().try_recv() {
            assert!(record.event != FlowEvent::Denied, "{record:?}");
            n_new += u32::from(record.event == FlowEvent::New && record.packet.dst_port == 80);
        }
        (n_new == 1_000).then_some(())
    });
    let report = scene.handle.as_ref().unwrap().report().borrow().clone();
    assert_eq!(report.warnings, [] as [String; 0]);
    assert_eq!((report.dns.n_withheld, report.dns.n_unsent, report.dns.n_unread), (0, 0, 0));
    assert!(!scene.reaches(address4(2_000), 80), "an address that nobody looked up");
}

#[test]
fn names_come_by_every_way_that_resolvers_have() {
    let scene = Scene::new(1, 60);
    for (what, server, name, kind, address) in [
        ("letter case", TRUSTED, "N5.By.TEST", A, address4(5)),
        ("two labels under a star", TRUSTED, "a.n6.by.test", A, address4(6)),
        ("an exact name", TRUSTED, "one.test", A, address4(1)),
        ("AAAA", TRUSTED, "n1.by.test", AAAA, address6(1)),
        ("a resolver by IPv6", TRUSTED6, "n7.by.test", A, address4(7)),
        ("aliases", TRUSTED, "alias8.by.test", A, address4(8)),
        ("many addresses", TRUSTED, "wide100.by.test", A, address4(129)),
    ] {
        assert!(!scene.reaches(address, 80), "{what}, before");
        scene.ask(server, name, kind).unwrap();
        assert!(scene.reaches(address, 80), "{what}");
        assert!(!scene.reaches(address, 81), "{what}, another name's port");
    }
    let truncated = scene.ask(TRUSTED, "large1000.by.test", A).unwrap();
    assert_eq!(truncated[2] & 2, 2, "the answer should be truncated");
    scene
        .inside(|| ask_tcp(TRUSTED, &["n9.by.test", "large1000.by.test", "n10.other.test"]))
        .unwrap();
    for (address, port) in [(9, 80), (1_000, 80), (1_299, 80), (10, 81)] {
        assert!(scene.reaches(address4(address), port), "{address} over TCP");
    }
    // What is not below the star, and what only stands in the middle of an alias.
    for name in ["by.test", "n11.by.test.evil.test"] {
        scene.ask(TRUSTED, name, A).unwrap();
    }
    assert!(!scene.reaches(address4(11), 80));
}

#[test]
fn an_address_with_two_names_has_what_either_allows_and_records_say_both() {
    let mut scene = Scene::new(2, 60);
    scene.ask(TRUSTED, "n20.by.test", A).unwrap();
    assert!(scene.reaches(address4(20), 80) && !scene.reaches(address4(20), 81));
    scene.ask(TRUSTED, "n20.other.test", A).unwrap();
    assert!(scene.reaches(address4(20), 80) && scene.reaches(address4(20), 81));
    let both = Names::new(["n20.by.test", "n20.other.test"]);
    wait_for("a record with both names", || {
        let record = scene.records.as_mut().unwrap().try_recv().ok()?;
        (record.names == both && record.event == FlowEvent::New).then_some(())
    });
    // What one workload looked up says nothing of another.
    let other = &scene.world.pods[1].netns;
    let to = SocketAddr::new(address4(20), 80);
    inside(other, || TcpStream::connect_timeout(&to, SHORT)).unwrap_err();
}

/// Like [`mk_program`], with classes of addresses, and with names that the program has no row for.
fn mk_mixed(world: &World, revision: u64) -> NodeProgram {
    let mut maker = Maker { program: mk_program(world, revision) };
    let allow = maker.allow();
    let [nothing, at_80, at_81] =
        [&[53][..], &[53, 80], &[53, 81]].map(|ports| maker.allow_ports(ports));
    let (exact, net) = (ClassId(1), ClassId(2));
    let egress = maker.judge(&nothing, &[(exact, &at_80), (net, &at_81)]);
    maker.class("10.70.2.0/24", net);
    for n in 300..308 {
        maker.class(&format!("{}/32", address4(n)), exact);
    }
    maker.pattern("*.cut.test", CUT);
    maker.by_name(egress, &[BY_NAME], &at_80);
    maker.by_name(egress, &[OTHER], &at_81);
    maker.by_name(egress, &[BY_NAME, OTHER], &allow);
    let set = NameSetId::of(&BTreeSet::from([OTHER]));
    maker.program.names.entries.insert((egress, exact, set), RowId::of(&allow));
    let sight = maker.program.names.programs.get_mut(&egress).unwrap();
    sight.tags.insert(CUT);
    sight.is_cut = true;
    let judges = Judges { ingress: maker.judge(&allow, &[]), egress };
    maker.endpoint("pod0", &world.pods[0].addresses(), judges);
    maker.program
}

#[test]
fn classes_and_names_together_come_to_what_decide_named_says() {
    let mut scene = Scene::new(1, 60);
    let program = mk_mixed(&scene.world, 2);
    enforce(scene.handle.as_ref().unwrap(), program.clone());
    let id = EndpointId::pod("test", "pod0");
    let pod = scene.world.pods[0].addresses();
    let mut allowed = BTreeSet::new();
    // Of no class, of an address, of a prefix; each under every set of names.
    for (first, combination) in
        [200, 300, 600].into_iter().flat_map(|n| (0..8).map(move |c| (n, c)))
    {
        let n = first + combination;
        let zones = ["by", "other", "cut"].iter().enumerate();
        let zones = zones.filter(|(bit, _)| combination & (1 << bit) != 0);
        let names: Vec<String> = zones.map(|(_, zone)| format!("n{n}.{zone}.test")).collect();
        for name in &names {
            scene.ask(TRUSTED, name, A).unwrap();
            scene.ask(TRUSTED, name, AAAA).unwrap();
        }
        let names = Names::new(&names);
        for (to, port) in [(address4(n), 80), (address4(n), 81), (address6(n), 80)] {
            let src = *pod.iter().find(|it| it.is_ipv4() == to.is_ipv4()).unwrap();
            let protocol = Protocol::TCP;
            let (src_port, icmp_type, icmp_code) = (40_000, 0, 0);
            let packet =
                Packet { src, dst: to, protocol, src_port, dst_port: port, icmp_type, icmp_code };
            let verdict = program.decide_named(&id, Direction::Egress, &packet, &names);
            let is_allowed = verdict.decision == Decision::Allow;
            let patience = if is_allowed { LONG } else { SHORT };
            let reaches = scene.reaches_within(to, port, patience);
            assert_eq!(reaches, is_allowed, "{to}:{port} as {names:?}");
            if is_allowed {
                allowed.insert((to, port));
            }
        }
    }
    assert!((20..52).contains(&allowed.len()), "{} of 72 were allowed", allowed.len());
    wait_for("records of what came after all", || {
        let record = scene.records.as_mut().unwrap().try_recv().ok()?;
        let to = (record.packet.dst, record.packet.dst_port);
        let is_denied = record.event == FlowEvent::Denied;
        assert!(!(is_denied && allowed.contains(&to)), "the first packet of all: {record:?}");
        (is_denied && to == (address6(607), 80)).then_some(())
    });
}

#[test]
fn an_answer_in_fragments_reaches_its_asker_and_teaches_where_the_kernel_puts_it_together() {
    let scene = Scene::new(1, 60);
    let backend = scene.handle.as_ref().unwrap().report().borrow().backend;
    for (server, kind, address) in
        [(TRUSTED, A, address4(1_150)), (TRUSTED6, AAAA, address6(1_150))]
    {
        let answer = scene.ask(server, "broad1000.by.test", kind).unwrap();
        assert!(answer.len() > 6_000, "{} bytes", answer.len());
        assert_eq!(scene.reaches(address, 80), backend == Some(BackendKind::Nftables), "{server}");
    }
}

#[test]
fn a_resolver_behind_translated_addresses_is_trusted_by_the_one_that_workloads_ask() {
    let scene = Scene::new(1, 60);
    let node = scene.world.node();
    sh(&format!(
        "ip netns exec {node} nft 'add table ip kube
         add chain ip kube services {{ type nat hook prerouting priority dstnat; }}
         add rule ip kube services ip daddr {SERVICE} dnat to {TRUSTED}
         add chain ip kube sources {{ type nat hook postrouting priority srcnat; }}
         add rule ip kube sources oifname out0 masquerade'"
    ));
    scene.ask(SERVICE, "n70.by.test", A).unwrap();
    assert!(scene.reaches(address4(70), 80), "over UDP");
    scene.inside(|| ask_tcp(SERVICE, &["n71.by.test", "large1000.by.test"])).unwrap();
    assert!(scene.reaches(address4(71), 80) && scene.reaches(address4(1_299), 80), "over TCP");
    assert!(!scene.reaches(address4(72), 80));
    scene.ask(SERVICE, "n72.by.test", A).unwrap();
    assert!(scene.reaches(address4(72), 80));
}

#[test]
fn an_answer_that_does_not_fit_is_kept_back_and_others_go_on() {
    let scene = Scene::sized(1, 60, MapSizes { names: 16, ..MapSizes::SMALL });
    scene.ask(TRUSTED, "n80.by.test", A).unwrap();
    // Thirty addresses that a rule looks at.
    scene.inside(|| Client::impatient(TRUSTED).ask("wide100.by.test", A)).unwrap_err();
    let report = scene.handle.as_ref().unwrap().report();
    wait_for("a word about it", || {
        let warnings = &report.borrow().warnings;
        warnings.iter().any(|warning| warning.contains("1 DNS answers were kept")).then_some(())
    });
    // Thirty that no rule looks at, and one more.
    scene.ask(TRUSTED, "wide1000.else.test", A).unwrap();
    scene.ask(TRUSTED, "n81.by.test", A).unwrap();
    assert!(scene.reaches(address4(80), 80) && scene.reaches(address4(81), 80));
}

#[test]
fn only_what_a_trusted_resolver_was_asked_for_counts() {
    let mut scene = Scene::new(2, 60);
    // A resolver that nobody trusts answers like any server.
    scene.ask(STRANGER, "n30.by.test", A).unwrap();
    assert!(!scene.reaches(address4(30), 80));
    // Another workload that plays resolver.
    let forger = SocketAddr::new(scene.world.pods[1].v4.into(), 53);
    let socket = inside(&scene.world.pods[1].netns, || UdpSocket::bind(forger).unwrap());
    scene.outside.answer_udp(socket);
    scene.ask(forger.ip(), "n31.by.test", A).unwrap();
    assert!(!scene.reaches(address4(31), 80));
    // The right resolver, but another number or another question than was asked.
    scene.ask(TRUSTED, "wrongid32.by.test", A).unwrap();
    assert!(!scene.reaches(address4(32), 80));
    scene.ask(TRUSTED, "wrongname33.by.test", A).unwrap();
    assert!(!scene.reaches(address4(33), 80));
    wait_for("both to be counted", || {
        let report = scene.handle.as_ref().unwrap().report().borrow().dns;
        (report.n_unasked == 2).then_some(())
    });
    scene.ask(TRUSTED, "n34.by.test", A).unwrap();
    assert!(scene.reaches(address4(34), 80));
}

#[test]
fn a_name_that_is_denied_cuts_what_was_opened_by_address() {
    let mut scene = Scene::new(1, 60);
    let mut program = mk_program(&scene.world, 2);
    let mut maker = Maker { program };
    let (allow, deny) = (maker.allow(), maker.deny());
    let egress = maker.judge(&allow, &[]);
    maker.by_name(egress, &[BY_NAME], &deny);
    let judges = Judges { ingress: egress, egress };
    maker.endpoint("pod0", &scene.world.pods[0].addresses(), judges);
    program = maker.program;
    enforce(scene.handle.as_ref().unwrap(), program);
    let by_address = scene.connect(address4(60), 80);
    (&by_address).write_all(b"passes").unwrap();
    scene.ask(TRUSTED, "n60.by.test", A).unwrap();
    (&by_address).write_all(b"does not").unwrap();
    assert!(!scene.reaches(address4(60), 80));
    wait_for("the cut", || (scene.n_late_denied() == 1).then_some(()));
    assert!(scene.reaches(address4(61), 80), "what has no such name");
}

#[test]
fn what_has_run_out_is_forgotten_but_not_under_a_flow_that_goes_on() {
    let mut scene = Scene::new(1, 1);
    scene.ask(TRUSTED, "n40.by.test", A).unwrap();
    scene.ask(TRUSTED, "n41.by.test", A).unwrap();
    let goes_on = scene.connect(address4(40), 80);
    assert!(scene.reaches(address4(41), 80));
    scene.wait_for_addresses(2);
    scene.wait_for_addresses(1);
    assert!(!scene.reaches(address4(41), 80), "a name that nobody uses");
    // A new program judges every flow again.
    enforce(scene.handle.as_ref().unwrap(), mk_program(&scene.world, 2));
    assert!(scene.reaches(address4(40), 80), "a name that a connection uses");
    (&goes_on).write_all(b"still there").unwrap();
    assert_eq!(scene.n_late_denied(), 0);
    drop(goes_on);
    scene.wait_for_addresses(0);
    assert!(!scene.reaches(address4(40), 80), "a name that no connection uses any more");
}

#[test]
fn what_was_known_survives_the_process_and_resolvers_go_on_without_it() {
    let mut scene = Scene::new(1, 60);
    scene.ask(TRUSTED, "n50.by.test", A).unwrap();
    scene.stop();
    assert!(scene.reaches(address4(50), 80), "while nobody is there");
    wait_for("an answer while nobody is there", || {
        scene.inside(|| {
            let mut client = Client::new(TRUSTED);
            client.ask("n51.by.test", A).ok()
        })
    });
    assert!(scene.reaches(address4(50), 80));
    assert!(!scene.reaches(address4(51), 80), "what nobody learned is not known");
    scene.start(2);
    assert!(scene.reaches(address4(50), 80), "after the restart, without a new question");
    scene.ask(TRUSTED, "n51.by.test", A).unwrap();
    assert!(scene.reaches(address4(51), 80));
}
