//! Laws that hold in every world. Seeded; a failure prints the seed and the smallest world that
//! still fails.
//!
//! `BULKHEAD_AGREE_CASES` sets the number of (world, packet) cases of `program_agrees_with_decide`
//! (20,000 without it), `BULKHEAD_AGREE_SEED` the first seed;
//! `BULKHEAD_LIVES` the number of lives of `incremental_equals_fresh` (30).
#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "makers of a test; a broken one must stop it"
)]

#[path = "laws/programs_of.rs"]
mod programs_of;

use std::collections::BTreeMap;
use std::net::IpAddr;

use bulkhead_api::Object;
use bulkhead_policy::{Engine, Event, World as Oracle};
use bulkhead_testbed::shrink::shrink;
use bulkhead_testbed::worlds::{Change, Shape, World, outcome};
use bulkhead_types::{Decision, Direction, Packet, RuleRef, Verdict};
use bulkhead_wire::NodeProgram;

use programs_of::{assert_closed, event, fresh, programs};

const PACKETS_PER_WORLD: usize = 60;

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().expect("a number"))
}

/// Every endpoint with a node judges every packet both ways, once as the packet is and once for
/// each of its addresses as if the packet were its own.
/// Gives the verdicts compared, or what disagreed.
fn compare(objects: &[Object], packets: &[Packet]) -> Result<Vec<Verdict>, String> {
    let oracle = Oracle::from_objects(objects);
    let programs = fresh(objects);
    let mut verdicts = Vec::new();
    for endpoint in oracle.endpoints() {
        let Some(node) = endpoint.node.as_ref().filter(|_| !endpoint.addresses.is_empty()) else {
            continue;
        };
        let program = programs.get(node).ok_or(format!("no program for {node}"))?;
        let mut agree = |direction, packet: &Packet| {
            let truth = oracle.decide(&endpoint.id, direction, packet);
            let compiled = program.decide(&endpoint.id, direction, packet);
            let told = format!("{} {direction} {packet:?}\n  decide:  {truth:?}", endpoint.id);
            verdicts.push(truth.clone());
            (truth == compiled).then_some(()).ok_or(format!("{told}\n  program: {compiled:?}"))
        };
        for direction in Direction::BOTH {
            for (index, packet) in packets.iter().enumerate() {
                if index == 0 {
                    agree(direction, packet)?;
                }
                let same_family = |a: &&IpAddr| a.is_ipv4() == packet.src.is_ipv4();
                for &own in endpoint.addresses.iter().filter(same_family) {
                    let own = match direction {
                        Direction::Ingress => Packet { dst: own, ..*packet },
                        Direction::Egress => Packet { src: own, ..*packet },
                    };
                    agree(direction, &own)?;
                }
            }
        }
    }
    Ok(verdicts)
}

#[test]
fn program_agrees_with_decide() {
    let wanted = number("BULKHEAD_AGREE_CASES", 20_000);
    let first = number("BULKHEAD_AGREE_SEED", 1);
    let (mut n_cases, mut seed) = (0, first);
    while n_cases < wanted {
        let world = World::shaped(seed, shape_of(seed));
        let packets = world.packets(PACKETS_PER_WORLD);
        match compare(&world.objects, &packets) {
            Ok(verdicts) => n_cases += verdicts.len() as u64,
            Err(_) => {
                let smallest = shrink(&world.objects, |part| compare(part, &packets).is_err());
                let disagreement = compare(&smallest, &packets).expect_err("it was seen to fail");
                panic!("seed {seed}: {disagreement}\nin the world\n{smallest:#?}");
            }
        }
        seed += 1;
    }
    println!("{n_cases} cases, 0 disagreements");
}

/// Agreement is worth something only if all sorts of answers are compared.
#[test]
fn random_worlds_give_every_kind_of_answer() {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for seed in 1..=60 {
        let world = World::shaped(seed, shape_of(seed));
        let verdicts = compare(&world.objects, &world.packets(20)).expect("engines agree");
        for verdict in verdicts {
            let kind = match (verdict.decision, &verdict.rule) {
                (Decision::Allow, RuleRef::Rule { .. }) => "allowed by rule",
                (Decision::Deny, RuleRef::Rule { .. }) => "denied by rule",
                (_, RuleRef::TierDefault { .. }) => "denied by tier",
                (_, RuleRef::Profile { .. }) => "allowed by profile",
                (_, RuleRef::Unknown) => "unknown",
            };
            *counts.entry(kind).or_default() += 1;
        }
    }
    let total: usize = counts.values().sum();
    for kind in ["allowed by rule", "denied by rule", "denied by tier", "allowed by profile"] {
        let count = counts.get(kind).copied().unwrap_or_default();
        assert!(count * 20 > total, "too few are {kind}: {counts:?}");
    }
}

/// Mostly the default, sometimes tidy, sometimes crowded with policies.
fn shape_of(seed: u64) -> Shape {
    match seed % 4 {
        0 => Shape::tidy(),
        1 => Shape { policies: 12, rules: 6, ..Shape::default() },
        _ => Shape::default(),
    }
}

#[test]
fn incremental_equals_fresh() {
    for seed in 1..=number("BULKHEAD_LIVES", 30) {
        let world = World::seed(seed);
        let changes = life(&world, 40);
        if let Err(difference) = live(&changes, 3) {
            let smallest = shrink(&changes, |part| live(part, 3).is_err());
            panic!("seed {seed}: {difference}\nafter\n{smallest:#?}");
        }
    }
}

/// The world's own objects in an odd order, mixed with random changes.
fn life(world: &World, n_changes: usize) -> Vec<Change> {
    let mut changes: Vec<Change> = world.objects.iter().cloned().map(Change::Upsert).collect();
    if world.seed.is_multiple_of(2) {
        changes.reverse();
    }
    let more = world.changes(n_changes);
    let start = changes.len() / 2;
    changes.splice(start..start, more[..n_changes / 2].iter().cloned());
    changes.extend(more[n_changes / 2..].iter().cloned());
    changes
}

/// Applies the changes, `batch` to a round, and compares with a fresh engine after each round.
fn live(changes: &[Change], batch: usize) -> Result<(), String> {
    let mut engine = Engine::new();
    let mut followed: BTreeMap<String, NodeProgram> = BTreeMap::new();
    let mut so_far = Vec::new();
    for round in changes.chunks(batch) {
        for change in round {
            engine.apply(event(change));
            so_far.push(change.clone());
        }
        let changes = engine.take_changes();
        for node in &changes.removed_nodes {
            followed.remove(node);
        }
        for (node, delta) in &changes.nodes {
            let program = followed.entry(node.clone()).or_default();
            delta.apply(program).map_err(|e| format!("{node}: {e}"))?;
        }
        let expected = fresh(&outcome(&so_far));
        let found = programs(&mut engine);
        same(&expected, &found).map_err(|e| format!("engine: {e}"))?;
        same(&expected, &without_revisions(&followed)).map_err(|e| format!("deltas: {e}"))?;
    }
    Ok(())
}

fn without_revisions(programs: &BTreeMap<String, NodeProgram>) -> BTreeMap<String, NodeProgram> {
    let mut programs = programs.clone();
    programs.values_mut().for_each(|program| program.revision = Default::default());
    programs
}

fn same(
    expected: &BTreeMap<String, NodeProgram>,
    found: &BTreeMap<String, NodeProgram>,
) -> Result<(), String> {
    if expected == found {
        return Ok(());
    }
    let nodes = |programs: &BTreeMap<String, NodeProgram>| {
        programs.keys().cloned().collect::<Vec<_>>().join(", ")
    };
    for (node, program) in expected {
        if let Some(found) = found.get(node).filter(|found| *found != program) {
            let delta = bulkhead_wire::ProgramDelta::between(program, found);
            return Err(format!("{node} differs from fresh by {delta:#?}"));
        }
    }
    Err(format!("nodes differ: fresh has {}, not {}", nodes(expected), nodes(found)))
}

/// Any number of rounds comes to the same as one, and so do the composed deltas.
#[test]
fn deltas_compose() {
    for seed in 100..=130 {
        let world = World::seed(seed);
        let changes = life(&world, 20);
        let mut at_once = Engine::new();
        changes.iter().for_each(|change| at_once.apply(event(change)));
        let whole = at_once.take_changes();
        let mut step_by_step = Engine::new();
        let mut followed: BTreeMap<String, NodeProgram> = BTreeMap::new();
        for change in &changes {
            step_by_step.apply(event(change));
            let round = step_by_step.take_changes();
            for node in &round.removed_nodes {
                followed.remove(node);
            }
            for (node, delta) in &round.nodes {
                let keys_set = delta.entries.set.keys();
                let is_disjoint = keys_set.clone().all(|key| !delta.entries.unset.contains(key));
                assert!(is_disjoint, "INVARIANT(delta-disjoint), seed {seed}");
                delta.apply(followed.entry(node.clone()).or_default()).expect("in order");
            }
        }
        let mut composed = BTreeMap::new();
        for (node, delta) in &whole.nodes {
            let mut program = NodeProgram::default();
            delta.apply(&mut program).expect("a first delta applies to nothing");
            composed.insert(node.clone(), program);
        }
        same(&without_revisions(&composed), &without_revisions(&followed))
            .unwrap_or_else(|e| panic!("seed {seed}: {e}"));
    }
}

/// Objects may come in any order, in any number of rounds.
#[test]
fn order_of_independent_events_is_irrelevant() {
    for seed in 200..=240 {
        let world = World::seed(seed);
        let forward = fresh(&world.objects);
        let mut engine = Engine::new();
        for (index, object) in world.objects.iter().rev().enumerate() {
            engine.apply(Event::Upsert(object.clone()));
            if index % 3 == 0 {
                engine.take_changes();
            }
        }
        engine.take_changes();
        same(&forward, &programs(&mut engine)).unwrap_or_else(|e| panic!("seed {seed}: {e}"));
    }
}

/// An object that comes twice is as if it came once, and moves nothing the second time.
#[test]
fn saying_it_again_changes_nothing() {
    for seed in 300..=330 {
        let world = World::seed(seed);
        let mut engine = Engine::new();
        for object in &world.objects {
            engine.apply(Event::Upsert(object.clone()));
        }
        engine.take_changes();
        for object in &world.objects {
            engine.apply(Event::Upsert(object.clone()));
        }
        let changes = engine.take_changes();
        assert!(changes.nodes.is_empty(), "seed {seed}: {:#?}", changes.nodes);
        assert!(changes.policies.is_empty() && changes.diagnostics.is_empty(), "seed {seed}");
    }
}

/// After everything is deleted nothing is left, nor held.
#[test]
fn deleting_everything_leaves_nothing() {
    for seed in 400..=430 {
        let world = World::seed(seed);
        let mut engine = Engine::new();
        for object in &world.objects {
            engine.apply(Event::Upsert(object.clone()));
        }
        engine.take_changes();
        for object in &world.objects {
            engine.apply(Event::Delete(object.key()));
        }
        engine.take_changes();
        assert!(programs(&mut engine).is_empty(), "seed {seed}");
        assert!(engine.is_idle(), "seed {seed}: something is still held: {engine:#?}");
    }
}

#[test]
fn programs_are_closed() {
    for seed in 500..=540 {
        let world = World::seed(seed);
        for (node, program) in fresh(&world.objects) {
            assert_closed(&program).unwrap_or_else(|e| panic!("seed {seed} {node}: {e}"));
        }
    }
}
