//! The programs in use, and their rows as far as one round needs them.

use std::collections::HashMap;
use std::sync::Arc;

use bulkhead_wire::{ClassId, ProgramId};

use super::Work;
use crate::emit::{Painter, View, class_id};
use crate::resolve::{Painted, Program};
use crate::select::{GroupId, Groups};

#[derive(Debug, Default)]
pub struct Programs {
    by_id: HashMap<ProgramId, (Program, usize)>,
    /// Without uses; forgotten at the end of the round unless used again before.
    idle: Vec<ProgramId>,
}

impl Programs {
    pub fn get(&self, id: ProgramId) -> Option<&Program> {
        self.by_id.get(&id).map(|(program, _)| program)
    }

    /// Keeps the program for this round at least. Says whether it is new.
    pub fn know(&mut self, program: Program) -> bool {
        if self.by_id.contains_key(&program.id) {
            return false;
        }
        self.idle.push(program.id);
        self.by_id.insert(program.id, (program.open_eyes(), 0));
        true
    }

    /// Counts one more use.
    pub fn acquire(&mut self, id: ProgramId) {
        if let Some((_, n_uses)) = self.by_id.get_mut(&id) {
            *n_uses += 1;
        }
    }

    pub fn release(&mut self, id: ProgramId) {
        if let Some((_, n_uses)) = self.by_id.get_mut(&id) {
            *n_uses -= 1;
            if *n_uses == 0 {
                self.idle.push(id);
            }
        }
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
    pub programs: &'a Programs,
    /// By program and view.
    pub painted: HashMap<ProgramId, HashMap<Box<[GroupId]>, Arc<Painted>>>,
    pub views: HashMap<View, ClassId>,
    pub work: &'a mut Option<Vec<Work>>,
}

impl Painter for Rows<'_> {
    fn paint(&mut self, id: ProgramId, view: &[GroupId], groups: &Groups) -> Option<Arc<Painted>> {
        let painted = self.painted.entry(id).or_default();
        if let Some(painted) = painted.get(view) {
            return Some(Arc::clone(painted));
        }
        let program = self.programs.get(id)?;
        if let Some(work) = self.work {
            work.push(Work::Painted { direction: program.direction, n_groups: view.len() });
        }
        let row = Arc::new(program.paint(view, groups));
        painted.insert(view.into(), Arc::clone(&row));
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
}
