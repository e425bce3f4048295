//! What it changes that an address was looked up under a name.
//!
//! A *tag* is a group that a name can bring an address into. A program tells apart only the tags that
//! it sees; for each set of these that names can bring about it has rows of its own. Which address
//! has which names only the node knows: it saw the answers.

use std::collections::BTreeSet;

use bulkhead_types::Names;
use bulkhead_types::names::patterns_over;
use serde::{Deserialize, Serialize};

use crate::delta::Change;
use crate::id::{ClassId, NameSetId, ProgramId, RowId, Tag, content_hash};
use crate::table::Table;

/// INVARIANT(names-closed): programs and rows that are named here are defined in the node's program,
/// and a program's set has an entry for [`ClassId::OUTSIDE`] if it has any.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NameTables {
    /// A name, or `*.` and a name for every name below: the groups that list exactly this.
    pub patterns: Table<String, BTreeSet<Tag>>,
    /// Programs to which names make a difference.
    pub programs: Table<ProgramId, Sight>,
    /// A class that a program cannot tell from the outside under these names has no entry of its own.
    pub entries: Table<(ProgramId, ClassId, NameSetId), RowId>,
}

/// What a program sees of names.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sight {
    pub tags: BTreeSet<Tag>,
    /// Some names together would bring about a set that the program has no entry for: there were too
    /// many. What comes to such a set is denied.
    pub is_cut: bool,
}

impl NameTables {
    pub fn is_empty(&self) -> bool {
        self.patterns.is_empty() && self.programs.is_empty() && self.entries.is_empty()
    }

    /// The tags that the names bring.
    pub fn tags_of(&self, names: &Names) -> BTreeSet<Tag> {
        let patterns = names.iter().flat_map(patterns_over);
        patterns.filter_map(|pattern| self.patterns.get(&pattern)).flatten().copied().collect()
    }

    /// What the program sees of these tags; `None`: nothing, so the names make no difference to it.
    pub fn seen_by(&self, program: ProgramId, tags: &BTreeSet<Tag>) -> Option<NameSetId> {
        let sight = self.programs.get(&program)?;
        let seen: BTreeSet<Tag> = tags.intersection(&sight.tags).copied().collect();
        (!seen.is_empty()).then(|| NameSetId::of(&seen))
    }

    /// The row for addresses of the class that were looked up under such names. `None`: there were
    /// too many sets.
    pub fn row(&self, program: ProgramId, class: ClassId, set: NameSetId) -> Option<RowId> {
        let row = self.entries.get(&(program, class, set));
        row.or_else(|| self.entries.get(&(program, ClassId::OUTSIDE, set))).copied()
    }
}

impl NameSetId {
    pub fn of(tags: &BTreeSet<Tag>) -> Self {
        let bytes: Vec<[u8; 8]> = tags.iter().map(|tag| tag.0.to_be_bytes()).collect();
        Self(content_hash(bytes.iter().map(<[u8; 8]>::as_slice)))
    }
}

/// What changes between two [`NameTables`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NameChange {
    pub patterns: Change<String, BTreeSet<Tag>>,
    pub programs: Change<ProgramId, Sight>,
    pub entries: Change<(ProgramId, ClassId, NameSetId), RowId>,
}

impl NameChange {
    pub fn between(old: &NameTables, new: &NameTables) -> Self {
        Self {
            patterns: Change::between(&old.patterns, &new.patterns),
            programs: Change::between(&old.programs, &new.programs),
            entries: Change::between(&old.entries, &new.entries),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.patterns.is_empty() && self.programs.is_empty() && self.entries.is_empty()
    }

    pub fn apply(&self, tables: &mut NameTables) {
        self.patterns.apply(&mut tables.patterns);
        self.programs.apply(&mut tables.programs);
        self.entries.apply(&mut tables.entries);
    }
}
