//! Name tables and their changes.

use std::collections::{BTreeMap, BTreeSet};

use super::program::{change, table};
use super::{MessageError, bounded, text_up_to};
use crate::id::{ClassId, NameSetId, ProgramId, RowId, Tag};
use crate::limits;
use crate::message as m;
use crate::names::{NameChange, NameTables, Sight};

pub fn tables_message(tables: &NameTables) -> Option<m::NameTables> {
    (!tables.is_empty()).then(|| m::NameTables {
        patterns: tables.patterns.iter().map(pattern_message).collect(),
        programs: tables.programs.iter().map(sight_message).collect(),
        entries: tables.entries.iter().map(entry_message).collect(),
    })
}

pub fn tables(message: Option<m::NameTables>) -> Result<NameTables, MessageError> {
    let Some(message) = message else { return Ok(NameTables::default()) };
    Ok(NameTables {
        patterns: patterns("patterns", message.patterns)?.into(),
        programs: programs("programs", message.programs)?.into(),
        entries: entries("entries", message.entries)?.into(),
    })
}

pub fn change_message(change: &NameChange) -> Option<m::NameChange> {
    let unset_entry = |(program, class, set): &EntryKey| m::NameEntry {
        program: program.0,
        class: class.0,
        set: set.0,
        row: 0,
    };
    (!change.is_empty()).then(|| m::NameChange {
        set_patterns: change.patterns.set.iter().map(pattern_message).collect(),
        unset_patterns: change.patterns.unset.clone(),
        set_programs: change.programs.set.iter().map(sight_message).collect(),
        unset_programs: change.programs.unset.iter().map(|id| id.0).collect(),
        set_entries: change.entries.set.iter().map(entry_message).collect(),
        unset_entries: change.entries.unset.iter().map(unset_entry).collect(),
    })
}

pub fn name_change(message: Option<m::NameChange>) -> Result<NameChange, MessageError> {
    let Some(message) = message else { return Ok(NameChange::default()) };
    let unset_patterns = message.unset_patterns.into_iter().map(pattern);
    let unset_programs = message.unset_programs.into_iter().map(|id| Ok(ProgramId(id)));
    let unset_entries = message
        .unset_entries
        .into_iter()
        .map(|e| Ok((ProgramId(e.program), ClassId(e.class), NameSetId(e.set))));
    Ok(NameChange {
        patterns: change(
            patterns("set_patterns", message.set_patterns)?,
            unset_patterns,
            ("unset_patterns", limits::PATTERNS_MAX),
        )?,
        programs: change(
            programs("set_programs", message.set_programs)?,
            unset_programs,
            ("unset_programs", limits::ENTRIES_MAX),
        )?,
        entries: change(
            entries("set_entries", message.set_entries)?,
            unset_entries,
            ("unset_entries", limits::NAME_ENTRIES_MAX),
        )?,
    })
}

type EntryKey = (ProgramId, ClassId, NameSetId);

fn pattern_message((pattern, tags): (&String, &BTreeSet<Tag>)) -> m::NamePattern {
    m::NamePattern { pattern: pattern.clone(), tags: tag_messages(tags) }
}

fn sight_message((program, sight): (&ProgramId, &Sight)) -> m::Sight {
    m::Sight { program: program.0, tags: tag_messages(&sight.tags), is_cut: sight.is_cut }
}

fn entry_message(((program, class, set), row): (&EntryKey, &RowId)) -> m::NameEntry {
    m::NameEntry { program: program.0, class: class.0, set: set.0, row: row.0 }
}

fn tag_messages(tags: &BTreeSet<Tag>) -> Vec<u64> {
    tags.iter().map(|tag| tag.0).collect()
}

fn pattern(pattern: String) -> Result<String, MessageError> {
    text_up_to("pattern", pattern, limits::PATTERN_BYTES_MAX)
}

fn tags(tags: Vec<u64>) -> Result<BTreeSet<Tag>, MessageError> {
    bounded("tags", &tags, limits::TAGS_MAX)?;
    Ok(tags.into_iter().map(Tag).collect())
}

fn patterns(
    field: &str,
    messages: Vec<m::NamePattern>,
) -> Result<BTreeMap<String, BTreeSet<Tag>>, MessageError> {
    table(field, messages, limits::PATTERNS_MAX, |message| {
        Ok((pattern(message.pattern)?, tags(message.tags)?))
    })
}

fn programs(
    field: &str,
    messages: Vec<m::Sight>,
) -> Result<BTreeMap<ProgramId, Sight>, MessageError> {
    table(field, messages, limits::ENTRIES_MAX, |message| {
        let sight = Sight { tags: tags(message.tags)?, is_cut: message.is_cut };
        Ok((ProgramId(message.program), sight))
    })
}

fn entries(
    field: &str,
    messages: Vec<m::NameEntry>,
) -> Result<BTreeMap<EntryKey, RowId>, MessageError> {
    table(field, messages, limits::NAME_ENTRIES_MAX, |message| {
        let key = (ProgramId(message.program), ClassId(message.class), NameSetId(message.set));
        Ok((key, RowId(message.row)))
    })
}
