//! The node's table in the kernel.

mod alarm;
mod bridge;
mod state;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bulkhead_types::{Revision, ToHost};
use bulkhead_wire::{NodeProgram, RowId};

use super::banks::Banks;
use super::chains::{self, choose_bank};
use super::maps::{IN4, IN6, KNOWN, STATE, banked};
use super::message::{Attributes, TABLES, attribute, attributes, text};
use super::moves::{Locals, Places};
use super::named::{Named, NamedKey};
use super::objects::{
    Change, ELEMENT_DATA, ELEMENT_KEY, Element, GET_ELEMENT, GET_TABLE, INET, NETDEV,
};
use super::socket::{Socket, failed};
use crate::limits::MapSizes;
use crate::node::{EnforceError, NodeOptions};
use alarm::Alarm;

/// How often a table that another process guards is tried.
const HELD_LOOK: Duration = Duration::from_millis(50);
/// Members and entries of a program that is put back without closing everything first.
const AT_ONCE_MAX: usize = 1_000;

pub struct Table {
    name: String,
    socket: Socket,
    alarm: Alarm,
    /// The kernel lets nobody else change the tables while this process is there.
    is_guarded: bool,
    banks: Banks,
    /// Workloads' interfaces.
    known: BTreeSet<u32>,
    /// Of these, ports of bridges with their names.
    bridged: BTreeMap<u32, String>,
    /// Rules of the table as it was made.
    n_rules: Option<usize>,
    /// Interface and address of what an earlier process opened.
    found: BTreeSet<(u32, IpAddr)>,
    /// The kernel's table is not what `banks` say, or was made by an earlier process.
    is_foreign: bool,
    revision: Revision,
    prefixes: Vec<String>,
    log_group: u16,
    sizes: MapSizes,
}

/// What is to be enforced: a program, where it stands, and what is known by name.
#[derive(Clone)]
pub struct Wanted<'a> {
    pub program: &'a Arc<NodeProgram>,
    pub places: Places,
    pub named: Named,
}

/// One table a pin folder, so that two nodes on one machine do not meet.
pub fn table_name(pin_dir: &Path) -> String {
    let folder = pin_dir.file_name().unwrap_or_default().to_string_lossy();
    let is_plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    let plain: String = folder.chars().map(|c| if is_plain(c) { c } else { '_' }).collect();
    match plain.strip_prefix("bulkhead") {
        Some(rest) => format!("bulkhead{rest}"),
        None => format!("bulkhead-{plain}"),
    }
}

impl Table {
    /// Finds the table that an earlier process left, if there is one, and changes nothing.
    pub fn open(options: &NodeOptions, log_group: u16) -> Result<Self, EnforceError> {
        let mut socket = Socket::open()?;
        let is_guarded = options.guards_tables && can_guard(&mut socket);
        Ok(Self {
            name: table_name(&options.pin_dir),
            alarm: Alarm::open(socket.port())?,
            socket,
            is_guarded,
            banks: Banks::default(),
            known: BTreeSet::new(),
            bridged: BTreeMap::new(),
            n_rules: None,
            found: BTreeSet::new(),
            is_foreign: true,
            revision: Revision(0),
            prefixes: options.interface_prefixes.clone(),
            log_group,
            sizes: options.sizes,
        })
    }

    /// As [`Table::close`], but waits where another process still guards the table.
    pub fn close_once_free(&mut self, held_max: Duration) -> Result<(), EnforceError> {
        let until = Instant::now() + held_max;
        let mut is_waiting = false;
        loop {
            match self.close() {
                Err(error) if Instant::now() < until && Self::exists(&self.name)? => {
                    if !std::mem::replace(&mut is_waiting, true) {
                        tracing::warn!(%error, "another process may hold the table; waiting");
                    }
                    std::thread::sleep(HELD_LOOK);
                }
                done => return done,
            }
        }
    }

    /// Lets nothing through the workloads' interfaces but what an earlier table allows.
    pub fn close(&mut self) -> Result<(), EnforceError> {
        let Some(state) = state::read(&self.read(STATE.name)?) else {
            return self.rebuild(None);
        };
        self.revision = state.revision;
        self.find(state.bank)
    }

    pub fn exists(name: &str) -> Result<bool, EnforceError> {
        let mut found = false;
        Socket::open()?.dump(
            "list the tables",
            (TABLES << 8 | GET_TABLE, INET),
            &Attributes::new(),
            |message| found |= message.find(1).map(text) == Some(name),
        )?;
        Ok(found)
    }

    /// Makes a table with all rules and maps and removes it again, in one transaction that leaves
    /// nothing behind.
    pub fn probe() -> Result<(), EnforceError> {
        let name = format!("bulkhead-probe-{}", std::process::id());
        let mut change = Change::new(&name, INET);
        change.make_table();
        chains::make(&mut change, &[], 0, true);
        choose_bank(&mut change, 0, ToHost::Drop, true);
        change.delete_table();
        Socket::open()?.commit("try nftables", &change.batch)
    }

    /// What stands open, and that new prefixes stand closed.
    fn find(&mut self, bank: u8) -> Result<(), EnforceError> {
        for map in [IN4, IN6] {
            for key in self.read(&banked(map.name, bank))?.keys() {
                let Some((ifindex, octets)) = key.split_first_chunk() else { continue };
                let v4 = octets.try_into().map(|octets: [u8; 4]| IpAddr::from(octets));
                let v6 = octets.try_into().map(|octets: [u8; 16]| IpAddr::from(octets));
                self.found.extend(v4.or(v6).map(|address| (u32::from_ne_bytes(*ifindex), address)));
            }
        }
        for key in self.read(KNOWN.name)?.keys() {
            self.known.extend(key.first_chunk().map(|bytes| u32::from_ne_bytes(*bytes)));
        }
        let name = self.name.clone();
        if self.is_guarded {
            let mut change = Change::new(&name, INET);
            change.make_own_table();
            // One that was not made to be taken over is guarded once it is replaced by the first program.
            if let Err(error) = self.socket.commit("take over the table", &change.batch) {
                tracing::debug!(%error, "the table is not guarded yet");
            }
        }
        let mut change = Change::new(&name, INET);
        chains::choose_interfaces(&mut change, &self.prefixes);
        self.socket.commit("close the workloads' interfaces", &change.batch)
    }

    pub fn is_open(&self, ifindex: u32) -> bool {
        self.found.iter().any(|(known, _)| *known == ifindex) || self.banks.is_open(ifindex)
    }

    /// Addresses that were not at this place before.
    pub fn newcomers(&self, locals: &Locals) -> Vec<IpAddr> {
        let mut new = self.banks.newcomers(locals);
        new.retain(|key| !self.found.contains(key));
        new.into_iter().map(|(_, address)| address).collect()
    }

    pub fn revision(&self) -> Revision {
        self.revision
    }

    pub fn known(&self) -> &BTreeSet<u32> {
        &self.known
    }

    /// Interface and address of what an earlier process opened, until there is a program.
    pub fn found(&self) -> &BTreeSet<(u32, IpAddr)> {
        &self.found
    }

    /// Closes these interfaces, whatever their name is, and knows them from now on.
    pub fn know(&mut self, known: BTreeSet<u32>) -> Result<(), EnforceError> {
        if known == self.known {
            return Ok(());
        }
        let name = self.name.clone();
        let mut change = Change::new(&name, INET);
        let gone: BTreeSet<u32> = self.known.difference(&known).copied().collect();
        let come: BTreeSet<u32> = known.difference(&self.known).copied().collect();
        change.remove_elements(KNOWN.name, &known_elements(&gone));
        change.add_elements(KNOWN.name, &known_elements(&come));
        self.socket.commit("close interfaces", &change.batch)?;
        self.known = known;
        Ok(())
    }

    /// Puts everything back as it is meant to be.
    pub fn restore(&mut self, program: Option<Wanted<'_>>) -> Result<(), EnforceError> {
        let is_large = |Wanted { program, .. }: &Wanted<'_>| {
            program.classes.len() + program.entries.len() > AT_ONCE_MAX
        };
        // Without a table nothing is judged, and a large one takes its time.
        if program.as_ref().is_some_and(is_large) && !Self::exists(&self.name)? {
            self.rebuild(None)?;
        }
        self.rebuild(program)?;
        let bridged = self.bridged.clone();
        self.bar_again(&bridged)
    }

    /// Judges by the program from the next packet on.
    pub fn enforce(&mut self, wanted: Wanted<'_>) -> Result<(), EnforceError> {
        let program = wanted.program;
        let Wanted { places, named, .. } = wanted.clone();
        let next = self.banks.next(program, places, named, &self.sizes)?;
        let lacks_hosts = !program.hosts.is_empty() && !self.banks.has_hosts;
        if self.is_foreign || lacks_hosts || self.banks.is_littered(program) {
            return self.rebuild(Some(wanted));
        }
        let name = self.name.clone();
        let mut change = Change::new(&name, INET);
        // From here on the banks may say more than the kernel has.
        self.is_foreign = true;
        self.banks.plan(&mut change, next)?;
        state::write(&mut change, program.revision, self.banks.active, true);
        if let Err(error) = self.socket.commit("change the table", &change.batch) {
            tracing::warn!(%error, "the table is not as it was left; making it anew");
            return self.rebuild(Some(wanted));
        }
        self.is_foreign = false;
        self.revision = program.revision;
        Ok(())
    }

    /// Judges by what was looked up, or forgotten, from the next packet on. `None` makes it unknown.
    pub fn learn(
        &mut self,
        moves: &[(NamedKey, Option<Option<RowId>>)],
    ) -> Result<(), EnforceError> {
        if self.is_foreign {
            return Err(failed("change the table", "it is not as it was left"));
        }
        let name = self.name.clone();
        let mut change = Change::new(&name, INET);
        let bank = self.banks.active;
        let planned = self.banks.learn(&mut change, moves, &self.sizes);
        self.is_foreign = !matches!(planned, Ok(false) | Err(EnforceError::Capacity { .. }));
        if !planned? {
            return Ok(());
        }
        if self.banks.active != bank {
            state::write(&mut change, self.revision, self.banks.active, true);
        }
        self.socket.commit("write what was looked up", &change.batch)?;
        self.is_foreign = false;
        Ok(())
    }

    /// The kernel's table must be made anew.
    pub fn is_foreign(&self) -> bool {
        self.is_foreign
    }

    /// Brings the bank that no packet looks at to the program too, so that the next program that needs it
    /// costs what it changes.
    pub fn level(&mut self) -> Result<(), EnforceError> {
        let name = self.name.clone();
        let mut change = Change::new(&name, INET);
        if self.is_foreign || !self.banks.level(&mut change) {
            return Ok(());
        }
        self.is_foreign = true;
        self.socket.commit("fill the other bank", &change.batch)?;
        self.is_foreign = false;
        Ok(())
    }

    /// Replaces the whole table in one transaction; packets are judged by the old one until it is done.
    pub fn rebuild(&mut self, wanted: Option<Wanted<'_>>) -> Result<(), EnforceError> {
        let name = self.name.clone();
        let mut change = Change::new(&name, INET);
        change.make_table();
        change.delete_table();
        self.make_table(&mut change);
        let has_hosts = wanted.as_ref().is_some_and(|wanted| !wanted.program.hosts.is_empty());
        chains::make(&mut change, &self.prefixes, self.log_group, has_hosts);
        change.add_elements(KNOWN.name, &known_elements(&self.known));
        let mut banks = Banks::default();
        banks.has_hosts = has_hosts;
        let (mut revision, mut to_host) = (Revision(0), ToHost::Drop);
        if let Some(Wanted { program, places, named }) = wanted {
            let next = banks.next(program, places, named, &self.sizes)?;
            banks.plan(&mut change, next)?;
            (revision, to_host) = (program.revision, program.to_host);
        }
        choose_bank(&mut change, banks.active, to_host, has_hosts);
        state::write(&mut change, revision, banks.active, false);
        self.socket.commit("replace the table", &change.batch)?;
        self.banks = banks;
        self.n_rules = None;
        self.found.clear();
        self.is_foreign = false;
        self.revision = revision;
        Ok(())
    }

    /// The elements of a map; none where there is no such map.
    pub fn read(&mut self, map: &str) -> Result<BTreeMap<Vec<u8>, u32>, EnforceError> {
        let mut elements = BTreeMap::new();
        let asked = Attributes::new().text(1, &self.name).text(2, map);
        self.socket.dump("read a map", (TABLES << 8 | GET_ELEMENT, INET), &asked, |message| {
            for (_, element) in message.find(3).into_iter().flat_map(attributes) {
                let inside =
                    |kind| attribute(element, kind).and_then(|nested| attribute(nested, 1));
                if let (Some(key), Some(value)) = (inside(ELEMENT_KEY), inside(ELEMENT_DATA)) {
                    let value = value.first_chunk().map_or(0, |bytes| u32::from_ne_bytes(*bytes));
                    elements.insert(key.to_vec(), value);
                }
            }
        })?;
        Ok(elements)
    }

    fn make_table(&self, change: &mut Change<'_>) {
        if self.is_guarded {
            change.make_own_table();
        } else {
            change.make_table();
        }
    }

    /// Takes the tables away.
    pub fn remove(&mut self) -> Result<(), EnforceError> {
        remove(&mut self.socket, &self.name)
    }

    /// Takes away what a process that has ended left.
    pub fn remove_left(name: &str) -> Result<(), EnforceError> {
        remove(&mut Socket::open()?, name)
    }
}

fn remove(socket: &mut Socket, name: &str) -> Result<(), EnforceError> {
    for family in [INET, NETDEV] {
        let mut change = Change::new(name, family);
        change.make_table();
        change.delete_table();
        socket.commit("remove the table", &change.batch)?;
    }
    Ok(())
}

/// Whether a table can be one process's and stay when that ends; tried with one that is never there.
fn can_guard(socket: &mut Socket) -> bool {
    let name = format!("bulkhead-guard-{}", std::process::id());
    let mut change = Change::new(&name, INET);
    change.make_own_table();
    change.delete_table();
    let tried = socket.commit("own a table", &change.batch);
    if let Err(error) = &tried {
        tracing::info!(%error, "others can change our tables here; what they do is undone");
    }
    tried.is_ok()
}

fn known_elements(known: &BTreeSet<u32>) -> Vec<Element> {
    let key = |ifindex: &u32| ifindex.to_ne_bytes().to_vec();
    known.iter().map(|ifindex| Element { key: key(ifindex), value: Some(1) }).collect()
}
