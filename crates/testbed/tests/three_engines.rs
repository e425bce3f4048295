//! Random worlds on real packets: the oracle, the compiled program and the kernel say the same.
//!
//! The worlds are those of `policy`'s laws, but tidy, so that they can be built: every endpoint is a
//! network namespace, every port has a listener, and a probe is a connection from one to another.
//! `BULKHEAD_PACKET_CASES` sets the number of probes (520 without it), `BULKHEAD_AGREE_SEED` the
//! first seed.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "tests fail by panic")]

use std::net::IpAddr;

use bulkhead_api::Object;
use bulkhead_apimachinery::{kinds, validate};
use bulkhead_lab::{Lab, Probe};
use bulkhead_policy::{Engine, Event, World as Oracle};
use bulkhead_testbed::{Shape, World};
use bulkhead_types::{Decision, Direction, EndpointId, Packet, Protocol};

const SHAPE: Shape = Shape {
    pods: 7,
    workloads: 2,
    network_sets: 4,
    policies: 4,
    rules: 4,
    nodes: 2,
    untidy: false,
    broken: false,
};
/// Probes of one world, at most.
const PROBES_PER_WORLD: usize = 120;
/// Source ports that a kernel gives to a client. A rule that tells some of them apart makes the
/// outcome a matter of luck, so such a probe is not asked.
const EPHEMERAL: [u16; 4] = [32_768, 40_000, 50_001, 60_999];

struct Case {
    probe: Probe,
    allowed: bool,
}

#[tokio::test(flavor = "multi_thread")]
async fn oracle_program_and_kernel_agree_on_random_worlds() {
    let number = |name: &str, default: u64| {
        std::env::var(name).map_or(default, |text| text.parse().expect("a number"))
    };
    let wanted = number("BULKHEAD_PACKET_CASES", 520);
    let mut seed = number("BULKHEAD_AGREE_SEED", 1);
    let (mut n_cases, mut n_allowed) = (0, 0);
    while n_cases < wanted {
        let mut world = World::shaped(seed, SHAPE);
        world.objects.retain(is_valid);
        let cases = cases(&world.objects);
        let lab = Lab::up(&world.objects).await.unwrap();
        let probes: Vec<Probe> = cases.iter().map(|case| case.probe.clone()).collect();
        let outcomes = lab.probe(&probes).await.unwrap();
        for (case, outcome) in cases.iter().zip(&outcomes) {
            assert_eq!(
                outcome.connected, case.allowed,
                "seed {seed}: {:?} connected: {}, but the engines say allowed: {}\n{:#?}",
                case.probe, outcome.connected, case.allowed, world.objects
            );
            n_cases += 1;
            n_allowed += u64::from(case.allowed);
        }
        seed += 1;
    }
    println!("{n_cases} cases on real packets, {n_allowed} allowed, 0 disagreements");
    assert!(n_allowed * 10 > n_cases, "hardly anything is allowed: the worlds prove little");
    assert!(n_allowed * 10 < n_cases * 9, "hardly anything is denied: the worlds prove little");
}

/// Random policies are sometimes what the API would not take.
fn is_valid(object: &Object) -> bool {
    let resource = kinds::by_id(object.kind());
    validate::object(resource, &bulkhead_lab::objects::value(object).unwrap()).is_empty()
}

/// Every endpoint to every port of every other one, in both families, and echo requests; thinned
/// evenly to [`PROBES_PER_WORLD`].
fn cases(objects: &[Object]) -> Vec<Case> {
    let engines = Engines::of(objects);
    let world = bulkhead_lab::World::from_objects(objects).unwrap();
    let mut cases = Vec::new();
    for src in &world.endpoints {
        for dst in world.endpoints.iter().filter(|dst| dst.id != src.id) {
            for v6 in [false, true] {
                let (Some(from), Some(to)) = (src.address(v6), dst.address(v6)) else { continue };
                let echo = if v6 { Protocol::ICMPV6 } else { Protocol::ICMP };
                let targets = dst.ports.iter().copied().chain([(echo, 0)]);
                for (protocol, port) in targets {
                    let ends = (&src.id, &dst.id);
                    let Some(allowed) = engines.agree(ends, (from, to), protocol, port) else {
                        continue;
                    };
                    let probe =
                        Probe::new(&src.id.to_string(), &dst.id.to_string(), protocol, port);
                    let probe = if v6 { probe.v6() } else { probe };
                    cases.push(Case { probe, allowed });
                }
            }
        }
    }
    let step = cases.len().div_ceil(PROBES_PER_WORLD).max(1);
    cases.into_iter().step_by(step).collect()
}

/// The two engines that need no kernel.
struct Engines {
    oracle: Oracle,
    engine: std::sync::Mutex<Engine>,
}

impl Engines {
    fn of(objects: &[Object]) -> Self {
        let mut engine = Engine::new();
        for object in objects {
            engine.apply(Event::Upsert(object.clone()));
        }
        engine.take_changes();
        Self { oracle: Oracle::from_objects(objects), engine: engine.into() }
    }

    /// Whether a connection passes both ends, which oracle and program must say alike. `None` where
    /// it depends on the client's port.
    fn agree(
        &self,
        (src, dst): (&EndpointId, &EndpointId),
        (from, to): (IpAddr, IpAddr),
        protocol: Protocol,
        port: u16,
    ) -> Option<bool> {
        let answers: Vec<bool> = EPHEMERAL
            .iter()
            .map(|src_port| {
                let packet = first_packet((from, to), protocol, *src_port, port);
                self.allows(src, Direction::Egress, &packet)
                    && self.allows(dst, Direction::Ingress, &packet)
            })
            .collect();
        let first = *answers.first()?;
        answers.iter().all(|answer| *answer == first).then_some(first)
    }

    fn allows(&self, id: &EndpointId, direction: Direction, packet: &Packet) -> bool {
        let truth = self.oracle.decide(id, direction, packet);
        let node = self.oracle.endpoint(id).unwrap().node.clone().unwrap();
        let program = self.engine.lock().unwrap().program(&node).unwrap();
        assert_eq!(program.decide(id, direction, packet), truth, "{id} {direction} {packet:?}");
        truth.decision == Decision::Allow
    }
}

fn first_packet(
    (src, dst): (IpAddr, IpAddr),
    protocol: Protocol,
    src_port: u16,
    port: u16,
) -> Packet {
    let echo_request = match protocol {
        Protocol::ICMP => 8,
        Protocol::ICMPV6 => 128,
        _ => 0,
    };
    let src_port = if protocol.has_ports() { src_port } else { 0 };
    Packet { src, dst, protocol, src_port, dst_port: port, icmp_type: echo_request, icmp_code: 0 }
}
