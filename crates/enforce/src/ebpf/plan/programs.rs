//! Entries, and which programs need a new slot because their answer changes.
//!
//! An id by content normally means the same for ever, so a changed answer under a known id is rare;
//! but the invariant of the plan must not hang on it.

use std::collections::{BTreeMap, BTreeSet};

use bulkhead_enforce_abi::{CLASS_OUTSIDE, EntryKey};
use bulkhead_wire::{NodeProgram, ProgramId};

use super::{NewSlots, dangling};
use crate::node::EnforceError;
use crate::realized::{SlotKind, Tables};

pub struct EntryChange {
    pub set: Vec<(EntryKey, u32)>,
    pub unset: Vec<EntryKey>,
    pub n_added: usize,
}

/// Class slot to row slot, of one program.
type Answers = BTreeMap<u32, u32>;

pub fn plan(
    now: &Tables,
    program: &NodeProgram,
    slots: &mut NewSlots,
) -> Result<EntryChange, EnforceError> {
    let mut wanted: BTreeMap<EntryKey, u32> = BTreeMap::new();
    let mut live: Option<BTreeSet<u32>> = None;
    for (id, answers) in answers_by_program(program, slots)? {
        if !answers.contains_key(&CLASS_OUTSIDE) {
            return Err(dangling(program, format!("the outside entry of program {id}")));
        }
        let known = slots.of(SlotKind::Program, id.0).filter(|slot| {
            let old = old_answers(now, *slot);
            old == answers || {
                let live = live.get_or_insert_with(|| live_classes(now, program, slots));
                !differs(&old, &answers, live)
            }
        });
        let program = known.unwrap_or_else(|| slots.add_next(SlotKind::Program, id.0));
        wanted.extend(answers.into_iter().map(|(class, row)| (EntryKey { program, class }, row)));
    }
    let set: Vec<_> = wanted
        .iter()
        .filter(|(key, row)| now.entries.get(key) != Some(row))
        .map(|(key, row)| (*key, *row))
        .collect();
    let n_added = set.iter().filter(|(key, _)| !now.entries.contains_key(key)).count();
    let unset = now.entries.keys().filter(|key| !wanted.contains_key(key)).copied().collect();
    Ok(EntryChange { set, unset, n_added })
}

fn answers_by_program(
    program: &NodeProgram,
    slots: &NewSlots,
) -> Result<Vec<(ProgramId, Answers)>, EnforceError> {
    let mut all: Vec<(ProgramId, Answers)> = Vec::new();
    for ((id, class), row) in program.entries.iter() {
        let class = slots
            .class(*class)
            .ok_or_else(|| dangling(program, format!("class {class} of program {id}")))?;
        let row = slots
            .of(SlotKind::Row, row.0)
            .ok_or_else(|| dangling(program, format!("row {row} of program {id}")))?;
        match all.last_mut() {
            Some((last, answers)) if last == id => {
                answers.insert(class, row);
            }
            _ => all.push((*id, Answers::from([(class, row)]))),
        }
    }
    Ok(all)
}

fn old_answers(now: &Tables, program: u32) -> Answers {
    let first = EntryKey { program, class: 0 };
    let last = EntryKey { program, class: u32::MAX };
    now.entries.range(first..=last).map(|(key, row)| (key.class, *row)).collect()
}

/// Classes that some address has both now and afterwards: only about these can a program be asked
/// while old and new stand side by side.
fn live_classes(now: &Tables, program: &NodeProgram, slots: &NewSlots) -> BTreeSet<u32> {
    let before: BTreeSet<u32> = now.classes.values().flat_map(|value| value.lane).collect();
    let after: BTreeSet<u32> =
        program.classes.values().filter_map(|class| slots.class(*class)).collect();
    let mut live: BTreeSet<u32> = before.intersection(&after).copied().collect();
    live.insert(CLASS_OUTSIDE);
    live
}

fn differs(old: &Answers, new: &Answers, live: &BTreeSet<u32>) -> bool {
    let answer = |answers: &Answers, class: &u32| {
        answers.get(class).or_else(|| answers.get(&CLASS_OUTSIDE)).copied()
    };
    let classes: BTreeSet<&u32> = old.keys().chain(new.keys()).collect();
    classes
        .into_iter()
        .any(|class| live.contains(class) && answer(old, class) != answer(new, class))
}
