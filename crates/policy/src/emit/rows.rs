//! What each program answers about each class of a node: entries, and the rows and rules they name.

use std::collections::hash_map::Entry;
use std::sync::Arc;

use bulkhead_wire::{ClassId, ProgramId, RowId, RuleId};

use super::node::{NodeState, Painter, View};
use crate::resolve::{Named, Painted};
use crate::select::{GroupId, Groups};

impl NodeState {
    /// Enters the program's rows for the outside and for the views given.
    pub(super) fn add_program(
        &mut self,
        program: ProgramId,
        views: &[(View, ClassId)],
        groups: &Groups,
        painter: &mut impl Painter,
    ) {
        let Some(outside) = painter.paint(program, &[], groups) else { return };
        self.set_entry((program, ClassId::OUTSIDE), &outside, painter);
        for (view, class) in views {
            self.add_entry(program, view, *class, groups, painter);
        }
    }

    /// A view that the program cannot tell from the outside needs no entry.
    pub(super) fn add_entry(
        &mut self,
        program: ProgramId,
        view: &[GroupId],
        class: ClassId,
        groups: &Groups,
        painter: &mut impl Painter,
    ) {
        let is_seen = |group: &GroupId| {
            let seers = self.seers.get(&groups.seen_as(*group));
            seers.is_some_and(|seers| seers.binary_search(&program).is_ok())
        };
        let told_apart: Vec<GroupId> = view.iter().copied().filter(is_seen).collect();
        if told_apart.is_empty() {
            return;
        }
        let Some(painted) = painter.paint(program, &told_apart, groups) else { return };
        if self.tables.entries.get(&(program, ClassId::OUTSIDE)) != Some(&painted.id) {
            self.set_entry((program, class), &painted, painter);
        }
    }

    pub(super) fn drop_program(&mut self, program: ProgramId) {
        let first = (program, ClassId(0));
        let last = (program, ClassId(u64::MAX));
        let keys: Vec<_> = {
            let entries = self.tables.entries.starting_at(&first);
            entries.map(|(key, _)| *key).take_while(|key| *key <= last).collect()
        };
        for key in keys {
            self.unset_entry(&key);
        }
    }

    fn set_entry(
        &mut self,
        key: (ProgramId, ClassId),
        painted: &Arc<Painted>,
        painter: &mut impl Painter,
    ) {
        let old = self.tables.entries.get(&key).copied();
        if old == Some(painted.id) {
            return;
        }
        self.hold_row(painted, painter);
        self.entries.set(&mut self.tables.entries, key, painted.id);
        if let Some(old) = old {
            self.release_row(old);
        }
    }

    pub(super) fn unset_entry(&mut self, key: &(ProgramId, ClassId)) {
        let Some(row) = self.tables.entries.get(key).copied() else { return };
        self.entries.unset(&mut self.tables.entries, key);
        self.release_row(row);
    }

    /// One more entry names the row.
    pub(super) fn hold_row(&mut self, painted: &Arc<Painted>, painter: &mut impl Painter) {
        match self.row_uses.entry(painted.id) {
            Entry::Occupied(mut known) => {
                known.get_mut().0 += 1;
                return;
            }
            Entry::Vacant(slot) => slot.insert((1, Arc::clone(painted))),
        };
        self.rows.set(&mut self.tables.rows, painted.id, Arc::clone(&painted.row));
        for (id, named) in &painted.rules {
            let uses = self.rule_uses.entry(*id).or_default();
            *uses += 1;
            if *uses == 1 {
                self.rules.set(&mut self.tables.rules, *id, painter.name(*id, named));
                if let Named::Logged(behind) = named {
                    self.logged.set(&mut self.tables.logged, *id, Arc::clone(&behind.logged));
                }
            }
        }
    }

    /// One entry less names the row.
    pub(super) fn release_row(&mut self, row: RowId) {
        let Entry::Occupied(mut known) = self.row_uses.entry(row) else { return };
        known.get_mut().0 -= 1;
        if known.get().0 > 0 {
            return;
        }
        let (_, painted) = known.remove();
        self.rows.unset(&mut self.tables.rows, &row);
        painted.rules.iter().for_each(|(rule, _)| self.release_rule(*rule));
    }

    fn release_rule(&mut self, rule: RuleId) {
        let Entry::Occupied(mut uses) = self.rule_uses.entry(rule) else { return };
        *uses.get_mut() -= 1;
        if *uses.get() == 0 {
            uses.remove();
            self.rules.unset(&mut self.tables.rules, &rule);
            self.logged.unset(&mut self.tables.logged, &rule);
        }
    }
}
