//! Two banks of the same maps: one judges, the other is brought to the next program and then chosen.
//!
//! INVARIANT(old-or-new): whatever would let one packet see two programs goes by the bank that nobody
//! reads, and the rules that choose the bank are replaced in the same transaction. Only what no packet
//! can see half of is written to the bank in use: an address, an endpoint or a new class or program
//! that comes, an address or endpoint that goes.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;
use std::sync::Arc;

use bulkhead_types::{EndpointId, Mac};
use bulkhead_wire::{ClassId, NodeProgram, ProgramId, RowId};
use ipnet::IpNet;

use super::chains::{self, OUTSIDE, banked};
use super::hosts::{self, HostElements};
use super::intervals::flatten;
use super::objects::{Change, Element, MapShape};
use super::shapes::Shapes;
use crate::ebpf::Bindings;
use crate::limits::MapSizes;
use crate::node::EnforceError;

/// What judges one address of a workload at one interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Local {
    pub ingress: ProgramId,
    pub egress: ProgramId,
    /// The only link address that it may send by.
    pub mac: Option<Mac>,
}

/// By interface and address.
pub type Locals = BTreeMap<(u32, IpAddr), Local>;

/// Where programs stand.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Places {
    pub locals: Locals,
    /// Host endpoints by the interface that they stand at.
    pub hosts: BTreeMap<u32, EndpointId>,
}

/// Small numbers for ids; a number is never used again.
#[derive(Debug, Default)]
struct Numbers {
    known: HashMap<u64, u32>,
    last: u32,
}

impl Numbers {
    /// The number, and whether it is a new one.
    fn get_or_add(&mut self, id: u64) -> (u32, bool) {
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
}

#[derive(Debug, Default)]
struct Bank {
    program: Option<Arc<NodeProgram>>,
    places: Places,
    hosts: HostElements,
}

/// What the kernel has, and how it gets from there to another program.
#[derive(Debug, Default)]
pub struct Banks {
    banks: [Bank; 2],
    /// Which of them judges.
    pub active: u8,
    /// The table has chains for host endpoints.
    pub has_hosts: bool,
    classes: Numbers,
    programs: Numbers,
    /// Of hosts' programs by the near address.
    tables: Numbers,
    rows: Numbers,
    shapes: Shapes,
    n_parts: usize,
}

/// Changes of one bank's maps.
#[derive(Debug, Default)]
struct Diff {
    maps: Vec<(&'static MapShape, Vec<Element>, Vec<Element>)>,
    /// No packet can see half of it.
    is_whole: bool,
}

/// In the order of [`HostElements`].
const HOST_MAPS: [&MapShape; 5] =
    [&chains::HOST, &chains::HOST_NET4, &chains::HOST_NET6, &chains::SAFE4, &chains::SAFE6];

/// What a key was and will be.
type Moved<K, V> = Vec<(K, Option<V>, Option<V>)>;

/// What is not the same in a bank and in a program.
#[derive(Debug, Default)]
struct Moves {
    classes: Moved<IpNet, ClassId>,
    entries: Moved<(ProgramId, ClassId), RowId>,
    locals: Moved<(u32, IpAddr), Local>,
}

#[derive(Clone, Copy, Debug)]
enum What {
    Ingress,
    Egress,
    Asks,
    Mac,
}

/// Ids that got their number just now.
#[derive(Debug, Default)]
struct Fresh {
    classes: BTreeSet<u64>,
    programs: BTreeSet<u64>,
}

impl Banks {
    /// Writes into `change` what leads to the program, and remembers it as carried out: where the
    /// transaction fails, start over with new banks and a new table.
    pub fn plan(
        &mut self,
        change: &mut Change<'_>,
        program: &Arc<NodeProgram>,
        places: Places,
    ) -> Result<(), EnforceError> {
        let moves = self.moves(self.active, program, &places.locals);
        let fresh = self.number(&moves);
        let parts = self.add_rows(program, &moves)?;
        change.add_elements(chains::PORT.name, &self.shapes.take_fresh());
        change.add_elements(chains::PART.name, &parts);
        let tables = &mut self.tables;
        let number = |id| tables.get_or_add(id).0;
        let hosts = hosts::elements(program, &places.hosts, number, |id| self.programs.get(id.0));
        let mut diff = self.diff(self.active, program, &moves, &fresh);
        self.diff_hosts(self.active, &hosts, &mut diff);
        let had = self.bank(self.active).program.as_ref().map(|program| program.to_host);
        if diff.is_whole {
            diff.write(change, self.active);
            if had != Some(program.to_host) {
                chains::choose_setting(change, program.to_host);
            }
        } else {
            let other = 1 - self.active;
            let moves = self.moves(other, program, &places.locals);
            let mut diff = self.diff(other, program, &moves, &fresh);
            self.diff_hosts(other, &hosts, &mut diff);
            diff.write(change, other);
            chains::choose_bank(change, other, program.to_host, self.has_hosts);
            self.active = other;
        }
        if let Some(bank) = self.banks.get_mut(usize::from(self.active)) {
            *bank = Bank { program: Some(Arc::clone(program)), places, hosts };
        }
        Ok(())
    }

    fn bank(&self, bank: u8) -> &Bank {
        let [first, second] = &self.banks;
        if bank == 0 { first } else { second }
    }

    fn moves(&self, bank: u8, program: &NodeProgram, locals: &Locals) -> Moves {
        let bank = self.bank(bank);
        let mut moves = Moves::default();
        let nothing = NodeProgram::default();
        let old = bank.program.as_deref().unwrap_or(&nothing);
        if !Arc::ptr_eq(&old.classes, &program.classes) {
            moves.classes = moved(&old.classes, &program.classes);
        }
        if !Arc::ptr_eq(&old.entries, &program.entries) {
            moves.entries = moved(&old.entries, &program.entries);
        }
        moves.locals = moved(&bank.places.locals, locals);
        moves
    }

    fn number(&mut self, moves: &Moves) -> Fresh {
        let mut fresh = Fresh::default();
        let named = moves.entries.iter().filter(|(_, _, new)| new.is_some());
        for ((program, class), ..) in named {
            if self.programs.get_or_add(program.0).1 {
                fresh.programs.insert(program.0);
            }
            if *class != ClassId::OUTSIDE && self.classes.get_or_add(class.0).1 {
                fresh.classes.insert(class.0);
            }
        }
        for class in moves.classes.iter().filter_map(|(_, _, new)| *new) {
            if class != ClassId::OUTSIDE && self.classes.get_or_add(class.0).1 {
                fresh.classes.insert(class.0);
            }
        }
        fresh
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
            let (number, is_new) = self.rows.get_or_add(id.0);
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
        let nothing = Self::default();
        let moves = nothing.moves(0, program, &bank.places.locals);
        let mut meant: BTreeMap<String, BTreeMap<Vec<u8>, u32>> = BTreeMap::new();
        let diff = Diff { maps: Vec::new(), is_whole: true };
        for shape in chains::BANKED {
            meant.insert(banked(shape.name, self.active), BTreeMap::new());
        }
        for (shape, _, come) in self.fill(diff, program, &moves).maps {
            let elements = come.into_iter().filter_map(|e| e.value.map(|value| (e.key, value)));
            meant.insert(banked(shape.name, self.active), elements.collect());
        }
        meant
    }

    fn fill(&self, mut diff: Diff, program: &NodeProgram, moves: &Moves) -> Diff {
        let nothing = Bank::default();
        self.diff_entries(moves, &Fresh::default(), &mut diff);
        self.diff_classes(moves, &mut diff);
        self.diff_nets(&nothing, program, moves, &mut diff);
        self.diff_locals(moves, &mut diff);
        self.diff_hosts_of(&mut diff);
        diff
    }

    fn diff_hosts_of(&self, diff: &mut Diff) {
        for (shape, elements) in HOST_MAPS.into_iter().zip(&self.bank(self.active).hosts) {
            diff.push(shape, Vec::new(), elements.clone());
        }
    }

    fn class(&self, class: ClassId) -> u32 {
        if class == ClassId::OUTSIDE { OUTSIDE } else { self.classes.get(class.0) }
    }

    fn diff(&self, bank: u8, program: &NodeProgram, moves: &Moves, fresh: &Fresh) -> Diff {
        let mut diff = Diff { maps: Vec::new(), is_whole: true };
        self.diff_entries(moves, fresh, &mut diff);
        self.diff_classes(moves, &mut diff);
        self.diff_nets(self.bank(bank), program, moves, &mut diff);
        self.diff_locals(moves, &mut diff);
        diff
    }

    fn diff_hosts(&self, bank: u8, hosts: &HostElements, diff: &mut Diff) {
        let old = &self.bank(bank).hosts;
        for ((shape, old), new) in HOST_MAPS.into_iter().zip(old).zip(hosts) {
            let (old_set, new_set): (BTreeSet<&Element>, BTreeSet<&Element>) =
                (old.iter().collect(), new.iter().collect());
            let gone: Vec<Element> = old_set.difference(&new_set).copied().cloned().collect();
            let come: Vec<Element> = new_set.difference(&old_set).copied().cloned().collect();
            diff.is_whole &= gone.is_empty() && come.is_empty();
            diff.push(shape, gone, come);
        }
    }

    fn diff_locals(&self, moves: &Moves, diff: &mut Diff) {
        diff.is_whole &= moves.locals.iter().all(|(_, old, new)| old.is_none() || new.is_none());
        for is_ipv4 in [true, false] {
            let of_family = |of4, of6| if is_ipv4 { of4 } else { of6 };
            for (shape, what) in [
                (of_family(&chains::IN4, &chains::IN6), What::Ingress),
                (of_family(&chains::OUT4, &chains::OUT6), What::Egress),
                (of_family(&chains::ASKS4, &chains::ASKS6), What::Asks),
                (of_family(&chains::MAC4, &chains::MAC6), What::Mac),
            ] {
                let (mut gone, mut come) = (Vec::new(), Vec::new());
                for (place, old, new) in &moves.locals {
                    if place.1.is_ipv4() == is_ipv4 {
                        gone.extend(old.and_then(|local| self.local(what, place, &local)));
                        come.extend(new.and_then(|local| self.local(what, place, &local)));
                    }
                }
                diff.push(shape, gone, come);
            }
        }
    }

    fn local(&self, what: What, place: &(u32, IpAddr), local: &Local) -> Option<Element> {
        let mut key = [&place.0.to_ne_bytes()[..], &octets(place.1)].concat();
        let value = match what {
            What::Ingress => self.programs.get(local.ingress.0),
            What::Egress => self.programs.get(local.egress.0),
            What::Asks => local.mac.map(|_| 1)?,
            What::Mac => {
                key.extend(local.mac?.octets());
                key.extend([0; 2]);
                1
            }
        };
        Some(Element { key, value: Some(value) })
    }

    fn diff_classes(&self, moves: &Moves, diff: &mut Diff) {
        for (shape, is_ipv4) in [(&chains::CLASS4, true), (&chains::CLASS6, false)] {
            let (mut gone, mut come) = (Vec::new(), Vec::new());
            for (net, old, new) in &moves.classes {
                if !is_exact(net) || net.addr().is_ipv4() != is_ipv4 {
                    continue;
                }
                diff.is_whole &= old.is_none() || new.is_none();
                let element = |class: &ClassId| Element {
                    key: octets(net.addr()),
                    value: Some(self.class(*class)),
                };
                gone.extend(old.as_ref().map(element));
                come.extend(new.as_ref().map(element));
            }
            diff.push(shape, gone, come);
        }
    }

    fn diff_nets(&self, bank: &Bank, program: &NodeProgram, moves: &Moves, diff: &mut Diff) {
        for (shape, is_ipv4) in [(&chains::NET4, true), (&chains::NET6, false)] {
            let is_ours = |net: &IpNet| !is_exact(net) && net.addr().is_ipv4() == is_ipv4;
            if !moves.classes.iter().any(|(net, ..)| is_ours(net)) {
                continue;
            }
            diff.is_whole = false;
            let flat = |program: &NodeProgram| {
                let nets = program.classes.iter().filter(|(net, _)| is_ours(net));
                flatten(nets, is_ipv4, |class| self.class(class))
            };
            let old = bank.program.as_deref().map(flat).unwrap_or_default();
            let new = flat(program);
            let (old_set, new_set): (BTreeSet<&Element>, BTreeSet<&Element>) =
                (old.iter().collect(), new.iter().collect());
            let gone = old.iter().filter(|e| !new_set.contains(e)).cloned().collect();
            let come = new.iter().filter(|e| !old_set.contains(e)).cloned().collect();
            diff.push(shape, gone, come);
        }
    }

    fn diff_entries(&self, moves: &Moves, fresh: &Fresh, diff: &mut Diff) {
        let (mut gone, mut come) = (Vec::new(), Vec::new());
        for ((program, class), old, new) in &moves.entries {
            let is_new = fresh.classes.contains(&class.0) || fresh.programs.contains(&program.0);
            diff.is_whole &= old.is_none() && is_new;
            let element = |row: &RowId| {
                let class = self.class(*class).to_ne_bytes();
                let key = [class, self.programs.get(program.0).to_ne_bytes()].concat();
                Element { key, value: Some(self.rows.get(row.0)) }
            };
            gone.extend(old.as_ref().map(element));
            come.extend(new.as_ref().map(element));
        }
        diff.push(&chains::ENTRY, gone, come);
    }

    /// Whether the program fits, with every id defined; before anything is planned.
    pub fn check(
        &self,
        program: &NodeProgram,
        locals: &Locals,
        sizes: &MapSizes,
    ) -> Result<(), EnforceError> {
        for local in locals.values() {
            for id in [local.ingress, local.egress] {
                if !program.entries.contains_key(&(id, ClassId::OUTSIDE)) {
                    return Err(dangling(program, format!("program {id}")));
                }
            }
        }
        let (mut exact, mut nets) = ([0u64; 2], [0u64; 2]);
        for net in program.classes.keys() {
            let counts = if is_exact(net) { &mut exact } else { &mut nets };
            if let Some(n) = counts.get_mut(usize::from(net.addr().is_ipv6())) {
                *n += 1;
            }
        }
        let [exact4, exact6] = exact;
        let [nets4, nets6] = nets;
        for (map, needed, available) in [
            ("classes4", exact4, sizes.classes),
            ("classes6", exact6, sizes.classes),
            ("prefixes4", nets4, sizes.prefixes),
            ("prefixes6", nets6, sizes.prefixes),
            ("entries", program.entries.len() as u64, sizes.entries),
            ("rows", program.rows.len() as u64, sizes.rows),
            ("endpoints", locals.len() as u64, sizes.endpoints),
        ] {
            let available = u64::from(available);
            if needed > available {
                let revision = program.revision;
                return Err(EnforceError::Capacity { map, needed, available, revision });
            }
        }
        Ok(())
    }

    /// Elements that stay from rows that nobody uses any more: when there are many, the table is made
    /// anew.
    pub fn is_littered(&self, program: &NodeProgram) -> bool {
        let n_rows = program.rows.len();
        self.rows.known.len() > n_rows * 4 + 4_096
            || self.shapes.n_elements() > 1_048_576.max(self.n_parts * 64)
    }
}

impl Diff {
    fn push(&mut self, shape: &'static MapShape, gone: Vec<Element>, come: Vec<Element>) {
        if !gone.is_empty() || !come.is_empty() {
            self.maps.push((shape, gone, come));
        }
    }

    fn write(&self, change: &mut Change<'_>, bank: u8) {
        for (shape, gone, come) in &self.maps {
            let name = banked(shape.name, bank);
            change.remove_elements(&name, gone);
            change.add_elements(&name, come);
        }
    }
}

fn is_exact(net: &IpNet) -> bool {
    net.prefix_len() == net.max_prefix_len()
}

fn dangling(program: &NodeProgram, what: String) -> EnforceError {
    EnforceError::Dangling { what, revision: program.revision }
}

fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(v4) => v4.octets().to_vec(),
        IpAddr::V6(v6) => v6.octets().to_vec(),
    }
}

/// The judged addresses where their interface is known.
pub fn locals(program: &NodeProgram, bindings: &Bindings) -> Locals {
    let mut locals = Locals::new();
    for (id, bound) in bindings {
        let Some(endpoint) = program.endpoints.get(id) else { continue };
        for (address, place) in bound {
            if let Some(judges) = endpoint.addresses.get(address) {
                let local =
                    Local { ingress: judges.ingress, egress: judges.egress, mac: place.mac };
                locals.insert((place.ifindex, *address), local);
            }
        }
    }
    locals
}

/// Every key whose value is not the same in both.
fn moved<K: Ord + Copy, V: PartialEq + Copy>(
    old: &BTreeMap<K, V>,
    new: &BTreeMap<K, V>,
) -> Moved<K, V> {
    let mut moved = Vec::new();
    let (mut olds, mut news) = (old.iter().peekable(), new.iter().peekable());
    loop {
        let order = match (olds.peek(), news.peek()) {
            (None, None) => return moved,
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some((a, _)), Some((b, _))) => a.cmp(b),
        };
        let before = if order.is_le() { olds.next() } else { None };
        let after = if order.is_ge() { news.next() } else { None };
        let (was, is) = (before.map(|(_, v)| *v), after.map(|(_, v)| *v));
        if let Some((key, _)) = before.or(after)
            && was != is
        {
            moved.push((*key, was, is));
        }
    }
}
