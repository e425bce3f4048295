//! Random worlds on real packets: what the slow reading of the rules says, what the compiled programs
//! say and what the network does are one and the same.
//!
//! `BULKHEAD_PACKET_CASES` sets the number of packets (500 without it), `BULKHEAD_PACKET_SEED` the
//! first seed. Each world gets a lab of its own.
#![expect(clippy::unwrap_used, reason = "tests fail by panic")]

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use bulkhead_api::Object;
use bulkhead_lab::probe::Patience;
use bulkhead_lab::{Lab, Probe};
use bulkhead_policy::{Engine, Event, World as Oracle};
use bulkhead_testbed::worlds::{Shape, World};
use bulkhead_types::{Decision, Direction, EndpointId, Packet, Protocol};
use bulkhead_wire::NodeProgram;

/// Drawn for each world; those that cannot be sent are left out.
const PACKETS_PER_WORLD: usize = 600;
/// As many are sent, so that several worlds are seen.
const SENT_PER_WORLD: usize = 90;
const HASTE: Duration = Duration::from_millis(200);
const PATIENCE: Duration = Duration::from_secs(2);

fn number(name: &str, default: usize) -> usize {
    std::env::var(name).map_or(default, |text| text.parse().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn random_packets_meet_the_verdict_of_both_engines() {
    let wanted = number("BULKHEAD_PACKET_CASES", 500);
    let mut seed = number("BULKHEAD_PACKET_SEED", 1) as u64;
    let (mut n_sent, mut n_allowed) = (0, 0);
    while n_sent < wanted {
        let shape = Shape { broken: false, ..Shape::tidy() };
        let (sent, allowed) = one_world(&World::shaped(seed, shape)).await;
        n_sent += sent;
        n_allowed += allowed;
        seed += 1;
    }
    println!("{n_sent} packets, {n_allowed} of them allowed, 0 disagreements");
    assert!(n_allowed * 20 > n_sent, "nearly nothing was allowed: this test tests little");
}

/// How many packets were sent, and how many of them were allowed.
async fn one_world(world: &World) -> (usize, usize) {
    let mut lab = Lab::bare(&world.objects).await.unwrap();
    let objects = apply(&lab, &world.objects).await;
    lab.wait_enforced().await.unwrap();
    let engines = Engines::new(&objects);
    let cases: Vec<(Packet, Decision)> = packets(world, &engines)
        .into_iter()
        .map(|packet| (packet, engines.decide(world.seed, &packet)))
        .collect();
    let probes: Vec<Probe> = cases.iter().map(|(packet, _)| probe(packet)).collect();
    lab.patience = Patience { timeout: HASTE, attempts: 2, ..Patience::default() };
    let outcomes = lab.probe(&probes).await.unwrap();
    lab.patience = Patience { timeout: PATIENCE, attempts: 2, ..Patience::default() };
    let mut n_allowed = 0;
    for (((packet, decision), probe), outcome) in cases.iter().zip(&probes).zip(outcomes) {
        let allowed = *decision == Decision::Allow;
        n_allowed += usize::from(allowed);
        // a busy machine may be late, but never generous
        let connected = outcome.connected || (allowed && lab.connects(probe).await.unwrap());
        assert_eq!(
            connected,
            allowed,
            "seed {}: {packet:?} between {:?} and {:?}: the engines say {decision}",
            world.seed,
            engines.owners.get(&packet.src),
            engines.owners.get(&packet.dst),
        );
    }
    (cases.len(), n_allowed)
}

/// Writes the world; what the API refuses is not part of it for anyone.
async fn apply(lab: &Lab, objects: &[Object]) -> Vec<Object> {
    let mut accepted = Vec::new();
    for object in objects {
        match lab.apply(std::slice::from_ref(object)).await {
            Ok(()) => accepted.push(object.clone()),
            Err(error) => {
                let is_endpoint = matches!(object, Object::Pod(_) | Object::Workload(_));
                assert!(!is_endpoint, "{error:#}: {object:?}");
            }
        }
    }
    assert!(accepted.len() * 10 > objects.len() * 8, "the API refuses most of the world");
    accepted
}

struct Engines {
    oracle: Oracle,
    programs: BTreeMap<String, Arc<NodeProgram>>,
    owners: BTreeMap<IpAddr, (EndpointId, String)>,
}

impl Engines {
    fn new(objects: &[Object]) -> Self {
        let oracle = Oracle::from_objects(objects);
        let mut engine = Engine::new();
        for object in objects {
            engine.apply(Event::Upsert(object.clone()));
        }
        engine.take_changes();
        let nodes: Vec<String> = engine.nodes().map(str::to_owned).collect();
        let programs =
            nodes.into_iter().map(|node| (node.clone(), engine.program(&node).unwrap())).collect();
        let mut owners = BTreeMap::new();
        for endpoint in oracle.endpoints() {
            let node = endpoint.node.clone().unwrap();
            for address in &endpoint.addresses {
                owners.insert(*address, (endpoint.id.clone(), node.clone()));
            }
        }
        Self { oracle, programs, owners }
    }

    /// Both ends together; panics where the two engines differ.
    fn decide(&self, seed: u64, packet: &Packet) -> Decision {
        let ends = [(packet.src, Direction::Egress), (packet.dst, Direction::Ingress)];
        for (address, direction) in ends {
            let Some((endpoint, node)) = self.owners.get(&address) else { continue };
            let slow = self.oracle.decide(endpoint, direction, packet);
            let program = self.programs.get(node).unwrap();
            let compiled = program.decide(endpoint, direction, packet);
            assert_eq!(slow, compiled, "seed {seed}: {endpoint} {direction} {packet:?}");
            if slow.decision == Decision::Deny {
                return Decision::Deny;
            }
        }
        Decision::Allow
    }
}

/// The packets of the world that can be sent, each of a flow of its own.
fn packets(world: &World, engines: &Engines) -> Vec<Packet> {
    let own: Vec<IpAddr> = engines.owners.keys().copied().collect();
    let mut used = BTreeSet::new();
    let (mut listened, mut sending) = (BTreeSet::new(), BTreeSet::new());
    let mut chosen = Vec::new();
    for (index, mut packet) in world.packets(PACKETS_PER_WORLD).into_iter().enumerate() {
        let family: Vec<IpAddr> =
            own.iter().copied().filter(|a| a.is_ipv6() == packet.src.is_ipv6()).collect();
        let endpoint = family.get(index.wrapping_mul(7) % family.len()).copied().unwrap();
        match index % 3 {
            0 => packet.src = endpoint,
            1 => packet.dst = endpoint,
            _ => {}
        }
        let is_ours = own.contains(&packet.src) || own.contains(&packet.dst);
        let (src, dst) = ((packet.src, packet.src_port), (packet.dst, packet.dst_port));
        let number = packet.protocol.0;
        let fresh = !used.contains(&(src, dst, number)) && !used.contains(&(dst, src, number));
        // no socket can send from where another listens
        let free = !listened.contains(&(src, number)) && !sending.contains(&(dst, number));
        let portless = !packet.protocol.has_ports();
        if is_ours && can_be_sent(&packet) && fresh && (free || portless) {
            used.insert((src, dst, number));
            listened.insert((dst, number));
            sending.insert((src, number));
            chosen.push(packet);
        }
    }
    chosen.truncate(SENT_PER_WORLD);
    chosen
}

/// Leaves out what no host would send or route, whatever the policy.
fn can_be_sent(packet: &Packet) -> bool {
    let v6 = packet.src.is_ipv6();
    let routed = |address: IpAddr| match address {
        IpAddr::V4(a) => !matches!(a.octets(), [0 | 127 | 224..=255, ..] | [169, 254, ..]),
        IpAddr::V6(a) => matches!(a.segments(), [0x2000..=0x3fff | 0xfc00..=0xfdff, ..]),
    };
    let sendable = match packet.protocol {
        Protocol::TCP | Protocol::UDP | Protocol::SCTP => {
            packet.src_port != 0 && packet.dst_port != 0
        }
        // the rest are errors, or answered by no one
        Protocol::ICMP => !v6 && matches!(packet.icmp_type, 0 | 8),
        Protocol::ICMPV6 => v6 && matches!(packet.icmp_type, 128 | 129 | 255),
        Protocol::UDPLITE | Protocol(47) => true,
        // headers and tunnels that the kernel takes apart itself
        Protocol(number) => (61..=131).contains(&number) && !matches!(number, 94 | 103 | 108 | 115),
    };
    packet.src != packet.dst && routed(packet.src) && routed(packet.dst) && sendable
}

fn probe(packet: &Packet) -> Probe {
    let (src, dst) = (packet.src.to_string(), packet.dst.to_string());
    let mut probe = Probe::new(&src, &dst, packet.protocol, packet.dst_port);
    probe.src_port = packet.protocol.has_ports().then_some(packet.src_port);
    if packet.protocol.is_icmp() {
        probe.icmp_type = Some(packet.icmp_type);
        probe.icmp_code = Some(packet.icmp_code);
    }
    probe
}
