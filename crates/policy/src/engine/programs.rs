//! The programs in use, and their rows as far as one round needs them.

use std::sync::Arc;

use bulkhead_types::RuleRef;
use bulkhead_wire::row::Leaf;
use bulkhead_wire::{ClassId, ProgramId, RuleId};
use hashbrown::Equivalent;
use rustc_hash::{FxBuildHasher, FxHashMap};

use super::Work;
use crate::emit::{Painter, View, class_id};
use crate::resolve::{Named, Painted, Program};
use crate::select::{GroupId, Groups};

#[derive(Debug, Default)]
pub struct Programs {
    by_id: FxHashMap<ProgramId, (Arc<Program>, usize)>,
    /// Without uses; forgotten at the end of the round unless used again before.
    idle: Vec<ProgramId>,
}

impl Programs {
    pub fn get(&self, id: ProgramId) -> Option<&Program> {
        self.by_id.get(&id).map(|(program, _)| program.as_ref())
    }

    /// Keeps the program, whose id is not known yet, for this round at least.
    pub fn add(&mut self, program: Program) {
        self.idle.push(program.id);
        self.by_id.insert(program.id, (Arc::new(program), 0));
    }

    /// Counts one more use.
    pub fn acquire(&mut self, id: ProgramId) -> Option<Arc<Program>> {
        let (program, n_uses) = self.by_id.get_mut(&id)?;
        *n_uses += 1;
        Some(Arc::clone(program))
    }

    /// Counts one use less.
    pub fn release(&mut self, id: ProgramId) -> Option<Arc<Program>> {
        let (program, n_uses) = self.by_id.get_mut(&id)?;
        *n_uses -= 1;
        if *n_uses == 0 {
            self.idle.push(id);
        }
        Some(Arc::clone(program))
    }

    /// Whether nothing is held.
    pub fn is_idle(&self) -> bool {
        self.by_id.is_empty()
    }

    /// Forgets programs that nobody uses.
    pub fn collect(&mut self) {
        for id in self.idle.drain(..) {
            if self.by_id.get(&id).is_some_and(|(_, n_uses)| *n_uses == 0) {
                self.by_id.remove(&id);
            }
        }
    }
}

/// Paints each row once in a round, whichever node asks first.
pub struct Rows<'a> {
    programs: &'a Programs,
    painted: hashbrown::HashMap<RowKey, Arc<Painted>, FxBuildHasher>,
    /// Rows of one answer, which many programs have for the outside.
    plain: FxHashMap<Leaf, Arc<Painted>>,
    views: FxHashMap<View, ClassId>,
    names: FxHashMap<RuleId, Arc<RuleRef>>,
    pub work: &'a mut Option<Vec<Work>>,
}

#[derive(PartialEq, Eq, Hash)]
struct RowKey {
    program: ProgramId,
    view: Box<[GroupId]>,
}

/// As [`RowKey`], borrowed; both hash alike.
#[derive(Hash)]
struct RowKeyRef<'a> {
    program: ProgramId,
    view: &'a [GroupId],
}

impl Equivalent<RowKey> for RowKeyRef<'_> {
    fn equivalent(&self, key: &RowKey) -> bool {
        self.program == key.program && *self.view == *key.view
    }
}

impl<'a> Rows<'a> {
    pub fn new(programs: &'a Programs, work: &'a mut Option<Vec<Work>>) -> Self {
        let (painted, plain, views, names) = Default::default();
        Self { programs, painted, plain, views, names, work }
    }
}

impl Rows<'_> {
    fn make(&mut self, program: &Program, view: &[GroupId], groups: &Groups) -> Arc<Painted> {
        match program.plain().filter(|_| view.is_empty()) {
            Some((leaf, rule)) => {
                let plain = self.plain.entry(leaf);
                Arc::clone(plain.or_insert_with(|| Arc::new(Painted::plain(leaf, rule))))
            }
            None => Arc::new(program.paint(view, groups)),
        }
    }
}

impl Painter for Rows<'_> {
    fn paint(&mut self, id: ProgramId, view: &[GroupId], groups: &Groups) -> Option<Arc<Painted>> {
        if let Some(painted) = self.painted.get(&RowKeyRef { program: id, view }) {
            return Some(Arc::clone(painted));
        }
        let program = self.programs.get(id)?;
        if let Some(work) = self.work {
            work.push(Work::Painted { direction: program.direction, n_groups: view.len() });
        }
        let row = self.make(program, view, groups);
        self.painted.insert(RowKey { program: id, view: view.into() }, Arc::clone(&row));
        Some(row)
    }

    fn view(&mut self, groups_seen: &[GroupId], groups: &Groups) -> (View, ClassId) {
        if let Some((view, class)) = self.views.get_key_value(groups_seen) {
            return (Arc::clone(view), *class);
        }
        let (view, class) = (View::from(groups_seen), class_id(groups_seen, groups));
        self.views.insert(Arc::clone(&view), class);
        (view, class)
    }

    fn name(&mut self, rule: RuleId, named: &Named) -> Arc<RuleRef> {
        // Who decides is called the same whatever was logged before.
        let rule = match named {
            Named::Logged(behind) => behind.decider.0,
            Named::Rule(..) | Named::Default(_) => rule,
        };
        Arc::clone(self.names.entry(rule).or_insert_with(|| named.reference()))
    }
}
