//! Two engines, one truth.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::net::IpAddr;

use bulkhead_api::Object;
use bulkhead_policy::World as Oracle;
use bulkhead_policy::facts::Endpoint;
use bulkhead_policy::rule::Moment;
use bulkhead_testbed::worlds::{LOOKUPS, List, MOMENTS, Packets, Worlds};
use bulkhead_types::{Decision, Direction, EndpointId, Names, Packet, RuleRef, Verdict};
use bulkhead_wire::NodeProgram;
use proptest::strategy::Strategy;
use proptest::test_runner::TestCaseError;

use crate::programs_of::{fresh_at, moment_number};
use crate::{number, runner, shapes};

const PACKETS_PER_WORLD: usize = 60;

/// The same objects, as each engine sees them.
struct Engines {
    oracle: Oracle,
    /// Where something is staged.
    staged: Option<Oracle>,
    programs: BTreeMap<String, NodeProgram>,
    verdicts: Vec<Verdict>,
}

impl Engines {
    fn new(objects: &[Object], now: Option<Moment>) -> Self {
        let oracle = Oracle::from_objects(objects);
        let oracle = now.map_or_else(|| oracle.clone(), |now| oracle.clone().at(now));
        let has_staged = oracle.policies().iter().any(|policy| policy.staged.is_some());
        let staged = has_staged.then(|| oracle.staged());
        Self { oracle, staged, programs: fresh_at(objects, now), verdicts: Vec::new() }
    }

    /// Asks for both readings.
    fn agree(
        &mut self,
        (id, node): (&EndpointId, &str),
        direction: Direction,
        packet: &Packet,
        names: &Names,
    ) -> Result<(), String> {
        let program = self.programs.get(node).ok_or(format!("no program for {node}"))?;
        let check = |reading: &str, truth: &Verdict, compiled: &Verdict| {
            let is_cut = || program.names.programs.values().any(|sight| sight.is_cut);
            let is_beyond = !names.is_empty() && *compiled == Verdict::unknown();
            if truth == compiled || (is_beyond && is_cut()) {
                return Ok(());
            }
            Err(format!(
                "{reading}: {id} {direction} {packet:?} as {names:?}\n  decide:  {truth:?}\n  program: \
                 {compiled:?}"
            ))
        };
        let truth = self.oracle.decide_named(id, direction, packet, names);
        check("enforced", &truth, &program.decide_named(id, direction, packet, names))?;
        self.verdicts.push(truth);
        if let Some(staged) = &self.staged {
            let truth = staged.decide_named(id, direction, packet, names);
            check("staged", &truth, &program.decide_staged(id, direction, packet, names))?;
            self.verdicts.push(truth);
        }
        Ok(())
    }
}

/// Every endpoint with a node judges every packet both ways, once as the packet is and once for
/// each of its addresses as if the packet were its own.
/// Gives the verdicts compared, or what disagreed.
pub fn compare(
    objects: &[Object],
    packets: &[Packet],
    now: Option<Moment>,
) -> Result<Vec<Verdict>, String> {
    let mut engines = Engines::new(objects, now);
    let endpoints: Vec<Endpoint> = engines.oracle.endpoints().cloned().collect();
    let lookups = LOOKUPS.map(Names::new);
    for endpoint in &endpoints {
        let Some(node) = endpoint.node.as_deref().filter(|_| !endpoint.addresses.is_empty()) else {
            continue;
        };
        for direction in Direction::BOTH {
            for (index, packet) in packets.iter().enumerate() {
                let names = &lookups[index % lookups.len()];
                if index == 0 {
                    engines.agree((&endpoint.id, node), direction, packet, names)?;
                }
                let same_family = |a: &&IpAddr| a.is_ipv4() == packet.src.is_ipv4();
                for &own in endpoint.addresses.iter().filter(same_family) {
                    let own = match direction {
                        Direction::Ingress => Packet { dst: own, ..*packet },
                        Direction::Egress => Packet { src: own, ..*packet },
                    };
                    engines.agree((&endpoint.id, node), direction, &own, names)?;
                }
            }
        }
    }
    Ok(engines.verdicts)
}

/// Worlds until so many verdicts were compared; sees each of them.
fn compare_until(wanted: u64, packets: usize, mut see: impl FnMut(&Verdict)) -> u64 {
    let mut runner = runner(1);
    let strategy = (Worlds(shapes()), Packets(packets), 0..=MOMENTS.len());
    let (mut n_cases, last) = (0, Cell::new(Vec::new()));
    while n_cases < wanted {
        let tree = strategy.new_tree(&mut runner).expect("worlds are always drawn");
        let law = |(objects, packets, now): (List<Object>, List<Packet>, usize)| {
            let compared = compare(&objects.0, &packets.0, moment_number(now));
            last.set(compared.map_err(TestCaseError::fail)?);
            Ok(())
        };
        runner.run_one(tree, law).unwrap_or_else(|failure| panic!("{failure}"));
        let verdicts = last.take();
        n_cases += verdicts.len() as u64;
        verdicts.iter().for_each(&mut see);
    }
    n_cases
}

#[test]
fn program_agrees_with_decide() {
    let wanted = number("BULKHEAD_AGREE_CASES", 20_000);
    let n_cases = compare_until(wanted, PACKETS_PER_WORLD, |_| {});
    println!("{n_cases} cases, 0 disagreements");
}

/// Agreement is worth something only if all sorts of answers are compared.
#[test]
fn random_worlds_give_every_kind_of_answer() {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    let mut n_logged = 0;
    compare_until(8_000, 20, |verdict| {
        let kind = match (verdict.decision, &verdict.rule) {
            (Decision::Allow, RuleRef::Rule { .. }) => "allowed by rule",
            (Decision::Deny, RuleRef::Rule { .. }) => "denied by rule",
            (_, RuleRef::TierDefault { .. }) => "denied by tier",
            (_, RuleRef::Profile { .. }) => "allowed by profile",
            (_, RuleRef::Unknown) => "unknown",
            _ => "said of hosts",
        };
        *counts.entry(kind).or_default() += 1;
        n_logged += usize::from(!verdict.logged.is_empty());
    });
    let total: usize = counts.values().sum();
    assert!(n_logged * 100 > total, "too few are logged: {n_logged} of {total}");
    for kind in ["allowed by rule", "denied by rule", "denied by tier", "allowed by profile"] {
        let count = counts.get(kind).copied().unwrap_or_default();
        assert!(count * 20 > total, "too few are {kind}: {counts:?}");
    }
}
