//! The part of a node's tables that is about names.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use bulkhead_types::Names;
use bulkhead_wire::names::{NameChange, NameTables, Sight};
use bulkhead_wire::{ClassId, NameSetId, ProgramId, Tag};

use super::node::{NodeState, Painter};
use crate::engine::NameIndex;
use crate::resolve::Painted;
use crate::select::{GroupId, Groups};

/// Sets of tags that a program has rows for. More can come about only where names of several lists
/// have one address.
pub const NAME_SETS_MAX: usize = 64;
/// Rows for names on one node.
pub const NAME_ROWS_MAX: usize = 65_536;

type TagSet = BTreeSet<Tag>;
type Entries = BTreeMap<(ProgramId, ClassId, NameSetId), Arc<Painted>>;

impl NodeState {
    /// Makes the name tables anew, and gives what changed.
    pub(super) fn emit_names(
        &mut self,
        index: &NameIndex,
        groups: &Groups,
        painter: &mut impl Painter,
    ) -> NameChange {
        let mut seen: BTreeMap<ProgramId, BTreeMap<Tag, GroupId>> = BTreeMap::new();
        for group in index.groups() {
            for program in self.seers_of_group(*group) {
                let tag = Tag(groups.content(*group));
                seen.entry(program).or_default().insert(tag, *group);
            }
        }
        let mut tables = NameTables::default();
        for (pattern, brought) in index.patterns() {
            let is_seen = |group: &&GroupId| self.seers_of_group(**group).next().is_some();
            let tags: TagSet =
                brought.iter().filter(is_seen).map(|group| Tag(groups.content(*group))).collect();
            if !tags.is_empty() {
                tables.patterns.insert(pattern.clone(), tags);
            }
        }
        let mut painted = Entries::new();
        let closest = single_sets(&tables);
        for (program, tags) in seen {
            let budget = NAME_ROWS_MAX.saturating_sub(painted.len()) / (1 + self.n_views());
            let seen =
                |set: &TagSet| set.iter().filter(|t| tags.contains_key(t)).copied().collect();
            let singles: BTreeSet<TagSet> = closest.iter().map(seen).collect();
            let singles = singles.into_iter().filter(|set| !set.is_empty()).collect();
            let (sets, is_cut) = closure(&singles, NAME_SETS_MAX.min(budget));
            for set in sets {
                let brought: BTreeSet<GroupId> =
                    set.iter().filter_map(|tag| tags.get(tag)).copied().collect();
                self.paint_set(program, &set, &brought, groups, painter, &mut painted);
            }
            let sight = Sight { tags: tags.into_keys().collect(), is_cut };
            tables.programs.insert(program, sight);
        }
        tables.entries = painted.iter().map(|(key, row)| (*key, row.id)).collect();
        self.swap_names(tables, &painted, painter)
    }

    fn paint_set(
        &self,
        program: ProgramId,
        set: &TagSet,
        brought: &BTreeSet<GroupId>,
        groups: &Groups,
        painter: &mut impl Painter,
        painted: &mut Entries,
    ) {
        let id = NameSetId::of(set);
        let bare: Vec<GroupId> = brought.iter().copied().collect();
        let Some(outside) = painter.paint(program, &bare, groups) else { return };
        for (view, class) in self.views_of(program, groups) {
            let merged: BTreeSet<GroupId> = view.into_iter().chain(bare.iter().copied()).collect();
            let merged: Vec<GroupId> = merged.into_iter().collect();
            let Some(row) = painter.paint(program, &merged, groups) else { continue };
            if row.id != outside.id {
                painted.insert((program, class, id), row);
            }
        }
        painted.insert((program, ClassId::OUTSIDE, id), outside);
    }

    /// Rows that come before those that go, so that what both hold stays.
    fn swap_names(
        &mut self,
        tables: NameTables,
        painted: &Entries,
        painter: &mut impl Painter,
    ) -> NameChange {
        let change = NameChange::between(self.names(), &tables);
        for key in change.entries.set.keys() {
            if let Some(row) = painted.get(key) {
                self.hold_row(row, painter);
            }
        }
        let old = self.replace_names(tables);
        for key in change.entries.set.keys().chain(&change.entries.unset) {
            if let Some(row) = old.entries.get(key) {
                self.release_row(*row);
            }
        }
        change
    }
}

/// The sets that one name alone can bring about: a name is meant by its closest pattern, and then by
/// every pattern over that one.
fn single_sets(tables: &NameTables) -> BTreeSet<TagSet> {
    let patterns = tables.patterns.keys();
    let sets = patterns.map(|pattern| {
        let name = match pattern.strip_prefix("*.") {
            // Any name below; no list can hold this one.
            Some(rest) => format!("?.{rest}"),
            None => pattern.clone(),
        };
        tables.tags_of(&Names::new([name]))
    });
    sets.collect()
}

/// Every union of the sets, as far as there are no more than `max`; says whether there are more.
fn closure(singles: &BTreeSet<TagSet>, max: usize) -> (BTreeSet<TagSet>, bool) {
    let mut all: BTreeSet<TagSet> = singles.iter().take(max).cloned().collect();
    if singles.len() > max {
        return (all, true);
    }
    let mut queue: VecDeque<TagSet> = all.iter().cloned().collect();
    while let Some(set) = queue.pop_front() {
        for single in singles {
            let union: TagSet = set.union(single).copied().collect();
            if all.contains(&union) {
                continue;
            }
            if all.len() == max {
                return (all, true);
            }
            all.insert(union.clone());
            queue.push_back(union);
        }
    }
    (all, false)
}
