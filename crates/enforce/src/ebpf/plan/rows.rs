//! New rows get slots and spans; rows that no entry names any more are freed.

use std::collections::BTreeSet;

use bulkhead_enforce_abi::{LEAF_NO_SAY, RULE_STAGE_DEFAULT};
use bulkhead_types::RuleRef;
use bulkhead_wire::{NodeProgram, RowId, RuleId};

use super::{NewSlots, dangling};
use crate::ebpf::encode::{encode, n_spans};
use crate::kernel::KernelOp;
use crate::limits::{MapSizes, SPANS_PER_PART_MAX};
use crate::node::EnforceError;
use crate::realized::{SlotKind, Tables};

pub struct RowChange {
    /// Spans before the row that points at them.
    pub set: Vec<KernelOp>,
    pub unset: Vec<u32>,
    /// One past the highest index that is used at the peak.
    pub slots_end: u32,
    pub spans_end: u32,
}

pub fn plan(
    now: &Tables,
    program: &NodeProgram,
    slots: &mut NewSlots,
    sizes: &MapSizes,
) -> Result<RowChange, EnforceError> {
    let used = program.entries.values().chain(program.names.entries.values());
    let wanted: BTreeSet<RowId> = used.copied().collect();
    let known = |slots: &NewSlots, row: RowId| {
        slots.of(SlotKind::Row, row.0).filter(|slot| now.rows.contains_key(slot)).is_some()
    };
    let missing: Vec<RowId> = wanted.iter().filter(|row| !known(slots, **row)).copied().collect();
    let mut free = FreeSlots::new(now);
    let mut extents = now.spans.clone();
    let mut set = Vec::new();
    for id in missing {
        let row = program.rows.get(&id).ok_or_else(|| dangling(program, format!("row {id}")))?;
        let n = n_spans(row).ok_or(EnforceError::Capacity {
            map: "spans of one row",
            needed: SPANS_PER_PART_MAX as u64 + 1,
            available: SPANS_PER_PART_MAX as u64,
            revision: program.revision,
        })?;
        let start = extents.find(n);
        extents.take(start, n);
        let (value, spans) = encode(row, start, &|rule| leaf_slot(program, slots, rule))
            .ok_or_else(|| dangling(program, format!("a rule in row {id}")))?;
        let slot = slots.add(SlotKind::Row, free.next(), id.0);
        // Past the end of the map nothing is encoded any more, only counted.
        if extents.end() <= sizes.spans && free.end <= sizes.rows {
            if !spans.is_empty() {
                set.push(KernelOp::SetSpans(start, spans));
            }
            set.push(KernelOp::SetRow(slot, value));
        }
    }
    let kept: BTreeSet<u32> = slots
        .slots
        .all(SlotKind::Row)
        .filter(|(_, content)| wanted.contains(&RowId(*content)))
        .map(|(slot, _)| slot)
        .collect();
    let unset = now.rows.keys().filter(|slot| !kept.contains(slot)).copied().collect();
    Ok(RowChange { set, unset, slots_end: free.end, spans_end: extents.end() })
}

/// What stands for a rule in a leaf.
fn leaf_slot(program: &NodeProgram, slots: &NewSlots, rule: RuleId) -> Option<u32> {
    match program.rules.get(&rule).map(AsRef::as_ref) {
        // A slot of its own where something was logged: the kernel tells of such a flow.
        Some(RuleRef::StageDefault) if program.logged.contains_key(&rule) => {
            Some(slots.of(SlotKind::Rule, rule.0)? | LEAF_NO_SAY)
        }
        Some(RuleRef::StageDefault) => Some(RULE_STAGE_DEFAULT | LEAF_NO_SAY),
        _ => slots.of(SlotKind::Rule, rule.0),
    }
}

/// Row slots that may be used, lowest first.
struct FreeSlots {
    holes: std::vec::IntoIter<u32>,
    end: u32,
}

impl FreeSlots {
    fn new(now: &Tables) -> Self {
        let end = now.rows.keys().next_back().map_or(0, |last| last + 1);
        let holes: Vec<u32> = if end as usize == now.rows.len() {
            Vec::new()
        } else {
            (0..end).filter(|slot| !now.rows.contains_key(slot)).collect()
        };
        Self { holes: holes.into_iter(), end }
    }

    fn next(&mut self) -> u32 {
        self.holes.next().unwrap_or_else(|| {
            self.end += 1;
            self.end - 1
        })
    }
}
