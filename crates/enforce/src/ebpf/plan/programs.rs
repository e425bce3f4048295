//! Entries, and which programs need a new slot because their answer changes.
//!
//! An id by content normally means the same for ever, so a changed answer under a known id is rare;
//! but the invariant of the plan must not hang on it.

use std::collections::{BTreeMap, BTreeSet};

use bulkhead_enforce_abi::{CLASS_OUTSIDE, EntryKey, NameEntryKey};
use bulkhead_wire::{ClassId, NodeProgram, ProgramId, RowId};

use super::{NewSlots, dangling};
use crate::node::EnforceError;
use crate::realized::{SlotKind, Tables};

pub struct EntryChange {
    pub set: Vec<(EntryKey, u32)>,
    pub unset: Vec<EntryKey>,
    pub n_added: usize,
    pub named: NamedChange,
}

/// The same about what was looked up under names.
pub struct NamedChange {
    pub set: Vec<(NameEntryKey, u32)>,
    pub unset: Vec<NameEntryKey>,
    pub n_added: usize,
}

/// Row slots of one program: by class slot, and by slots of name set and class.
#[derive(Default, PartialEq, Eq)]
struct Answers {
    plain: BTreeMap<u32, u32>,
    named: BTreeMap<u32, BTreeMap<u32, u32>>,
}

pub fn plan(
    now: &Tables,
    program: &NodeProgram,
    slots: &mut NewSlots,
) -> Result<EntryChange, EnforceError> {
    let mut wanted: BTreeMap<EntryKey, u32> = BTreeMap::new();
    let mut wanted_named: BTreeMap<NameEntryKey, u32> = BTreeMap::new();
    let mut live: Option<BTreeSet<u32>> = None;
    for (id, answers) in answers_by_program(program, slots)? {
        if !answers.plain.contains_key(&CLASS_OUTSIDE) {
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
        let Answers { plain, named } = answers;
        wanted.extend(plain.into_iter().map(|(class, row)| (EntryKey { program, class }, row)));
        for (set, answers) in named {
            let of_set = answers.into_iter();
            wanted_named
                .extend(of_set.map(|(class, row)| (NameEntryKey { program, class, set }, row)));
        }
    }
    let (set, unset, n_added) = difference(&now.entries, &wanted);
    let named = difference(&now.name_entries, &wanted_named);
    let named = NamedChange { set: named.0, unset: named.1, n_added: named.2 };
    Ok(EntryChange { set, unset, n_added, named })
}

/// What to set, what to unset, and how much of it is new.
fn difference<K: Ord + Copy>(
    now: &BTreeMap<K, u32>,
    wanted: &BTreeMap<K, u32>,
) -> (Vec<(K, u32)>, Vec<K>, usize) {
    let set: Vec<(K, u32)> = wanted
        .iter()
        .filter(|(key, row)| now.get(key) != Some(row))
        .map(|(key, row)| (*key, *row))
        .collect();
    let n_added = set.iter().filter(|(key, _)| !now.contains_key(key)).count();
    let unset = now.keys().filter(|key| !wanted.contains_key(key)).copied().collect();
    (set, unset, n_added)
}

fn answers_by_program(
    program: &NodeProgram,
    slots: &NewSlots,
) -> Result<Vec<(ProgramId, Answers)>, EnforceError> {
    let mut all: BTreeMap<ProgramId, Answers> = BTreeMap::new();
    let slot_of = |id: &ProgramId, class: &ClassId, row: &RowId| {
        let class = slots
            .class(*class)
            .ok_or_else(|| dangling(program, format!("class {class} of program {id}")))?;
        let row = slots
            .of(SlotKind::Row, row.0)
            .ok_or_else(|| dangling(program, format!("row {row} of program {id}")))?;
        Ok((class, row))
    };
    for ((id, class), row) in program.entries.iter() {
        let (class, row) = slot_of(id, class, row)?;
        all.entry(*id).or_default().plain.insert(class, row);
    }
    for ((id, class, set), row) in &program.names.entries {
        let (class, row) = slot_of(id, class, row)?;
        let set = slots
            .of(SlotKind::NameSet, set.0)
            .ok_or_else(|| dangling(program, format!("name set {set} of program {id}")))?;
        all.entry(*id).or_default().named.entry(set).or_default().insert(class, row);
    }
    Ok(all.into_iter().collect())
}

fn old_answers(now: &Tables, program: u32) -> Answers {
    let first = EntryKey { program, class: 0 };
    let last = EntryKey { program, class: u32::MAX };
    let plain = now.entries.range(first..=last).map(|(key, row)| (key.class, *row)).collect();
    let mut answers = Answers { plain, ..Answers::default() };
    let first = NameEntryKey { program, class: 0, set: 0 };
    let last = NameEntryKey { program, class: u32::MAX, set: u32::MAX };
    for (key, row) in now.name_entries.range(first..=last) {
        answers.named.entry(key.set).or_default().insert(key.class, *row);
    }
    answers
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

/// About a set that only one side knows neither is asked while both stand: addresses come to a set
/// after its entries, and leave it before.
fn differs(old: &Answers, new: &Answers, live: &BTreeSet<u32>) -> bool {
    let named = old.named.iter().filter_map(|(set, old)| Some((old, new.named.get(set)?)));
    std::iter::once((&old.plain, &new.plain)).chain(named).any(|(old, new)| {
        let answer = |answers: &BTreeMap<u32, u32>, class: &u32| {
            answers.get(class).or_else(|| answers.get(&CLASS_OUTSIDE)).copied()
        };
        let classes: BTreeSet<&u32> = old.keys().chain(new.keys()).collect();
        classes
            .into_iter()
            .any(|class| live.contains(class) && answer(old, class) != answer(new, class))
    })
}
