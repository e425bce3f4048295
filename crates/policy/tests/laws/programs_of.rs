//! What the integration tests share.

use std::collections::{BTreeMap, BTreeSet};

use bulkhead_api::Object;
use bulkhead_policy::rule::Moment;
use bulkhead_policy::{Engine, Event};
use bulkhead_testbed::Change;
use bulkhead_testbed::worlds::MOMENTS;
use bulkhead_types::LOGGED_MAX;
use bulkhead_wire::{ClassId, NodeProgram, ProgramId, RuleId};

pub fn event(change: &Change) -> Event {
    match change {
        Change::Upsert(object) => Event::Upsert(object.clone()),
        Change::Delete(key) => Event::Delete(key.clone()),
    }
}

/// The programs that a new engine makes of the objects, revisions left out.
pub fn fresh(objects: &[Object]) -> BTreeMap<String, NodeProgram> {
    fresh_at(objects, None)
}

/// As [`fresh`], of an engine that was told how late it is.
pub fn fresh_at(objects: &[Object], now: Option<Moment>) -> BTreeMap<String, NodeProgram> {
    programs(&mut fresh_engine(objects, now))
}

pub fn fresh_engine(objects: &[Object], now: Option<Moment>) -> Engine {
    let mut engine = Engine::new();
    if let Some(now) = now {
        engine.advance(now);
    }
    for object in objects {
        engine.apply(Event::Upsert(object.clone()));
    }
    engine.take_changes();
    engine
}

/// 0 is an engine that was told no time; the others are the [`MOMENTS`] of random worlds.
pub fn moment_number(number: usize) -> Option<Moment> {
    let text = MOMENTS.get(number.checked_sub(1)?)?;
    Some(bulkhead_policy::lower::moment(text).expect("a moment"))
}

pub fn programs(engine: &mut Engine) -> BTreeMap<String, NodeProgram> {
    let nodes: Vec<String> = engine.nodes().map(str::to_owned).collect();
    let program = |node: &String| {
        let mut program = (*engine.program(node).expect("a known node")).clone();
        program.revision = Default::default();
        (node.clone(), program)
    };
    nodes.iter().map(program).collect()
}

pub fn without_revisions(
    programs: &BTreeMap<String, NodeProgram>,
) -> BTreeMap<String, NodeProgram> {
    let mut programs = programs.clone();
    programs.values_mut().for_each(|program| program.revision = Default::default());
    programs
}

pub fn same(
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

/// INVARIANT(program-closed, names-closed): what is used is defined, and what is defined is used.
pub fn assert_closed(program: &NodeProgram) -> Result<(), String> {
    let judges =
        program.endpoints.values().flat_map(|e| e.addresses.values().chain(e.staged.values()));
    let mut judging: BTreeSet<ProgramId> = judges.flat_map(|j| [j.ingress, j.egress]).collect();
    let stages =
        program.hosts.values().flat_map(|host| host.stages.values().chain(host.staged.values()));
    judging.extend(stages.flat_map(|locals| locals.values().copied()));
    for id in &judging {
        if !program.entries.contains_key(&(*id, ClassId::OUTSIDE)) {
            return Err(format!("program {id} has no entry for the outside"));
        }
    }
    let named = program.names.entries.iter().map(|((id, class, _), row)| ((*id, *class), *row));
    let plain = program.entries.iter().map(|(key, row)| (*key, *row));
    let (mut used, mut rules) = (BTreeSet::new(), BTreeSet::new());
    for ((id, class), row) in plain.chain(named) {
        if !judging.contains(&id) {
            return Err(format!("program {id} judges nobody"));
        }
        if class != ClassId::OUTSIDE && !program.classes.values().any(|c| *c == class) {
            return Err(format!("class {class} has no address"));
        }
        used.insert(row);
        let Some(row) = program.rows.get(&row) else { return Err(format!("no row {row}")) };
        for leaf in row.all().into_iter().flat_map(|spans| spans.leaves()) {
            rules.insert(leaf.rule);
        }
    }
    for (id, _, set) in program.names.entries.keys() {
        let outside = (*id, ClassId::OUTSIDE, *set);
        if !program.names.programs.contains_key(id) || !program.names.entries.contains_key(&outside)
        {
            return Err(format!("program {id} sees names half"));
        }
    }
    if used.len() != program.rows.len() {
        return Err("some row is unused".to_owned());
    }
    assert_rules_closed(program, rules)
}

/// Exactly the rules of leaves are known, and those that lists of logged ones name; every list is some
/// leaf's.
fn assert_rules_closed(program: &NodeProgram, leaves: BTreeSet<RuleId>) -> Result<(), String> {
    let mut rules = leaves.clone();
    for (id, logged) in program.logged.iter() {
        if !leaves.contains(id) || logged.is_empty() || logged.len() > LOGGED_MAX {
            return Err(format!("rule {id} stands behind {logged:?}"));
        }
        rules.extend(logged.iter().copied());
    }
    if !rules.iter().eq(program.rules.keys()) {
        return Err(format!("rules {rules:?} are used, {:?} are known", program.rules));
    }
    Ok(())
}
