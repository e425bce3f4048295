//! What is sent is what changed, no more and no less.

use std::collections::BTreeMap;

use bulkhead_policy::Engine;
use bulkhead_testbed::worlds::{Lives, Worlds};
use bulkhead_wire::{NodeProgram, ProgramDelta};

use crate::programs_of::{assert_closed, event, fresh, same, without_revisions};
use crate::{hold, shapes};

/// Any number of rounds comes to the same as one, and so do the composed deltas.
#[test]
fn deltas_compose() {
    let lives = Lives { shapes: shapes(), changes: 20 };
    hold(25, (lives, 1usize..5), |(changes, batch)| {
        let mut at_once = Engine::new();
        changes.0.iter().for_each(|change| at_once.apply(event(change)));
        let whole = at_once.take_changes();
        let mut step_by_step = Engine::new();
        let mut followed: BTreeMap<String, NodeProgram> = BTreeMap::new();
        for round in changes.0.chunks(*batch) {
            round.iter().for_each(|change| step_by_step.apply(event(change)));
            let round = step_by_step.take_changes();
            for node in &round.removed_nodes {
                followed.remove(node);
            }
            for (node, delta) in &round.nodes {
                let program = followed.entry(node.clone()).or_default();
                delta.apply(program).map_err(|e| format!("{node}: {e}"))?;
            }
        }
        let mut composed = BTreeMap::new();
        for (node, delta) in &whole.nodes {
            let mut program = NodeProgram::default();
            delta.apply(&mut program).map_err(|e| format!("{node}: {e}"))?;
            composed.insert(node.clone(), program);
        }
        same(&without_revisions(&composed), &without_revisions(&followed))
    });
}

/// A delta is exactly the difference of two programs: nothing is sent that the node has, no key is
/// both set and unset, and a node whose program stays hears nothing.
#[test]
fn a_delta_is_exactly_the_difference() {
    let lives = Lives { shapes: shapes(), changes: 30 };
    hold(25, (lives, 1usize..5), |(changes, batch)| {
        let mut engine = Engine::new();
        let mut before: BTreeMap<String, NodeProgram> = BTreeMap::new();
        for round in changes.0.chunks(*batch) {
            round.iter().for_each(|change| engine.apply(event(change)));
            let round = engine.take_changes();
            let nodes: Vec<String> = engine.nodes().map(str::to_owned).collect();
            let mut after = BTreeMap::new();
            for node in nodes {
                let program = engine.program(&node).expect("a known node");
                let old = before.remove(&node).unwrap_or_default();
                let difference = ProgramDelta::between(&old, &program);
                let sent = round.nodes.get(&node).map(|delta| (**delta).clone());
                let expected = (difference != ProgramDelta::between(&old, &old)
                    || (old == NodeProgram::default() && sent.is_some()))
                .then_some(difference);
                if sent != expected {
                    return Err(format!("{node} was sent {sent:#?} instead of {expected:#?}"));
                }
                after.insert(node, (*program).clone());
            }
            let gone: Vec<&String> = before.keys().collect();
            let said: Vec<&String> =
                round.removed_nodes.iter().filter(|node| before.contains_key(*node)).collect();
            if gone != said {
                return Err(format!("gone are {gone:?}, said is {said:?}"));
            }
            before = after;
        }
        Ok(())
    });
}

#[test]
fn programs_are_closed() {
    hold(40, Worlds(shapes()), |world| {
        fresh(&world.0).iter().try_for_each(|(node, program)| {
            let plain = program.without_staged();
            let mut all = plain.iter().chain([program]);
            all.try_for_each(assert_closed).map_err(|e| format!("{node}: {e}"))
        })
    });
}
