//! Small numbers for ids, as the maps hold them.

use std::collections::{BTreeSet, HashMap};

use bulkhead_wire::{ClassId, ProgramId, RowId};

use super::maps::OUTSIDE;
use super::moves::Moves;

/// A number is never used again.
#[derive(Debug, Default)]
pub struct Numbers {
    known: HashMap<u64, u32>,
    last: u32,
}

impl Numbers {
    /// The number, and whether it is a new one.
    pub fn get_or_add(&mut self, id: u64) -> (u32, bool) {
        if let Some(number) = self.known.get(&id) {
            return (*number, false);
        }
        self.last += 1;
        self.known.insert(id, self.last);
        (self.last, true)
    }

    fn get(&self, id: u64) -> u32 {
        self.known.get(&id).copied().unwrap_or(u32::MAX)
    }

    pub fn len(&self) -> usize {
        self.known.len()
    }
}

/// The numbers of everything that the maps name.
#[derive(Debug, Default)]
pub struct Ids {
    classes: Numbers,
    programs: Numbers,
    /// Of hosts' programs by the near address.
    pub tables: Numbers,
    pub rows: Numbers,
}

/// Ids that got their number just now.
#[derive(Debug, Default)]
pub struct Fresh {
    pub classes: BTreeSet<ClassId>,
    pub programs: BTreeSet<ProgramId>,
}

impl Ids {
    pub fn class(&self, class: ClassId) -> u32 {
        if class == ClassId::OUTSIDE { OUTSIDE } else { self.classes.get(class.0) }
    }

    pub fn program(&self, program: ProgramId) -> u32 {
        self.programs.get(program.0)
    }

    pub fn row(&self, row: RowId) -> u32 {
        self.rows.get(row.0)
    }

    /// Numbers for every class and program that comes.
    pub fn learn(&mut self, moves: &Moves) -> Fresh {
        let mut fresh = Fresh::default();
        let entries = moves.entries.iter().filter(|(_, _, new)| new.is_some());
        let (programs, named): (Vec<ProgramId>, Vec<ClassId>) =
            entries.map(|((program, class), ..)| (*program, *class)).unzip();
        for program in programs {
            if self.programs.get_or_add(program.0).1 {
                fresh.programs.insert(program);
            }
        }
        let members = moves.classes.iter().filter_map(|(_, _, new)| *new);
        for class in named.into_iter().chain(members) {
            if class != ClassId::OUTSIDE && self.classes.get_or_add(class.0).1 {
                fresh.classes.insert(class);
            }
        }
        fresh
    }
}
