//! Programs that allow only what a rule allows, beside those of the early stages.

use std::collections::BTreeSet;
use std::sync::Arc;

use bulkhead_types::{Decision, RuleRef};
use bulkhead_wire::id::content_hash;
use bulkhead_wire::row::{Leaf, Outcome, Row, Span, Spans};
use bulkhead_wire::{ClassId, NodeProgram, ProgramId, RowId, RuleId, Table};

/// Adds them to programs; remembers the last ones, because most changes are about something else.
#[derive(Debug, Default)]
pub struct Said {
    last: Option<(Tables, Tables)>,
    ids: BTreeSet<ProgramId>,
}

#[derive(Debug)]
struct Tables {
    entries: Table<(ProgramId, ClassId), RowId>,
    rows: Table<RowId, Arc<Row>>,
}

impl Tables {
    fn of(program: &NodeProgram) -> Self {
        Self { entries: program.entries.clone(), rows: program.rows.clone() }
    }

    fn are(&self, program: &NodeProgram) -> bool {
        self.entries.is_same(&program.entries) && self.rows.is_same(&program.rows)
    }
}

impl Said {
    pub fn with(&mut self, program: &Arc<NodeProgram>) -> Arc<NodeProgram> {
        let stages = program.hosts.values().flat_map(|host| &host.stages);
        let early = stages.filter(|((stage, _), _)| stage.is_early());
        let ids: BTreeSet<ProgramId> =
            early.flat_map(|(_, locals)| locals.values().copied()).collect();
        if ids.is_empty() {
            return Arc::clone(program);
        }
        let mut twin = NodeProgram::clone(program);
        match self.last.take() {
            Some((before, after)) if self.ids == ids && before.are(program) => {
                (twin.entries, twin.rows) = (after.entries, after.rows);
            }
            _ => add(&mut twin, program, &ids),
        }
        self.last = Some((Tables::of(program), Tables::of(&twin)));
        self.ids = ids;
        twin.into()
    }
}

fn add(twin: &mut NodeProgram, program: &NodeProgram, ids: &BTreeSet<ProgramId>) {
    let is_silent =
        |rule: &RuleId| program.rules.get(rule).is_some_and(|rule| **rule == RuleRef::StageDefault);
    let (entries, rows) = (&mut twin.entries, &mut twin.rows);
    for ((id, class), row) in program.entries.iter().filter(|((id, _), _)| ids.contains(id)) {
        let Some(old) = program.rows.get(row) else { continue };
        let new = row_said(old, &is_silent);
        let new_id = RowId::of(&new);
        rows.insert(new_id, new.into());
        entries.insert((said_of(*id), *class), new_id);
    }
}

pub fn said_of(program: ProgramId) -> ProgramId {
    ProgramId(content_hash([b"said".as_slice(), &program.0.to_le_bytes()]))
}

/// `is_silent`: of the leaves where no policy of the stage has decided.
fn row_said(row: &Row, is_silent: &impl Fn(&RuleId) -> bool) -> Row {
    let leaf = |leaf: &Leaf| match is_silent(&leaf.rule) {
        true => Leaf { decision: Decision::Deny, ..*leaf },
        false => *leaf,
    };
    let spans = |old: &Spans| {
        let spans = old.as_slice().iter().map(|span| Span {
            start: span.start,
            outcome: match &span.outcome {
                Outcome::Leaf(old) => Outcome::Leaf(leaf(old)),
                Outcome::BySource(old) => {
                    Outcome::BySource(old.iter().map(|(start, old)| (*start, leaf(old))).collect())
                }
            },
        });
        Spans::new(spans.collect()).unwrap_or_else(|| old.clone())
    };
    Row {
        tcp: spans(&row.tcp),
        udp: spans(&row.udp),
        sctp: spans(&row.sctp),
        icmp: spans(&row.icmp),
        icmpv6: spans(&row.icmpv6),
        other: spans(&row.other),
    }
}
