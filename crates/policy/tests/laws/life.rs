//! Whatever happened, and in whatever order, the engine is where a fresh one would be.

use std::collections::BTreeMap;

use bulkhead_api::Object;
use bulkhead_policy::rule::Moment;
use bulkhead_policy::{Engine, Event};
use bulkhead_testbed::worlds::{Change, Lives, MOMENTS, Worlds, outcome};
use bulkhead_types::Revision;
use bulkhead_wire::{NodeProgram, ProgramDelta};

use crate::programs_of::{
    event, fresh, fresh_at, fresh_engine, moment_number, programs, same, without_revisions,
};
use crate::{hold, shapes};

/// Objects that come late, change, come twice, go, come back, or go without ever having been there.
fn lives() -> Lives {
    Lives { shapes: shapes(), changes: 30 }
}

#[test]
fn incremental_equals_fresh() {
    hold(20, (lives(), 1usize..8), |(changes, batch)| live(&changes.0, *batch));
}

/// Applies the changes, `batch` to a round, while time goes by, and compares with a fresh engine
/// after each round.
fn live(changes: &[Change], batch: usize) -> Result<(), String> {
    let mut engine = Engine::new();
    let mut followed: BTreeMap<String, NodeProgram> = BTreeMap::new();
    let mut so_far = Vec::new();
    let mut now = None;
    let n_rounds = changes.chunks(batch).len();
    for (index, round) in changes.chunks(batch).enumerate() {
        for change in round {
            engine.apply(event(change));
            so_far.push(change.clone());
        }
        now = moment_number(index * (MOMENTS.len() + 1) / n_rounds);
        now.into_iter().for_each(|now| engine.advance(now));
        let changes = engine.take_changes();
        for node in &changes.removed_nodes {
            followed.remove(node);
        }
        for (node, delta) in &changes.nodes {
            let program = followed.entry(node.clone()).or_default();
            delta.apply(program).map_err(|e| format!("{node}: {e}"))?;
        }
        let left = outcome(&so_far);
        let expected = fresh_at(&left, now);
        let found = programs(&mut engine);
        same(&expected, &found).map_err(|e| format!("engine: {e}"))?;
        same(&expected, &without_revisions(&followed)).map_err(|e| format!("deltas: {e}"))?;
    }
    same_words(&engine, &outcome(changes), now)
}

/// What is said of each object, and which nodes each policy is for, is as if they had just come.
fn same_words(engine: &Engine, objects: &[Object], now: Option<Moment>) -> Result<(), String> {
    let fresh = fresh_engine(objects, now);
    if fresh.next_expiry() != engine.next_expiry() {
        let [fresh, found] = [fresh.next_expiry(), engine.next_expiry()];
        return Err(format!("the next end is {fresh:?}, not {found:?}"));
    }
    for key in objects.iter().map(Object::key) {
        let (expected, found) = (fresh.diagnostics(&key), engine.diagnostics(&key));
        if expected != found {
            return Err(format!("of {key} fresh says {expected:?}, not {found:?}"));
        }
        let Some(policy) = key.policy() else { continue };
        let nodes = |engine: &Engine| engine.nodes_of(&policy).map(str::to_owned).collect();
        let (expected, found): (Vec<String>, Vec<String>) = (nodes(&fresh), nodes(engine));
        if expected != found {
            return Err(format!("{policy} is for {expected:?}, not {found:?}"));
        }
    }
    Ok(())
}

/// Objects may come in any order, in any number of rounds.
#[test]
fn order_of_independent_events_is_irrelevant() {
    hold(40, (Worlds(shapes()), 1usize..8, 0usize..100), |(world, batch, turn)| {
        let forward = fresh(&world.0);
        let mut objects = world.0.clone();
        objects.reverse();
        let turn = turn % objects.len().max(1);
        objects.rotate_left(turn);
        let mut engine = Engine::new();
        for round in objects.chunks(*batch) {
            round.iter().for_each(|object| engine.apply(Event::Upsert(object.clone())));
            engine.take_changes();
        }
        same(&forward, &programs(&mut engine))
    });
}

/// An object that comes twice is as if it came once, and moves nothing the second time.
#[test]
fn saying_it_again_changes_nothing() {
    hold(40, Worlds(shapes()), |world| {
        let mut engine = Engine::new();
        world.0.iter().for_each(|object| engine.apply(Event::Upsert(object.clone())));
        engine.take_changes();
        world.0.iter().for_each(|object| engine.apply(Event::Upsert(object.clone())));
        let changes = engine.take_changes();
        let moved = !changes.nodes.is_empty()
            || !changes.policies.is_empty()
            || !changes.diagnostics.is_empty();
        if moved { Err(format!("{changes:#?}")) } else { Ok(()) }
    });
}

/// After everything is deleted nothing is left, nor held.
#[test]
fn deleting_everything_leaves_nothing() {
    hold(25, lives(), |changes| {
        let mut engine = Engine::new();
        for change in &changes.0 {
            engine.apply(event(change));
        }
        engine.take_changes();
        for object in outcome(&changes.0) {
            engine.apply(Event::Delete(object.key()));
        }
        engine.take_changes();
        let left = programs(&mut engine);
        if !left.is_empty() {
            return Err(format!("left: {left:#?}"));
        }
        if !engine.is_idle() {
            return Err(format!("something is still held: {engine:#?}"));
        }
        Ok(())
    });
}

/// A new process that reads the same objects says the same under newer revisions.
#[test]
fn a_restart_changes_no_program_and_no_revision_goes_back() {
    hold(25, lives(), |changes| {
        let mut old = Engine::new();
        for change in &changes.0 {
            old.apply(event(change));
        }
        let last = old.take_changes().revision;
        let mut new = Engine::after(Revision(last.0 + 1_000));
        for object in outcome(&changes.0) {
            new.apply(Event::Upsert(object));
        }
        new.take_changes();
        same(&programs(&mut old), &programs(&mut new))?;
        let nodes: Vec<String> = new.nodes().map(str::to_owned).collect();
        for node in nodes {
            let revision = new.program(&node).expect("a known node").revision;
            if revision.0 <= last.0 + 1_000 {
                return Err(format!("{node} is at {revision}, after {last}"));
            }
        }
        Ok(())
    });
}

/// An engine that serves some nodes says of these what an engine for all says, and nothing of others,
/// whatever happens and wherever endpoints move.
#[test]
fn an_engine_for_some_nodes_says_the_same_of_these() {
    hold(15, (lives(), 1usize..8, 0usize..2), |(changes, batch, node)| {
        let served = format!("node-{node}");
        let mut all = Engine::new();
        let mut some = Engine::serving([served.clone()]);
        for round in changes.0.chunks(*batch) {
            for change in round {
                all.apply(event(change));
                some.apply(event(change));
            }
            let (told_all, told_some) = (all.take_changes(), some.take_changes());
            let delta = |told: &bulkhead_policy::Changes| -> Option<ProgramDelta> {
                let delta = told.nodes.get(&served)?;
                Some(ProgramDelta { base: Revision(0), revision: Revision(0), ..(**delta).clone() })
            };
            if delta(&told_all) != delta(&told_some) {
                return Err(format!(
                    "all: {:#?}\nsome: {:#?}",
                    delta(&told_all),
                    delta(&told_some)
                ));
            }
            if let Some(other) = told_some.nodes.keys().find(|node| **node != served) {
                return Err(format!("{other} is not served, but told"));
            }
            let mut expected = programs(&mut all);
            expected.retain(|node, _| *node == served);
            let mut found = programs(&mut some);
            found.retain(|_, program| *program != NodeProgram::default());
            expected.retain(|_, program| *program != NodeProgram::default());
            same(&expected, &found)?;
        }
        Ok(())
    });
}
