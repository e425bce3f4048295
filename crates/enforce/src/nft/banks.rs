//! Two banks of the same maps: one judges, the other is brought to the next program and then chosen.
//!
//! INVARIANT(old-or-new): whatever would let one packet see two programs goes by the bank that nobody
//! reads, and the rules that choose the bank are replaced in the same transaction. Only what no packet
//! can see half of is written to the bank in use: an address, an endpoint or a new class or program
//! that comes, an address or endpoint that goes.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use bulkhead_wire::NodeProgram;

use super::chains;
use super::diff::{Diff, diff};
use super::fit::{self, Counts, dangling};
use super::hosts::{self, HostElements};
use super::maps::{self, banked};
use super::moves::{Locals, Moves, Places};
use super::numbers::{Fresh, Ids};
use super::objects::{Change, Element};
use super::shapes::Shapes;
use crate::limits::MapSizes;
use crate::node::EnforceError;

#[derive(Debug, Default)]
struct Bank {
    program: Option<Arc<NodeProgram>>,
    places: Places,
    hosts: Arc<HostElements>,
    counts: Counts,
}

/// What the kernel has, and how it gets from there to another program.
#[derive(Debug, Default)]
pub struct Banks {
    banks: [Bank; 2],
    /// Which of them judges.
    pub active: u8,
    /// The table has chains for host endpoints.
    pub has_hosts: bool,
    ids: Ids,
    shapes: Shapes,
    n_parts: usize,
    /// What a bank without a program has.
    nothing: NodeProgram,
}

/// A program that fits, and what it changes in the bank that judges.
#[derive(Debug)]
pub struct Next<'a> {
    program: &'a Arc<NodeProgram>,
    places: Places,
    moves: Moves,
    counts: Counts,
}

impl Banks {
    /// Whether the program fits; costs what has changed.
    pub fn next<'a>(
        &self,
        program: &'a Arc<NodeProgram>,
        places: Places,
        sizes: &MapSizes,
    ) -> Result<Next<'a>, EnforceError> {
        let moves = self.moves(self.active, program, &places.locals);
        let counts = self.bank(self.active).counts.after(&moves.classes);
        fit::check(program, &places.locals, counts, sizes)?;
        Ok(Next { program, places, moves, counts })
    }

    /// Writes into `change` what leads to the program, and remembers it as carried out: where the
    /// transaction fails, start over with new banks and a new table.
    pub fn plan(&mut self, change: &mut Change<'_>, next: Next<'_>) -> Result<(), EnforceError> {
        let Next { program, places, moves, counts } = next;
        let fresh = self.ids.learn(&moves);
        let parts = self.add_rows(program, &moves)?;
        change.add_elements(maps::PORT.name, &self.shapes.take_fresh());
        change.add_elements(maps::PART.name, &parts);
        let hosts = self.host_elements(program, &places);
        let diff = self.diff(self.active, program, &moves, &fresh, &hosts);
        let had = self.bank(self.active).program.as_ref().map(|program| program.to_host);
        if diff.is_whole {
            diff.write(change, self.active);
            if had != Some(program.to_host) {
                chains::choose_setting(change, program.to_host);
            }
        } else {
            let other = 1 - self.active;
            let moves = match self.is_level() {
                true => moves,
                false => self.moves(other, program, &places.locals),
            };
            self.diff(other, program, &moves, &fresh, &hosts).write(change, other);
            chains::choose_bank(change, other, program.to_host, self.has_hosts);
            self.active = other;
        }
        if let Some(bank) = self.banks.get_mut(usize::from(self.active)) {
            *bank = Bank { program: Some(Arc::clone(program)), places, hosts, counts };
        }
        Ok(())
    }

    /// Both banks hold the same.
    fn is_level(&self) -> bool {
        let [first, second] = &self.banks;
        match (&first.program, &second.program) {
            (Some(one), Some(other)) => Arc::ptr_eq(one, other) && first.places == second.places,
            (one, other) => one.is_none() && other.is_none(),
        }
    }

    /// Writes into `change` what the bank that does not judge lacks. `false`: nothing.
    pub fn level(&mut self, change: &mut Change<'_>) -> bool {
        let judging = self.bank(self.active);
        let Some(program) = judging.program.clone().filter(|_| !self.is_level()) else {
            return false;
        };
        let (other, hosts) = (1 - self.active, Arc::clone(&judging.hosts));
        let moves = self.moves(other, &program, &judging.places.locals);
        self.diff(other, &program, &moves, &Fresh::default(), &hosts).write(change, other);
        let (places, counts) = (judging.places.clone(), judging.counts);
        if let Some(bank) = self.banks.get_mut(usize::from(other)) {
            *bank = Bank { program: Some(program), places, hosts, counts };
        }
        true
    }

    fn bank(&self, bank: u8) -> &Bank {
        let [first, second] = &self.banks;
        if bank == 0 { first } else { second }
    }

    fn program(&self, bank: u8) -> &NodeProgram {
        self.bank(bank).program.as_deref().unwrap_or(&self.nothing)
    }

    fn moves(&self, bank: u8, program: &NodeProgram, locals: &Locals) -> Moves {
        Moves::between((self.program(bank), &self.bank(bank).places), program, locals)
    }

    fn diff(
        &self,
        bank: u8,
        program: &NodeProgram,
        moves: &Moves,
        fresh: &Fresh,
        hosts: &HostElements,
    ) -> Diff {
        let mut diff = diff(&self.ids, self.program(bank), program, moves, fresh);
        diff.hosts(&self.bank(bank).hosts, hosts);
        diff
    }

    fn host_elements(&mut self, program: &NodeProgram, places: &Places) -> Arc<HostElements> {
        let bank = self.bank(self.active);
        let has_same = bank.program.as_ref().is_some_and(|old| {
            Arc::ptr_eq(&old.hosts, &program.hosts) && bank.places.hosts == places.hosts
        });
        if has_same {
            return Arc::clone(&bank.hosts);
        }
        Arc::new(hosts::elements(program, &places.hosts, &mut self.ids))
    }

    /// Addresses that were not at this place before.
    pub fn newcomers(&self, locals: &Locals) -> Vec<(u32, IpAddr)> {
        let known = &self.bank(self.active).places.locals;
        let new = locals.keys().filter(|key| !known.contains_key(key));
        new.copied().collect()
    }

    pub fn is_open(&self, ifindex: u32) -> bool {
        self.bank(self.active).places.locals.keys().any(|(known, _)| *known == ifindex)
    }

    /// Numbers new rows; returns the elements that say what they allow.
    fn add_rows(
        &mut self,
        program: &NodeProgram,
        moves: &Moves,
    ) -> Result<Vec<Element>, EnforceError> {
        let mut parts = Vec::new();
        for id in moves.entries.iter().filter_map(|(_, _, new)| *new) {
            let (number, is_new) = self.ids.rows.get_or_add(id.0);
            if !is_new {
                continue;
            }
            let row =
                program.rows.get(&id).ok_or_else(|| dangling(program, format!("row {id}")))?;
            for (protocol, shape) in self.shapes.parts(row) {
                let key = [number.to_ne_bytes(), protocol].concat();
                parts.push(Element { key, value: Some(shape) });
            }
        }
        self.n_parts += parts.len();
        Ok(parts)
    }

    /// What the maps of the bank in use must hold, by their names.
    pub fn meant(&self) -> BTreeMap<String, BTreeMap<Vec<u8>, u32>> {
        let bank = self.bank(self.active);
        let Some(program) = &bank.program else { return BTreeMap::new() };
        let nothing = Places::default();
        let moves = Moves::between((&self.nothing, &nothing), program, &bank.places.locals);
        let mut diff = diff(&self.ids, &self.nothing, program, &moves, &Fresh::default());
        diff.hosts(&HostElements::default(), &bank.hosts);
        let mut meant: BTreeMap<String, BTreeMap<Vec<u8>, u32>> = BTreeMap::new();
        for shape in maps::BANKED {
            meant.insert(banked(shape.name, self.active), BTreeMap::new());
        }
        for (shape, _, come) in diff.maps {
            let elements = come.into_iter().filter_map(|e| e.value.map(|value| (e.key, value)));
            meant.insert(banked(shape.name, self.active), elements.collect());
        }
        meant
    }

    /// Elements that stay from rows that nobody uses any more: when there are many, the table is made
    /// anew.
    pub fn is_littered(&self, program: &NodeProgram) -> bool {
        let n_rows = program.rows.len();
        self.ids.rows.len() > n_rows * 4 + 4_096
            || self.shapes.n_elements() > 1_048_576.max(self.n_parts * 64)
    }
}
