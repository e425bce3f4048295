//! Two banks of the same maps: one judges, the other is brought to the next program and then chosen.
//!
//! INVARIANT(old-or-new): whatever would let one packet see two programs goes by the bank that nobody
//! reads, and the rules that choose the bank are replaced in the same transaction. Only what no packet
//! can see half of is written to the bank in use: an address, an endpoint or a new class or program
//! that comes, an address or endpoint that goes.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use bulkhead_wire::{NodeProgram, RowId};

use super::chains;
use super::diff::{Diff, diff};
use super::fit::{self, Counts, dangling};
use super::hosts::{self, HostElements};
use super::maps::{self, banked};
use super::moves::{Locals, Moves, Places};
use super::named::{Named, NamedBanks, NamedElements, NamedKey, NamedMoves};
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
    named: NamedBanks,
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
    named: Named,
    moves: Moves,
    counts: Counts,
}

impl Banks {
    /// Whether the program fits; costs what has changed, and what is known by name.
    pub fn next<'a>(
        &self,
        program: &'a Arc<NodeProgram>,
        places: Places,
        named: Named,
        sizes: &MapSizes,
    ) -> Result<Next<'a>, EnforceError> {
        let moves = self.moves(self.active, program, &places.locals);
        let counts = self.bank(self.active).counts.after(&moves.classes);
        fit::check(program, &places.locals, counts, sizes)?;
        // What is known by name was counted when it was learned: no lookup may keep a program away.
        Ok(Next { program, places, named, moves, counts })
    }

    /// Writes into `change` what leads to the program, and remembers it as carried out: where the
    /// transaction fails, start over with new banks and a new table.
    pub fn plan(&mut self, change: &mut Change<'_>, next: Next<'_>) -> Result<(), EnforceError> {
        let Next { program, places, named, moves, counts } = next;
        let fresh = self.ids.learn(&moves);
        let rows = moves.entries.iter().filter_map(|(_, _, new)| *new);
        self.add_rows(change, program, rows.chain(named.values().copied().flatten()))?;
        let numbered = named.iter().map(|(key, row)| (*key, self.row(*row))).collect();
        let named = self.named.moves(&numbered);
        let hosts = self.host_elements(program, &places);
        let diff = self.diff(self.active, program, &moves, &fresh, &hosts);
        let had = self.bank(self.active).program.as_ref().map(|program| program.to_host);
        if diff.is_whole && named.is_empty() {
            diff.write(change, self.active);
            if had != Some(program.to_host) {
                chains::choose_setting(change, program.to_host);
            }
        } else {
            let other = 1 - self.active;
            let moves = match self.has_same_twice() {
                true => moves,
                false => self.moves(other, program, &places.locals),
            };
            self.diff(other, program, &moves, &fresh, &hosts).write(change, other);
            self.flip(change, program, named);
        }
        if let Some(bank) = self.banks.get_mut(usize::from(self.active)) {
            *bank = Bank { program: Some(Arc::clone(program)), places, hosts, counts };
        }
        Ok(())
    }

    /// The other bank judges, once it has what is known by name.
    fn flip(&mut self, change: &mut Change<'_>, program: &NodeProgram, named: NamedMoves) {
        self.active = 1 - self.active;
        write_named(change, &self.named.flip(named), self.active);
        chains::choose_bank(change, self.active, program.to_host, self.has_hosts);
    }

    /// What has been looked up, or forgotten, under the program that judges; `None` makes it unknown.
    /// `false`: nothing of it is new.
    pub fn learn(
        &mut self,
        change: &mut Change<'_>,
        moves: &[(NamedKey, Option<Option<RowId>>)],
        sizes: &MapSizes,
    ) -> Result<bool, EnforceError> {
        let judging = self.bank(self.active);
        let Some(program) = judging.program.clone() else { return Ok(false) };
        let n_after = self.named.n_after(moves.iter().map(|(key, row)| (key, row.is_some())));
        // What goes always fits.
        if n_after > self.named.n_known() {
            fit::check_named(&program, n_after, sizes)?;
        }
        let rows = moves.iter().filter_map(|(_, row)| row.flatten());
        self.add_rows(change, &program, rows)?;
        let moves = moves.iter().map(|(key, row)| (*key, row.map(|row| self.row(row)))).collect();
        let moves = self.named.real(moves);
        if moves.is_empty() {
            return Ok(false);
        }
        if !self.named.replaces(&moves) {
            write_named(change, &self.named.write(moves), self.active);
            return Ok(true);
        }
        self.level_program(change, &program);
        self.flip(change, &program, moves);
        Ok(true)
    }

    /// The number of a row that has one.
    fn row(&self, row: Option<RowId>) -> u32 {
        row.map_or(maps::ROW_NONE, |row| self.ids.row(row))
    }

    /// Both banks hold the same program.
    fn has_same_twice(&self) -> bool {
        let [first, second] = &self.banks;
        match (&first.program, &second.program) {
            (Some(one), Some(other)) => Arc::ptr_eq(one, other) && first.places == second.places,
            (one, other) => one.is_none() && other.is_none(),
        }
    }

    /// Writes into `change` what the bank that does not judge lacks. `false`: nothing.
    pub fn level(&mut self, change: &mut Change<'_>) -> bool {
        let judging = self.bank(self.active);
        let is_level = self.has_same_twice() && self.named.is_level();
        let Some(program) = judging.program.clone().filter(|_| !is_level) else {
            return false;
        };
        self.level_program(change, &program);
        write_named(change, &self.named.level(), 1 - self.active);
        true
    }

    /// Brings the other bank to the program that judges, but for what is known by name.
    fn level_program(&mut self, change: &mut Change<'_>, program: &Arc<NodeProgram>) {
        if self.has_same_twice() {
            return;
        }
        let judging = self.bank(self.active);
        let (other, hosts) = (1 - self.active, Arc::clone(&judging.hosts));
        let moves = self.moves(other, program, &judging.places.locals);
        self.diff(other, program, &moves, &Fresh::default(), &hosts).write(change, other);
        let (places, counts) = (judging.places.clone(), judging.counts);
        if let Some(bank) = self.banks.get_mut(usize::from(other)) {
            *bank = Bank { program: Some(Arc::clone(program)), places, hosts, counts };
        }
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
        let has_same = bank
            .program
            .as_ref()
            .is_some_and(|old| old.hosts == program.hosts && bank.places.hosts == places.hosts);
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

    /// Numbers new rows, and writes what they allow.
    fn add_rows(
        &mut self,
        change: &mut Change<'_>,
        program: &NodeProgram,
        rows: impl Iterator<Item = RowId>,
    ) -> Result<(), EnforceError> {
        let mut parts = Vec::new();
        for id in rows {
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
        change.add_elements(maps::PORT.name, &self.shapes.take_fresh());
        change.add_elements(maps::PART.name, &parts);
        Ok(())
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
        let named = self.named.all().into_iter();
        for (shape, _, come) in diff.maps.into_iter().chain(named) {
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

fn write_named(change: &mut Change<'_>, elements: &NamedElements, bank: u8) {
    for (shape, gone, come) in elements {
        let name = banked(shape.name, bank);
        change.remove_elements(&name, gone);
        change.add_elements(&name, come);
    }
}
