//! The node's table in the kernel.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;

use bulkhead_types::{Revision, ToHost};
use bulkhead_wire::NodeProgram;

use super::banks::{Banks, Locals, Places};
use super::chains::{self, KNOWN, STATE, banked, choose_bank};
use super::expr::{End, Rule};
use super::message::{Attributes, TABLES, attribute, attributes, text};
use super::objects::{
    Change, ELEMENT_DATA, ELEMENT_KEY, Element, GET_ELEMENT, GET_RULE, GET_TABLE, INET, NETDEV,
    NEW_GENERATION,
};
use super::socket::Socket;
use crate::limits::MapSizes;
use crate::node::EnforceError;

/// Keys of the map `state`.
const STATE_REVISION_LOW: u32 = 0;
const STATE_REVISION_HIGH: u32 = 1;
/// Raised when the rules change; a table of another layout is replaced with the first program.
const STATE_LAYOUT: u32 = 2;
const LAYOUT: u32 = 1;
const STATE_BANK: u32 = 3;

/// Of the family of devices.
const HOOK_INGRESS: u32 = 0;
const HOOK_EGRESS: u32 = 1;

/// Of nftables: every change of any table.
const GROUP_TABLES: u32 = 7;

pub struct Table {
    pub name: String,
    socket: Socket,
    /// Tells of changes by anybody.
    alarm: Socket,
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
    pub fn open(
        name: &str,
        prefixes: &[String],
        log_group: u16,
        sizes: MapSizes,
    ) -> Result<Self, EnforceError> {
        let table = Self {
            name: name.to_owned(),
            socket: Socket::open()?,
            alarm: Socket::open()?,
            banks: Banks::default(),
            known: BTreeSet::new(),
            bridged: BTreeMap::new(),
            n_rules: None,
            found: BTreeSet::new(),
            is_foreign: true,
            revision: Revision(0),
            prefixes: prefixes.to_vec(),
            log_group,
            sizes,
        };
        table.alarm.join(GROUP_TABLES)?;
        Ok(table)
    }

    /// Lets nothing through the workloads' interfaces but what an earlier table allows.
    pub fn close(&mut self) -> Result<(), EnforceError> {
        let state = self.read(STATE.name)?;
        let of = |key: u32| state.get(&key.to_ne_bytes()[..]).copied();
        if of(STATE_LAYOUT).is_none() {
            return self.rebuild(None);
        }
        let (low, high) = (of(STATE_REVISION_LOW), of(STATE_REVISION_HIGH));
        self.revision = Revision(u64::from(low.unwrap_or(0)) | u64::from(high.unwrap_or(0)) << 32);
        self.find(u8::from(of(STATE_BANK) == Some(1)))
    }

    pub fn name(&self) -> &str {
        &self.name
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
        for map in [chains::IN4, chains::IN6] {
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

    /// What goes over a bridge is out of sight, so nothing may.
    pub fn bar(&mut self, bridged: BTreeMap<u32, String>) -> Result<(), EnforceError> {
        if bridged == self.bridged {
            return Ok(());
        }
        self.bar_again(&bridged)?;
        self.bridged = bridged;
        Ok(())
    }

    /// Names of the interfaces that pass nothing because they are ports of bridges.
    pub fn barred(&self) -> impl Iterator<Item = &String> {
        self.bridged.values()
    }

    fn bar_again(&mut self, bridged: &BTreeMap<u32, String>) -> Result<(), EnforceError> {
        let name = self.name.clone();
        let mut change = Change::new(&name, NETDEV);
        change.make_table();
        change.delete_table();
        if !bridged.is_empty() {
            change.make_table();
        }
        for (ifindex, device) in bridged {
            for (side, hook) in [("in", HOOK_INGRESS), ("out", HOOK_EGRESS)] {
                let chain = format!("{side}-{ifindex}");
                change.make_base_chain(&chain, hook, 0, Some(device));
                change.add_rule(&chain, Rule::new().end(End::Drop));
            }
        }
        self.socket.commit("close ports of bridges", &change.batch)
    }

    /// Whether somebody else has changed the table since the last call.
    pub fn is_changed(&mut self) -> Result<bool, EnforceError> {
        let (own, name) = (self.socket.port(), self.name.clone());
        let mut is_changed = false;
        let is_complete = self.alarm.take(|message| {
            is_changed |= message.kind >> 8 == TABLES
                && message.port != own
                && message.kind & 0xff != NEW_GENERATION
                && message.find(1).map(text) == Some(&name);
        });
        if is_changed || is_complete {
            return Ok(is_changed);
        }
        // A large change of our own fills the socket; something else may have got lost with it.
        let n_rules = self.count_rules()?;
        if *self.n_rules.get_or_insert(n_rules) != n_rules || n_rules == 0 {
            return Ok(true);
        }
        for (map, meant) in self.banks.meant() {
            if self.read(&map)? != meant {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn count_rules(&mut self) -> Result<usize, EnforceError> {
        let mut n_rules = 0;
        let asked = Attributes::new().text(1, &self.name);
        self.socket.dump("list the rules", (TABLES << 8 | GET_RULE, INET), &asked, |_| {
            n_rules += 1;
        })?;
        Ok(n_rules)
    }

    /// Puts everything back as it is meant to be.
    pub fn restore(
        &mut self,
        program: Option<(&Arc<NodeProgram>, Places)>,
    ) -> Result<(), EnforceError> {
        self.rebuild(program)?;
        let bridged = self.bridged.clone();
        self.bar_again(&bridged)
    }

    /// Judges by the program from the next packet on.
    pub fn enforce(
        &mut self,
        program: &Arc<NodeProgram>,
        places: Places,
    ) -> Result<(), EnforceError> {
        self.banks.check(program, &places.locals, &self.sizes)?;
        let lacks_hosts = !program.hosts.is_empty() && !self.banks.has_hosts;
        if self.is_foreign || lacks_hosts || self.banks.is_littered(program) {
            return self.rebuild(Some((program, places)));
        }
        let name = self.name.clone();
        let mut change = Change::new(&name, INET);
        // From here on the banks may say more than the kernel has.
        self.is_foreign = true;
        self.banks.plan(&mut change, program, places.clone())?;
        write_state(&mut change, program.revision, self.banks.active, true);
        if let Err(error) = self.socket.commit("change the table", &change.batch) {
            tracing::warn!(%error, "the table is not as it was left; making it anew");
            return self.rebuild(Some((program, places)));
        }
        self.is_foreign = false;
        self.revision = program.revision;
        Ok(())
    }

    /// Replaces the whole table in one transaction; packets are judged by the old one until it is done.
    pub fn rebuild(
        &mut self,
        program: Option<(&Arc<NodeProgram>, Places)>,
    ) -> Result<(), EnforceError> {
        let name = self.name.clone();
        let mut change = Change::new(&name, INET);
        change.make_table();
        change.delete_table();
        change.make_table();
        let has_hosts = program.as_ref().is_some_and(|(program, _)| !program.hosts.is_empty());
        chains::make(&mut change, &self.prefixes, self.log_group, has_hosts);
        change.add_elements(KNOWN.name, &known_elements(&self.known));
        let mut banks = Banks::default();
        banks.has_hosts = has_hosts;
        let (mut revision, mut to_host) = (Revision(0), ToHost::Drop);
        if let Some((program, places)) = program {
            banks.plan(&mut change, program, places)?;
            (revision, to_host) = (program.revision, program.to_host);
        }
        choose_bank(&mut change, banks.active, to_host, has_hosts);
        write_state(&mut change, revision, banks.active, false);
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

    pub fn remove(name: &str) -> Result<(), EnforceError> {
        let mut socket = Socket::open()?;
        for family in [INET, NETDEV] {
            let mut change = Change::new(name, family);
            change.make_table();
            change.delete_table();
            socket.commit("remove the table", &change.batch)?;
        }
        Ok(())
    }
}

fn known_elements(known: &BTreeSet<u32>) -> Vec<Element> {
    let key = |ifindex: &u32| ifindex.to_ne_bytes().to_vec();
    known.iter().map(|ifindex| Element { key: key(ifindex), value: Some(1) }).collect()
}

fn write_state(change: &mut Change<'_>, revision: Revision, bank: u8, replaces: bool) {
    let element =
        |key: u32, value: u32| Element { key: key.to_ne_bytes().to_vec(), value: Some(value) };
    let [low, high] = [revision.0 as u32, (revision.0 >> 32) as u32];
    let elements = [
        element(STATE_REVISION_LOW, low),
        element(STATE_REVISION_HIGH, high),
        element(STATE_LAYOUT, LAYOUT),
        element(STATE_BANK, u32::from(bank)),
    ];
    if replaces {
        change.remove_elements(STATE.name, &elements);
    }
    change.add_elements(STATE.name, &elements);
}
