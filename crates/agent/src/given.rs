//! The interfaces that container runtimes have handed over: kept on disk, because the agent may end and
//! start while their containers go on.
//!
//! INVARIANT(boot): numbers of interfaces mean something within one boot only, so a book of another
//! boot is empty.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use bulkhead_cni::local::Slot;
use bulkhead_enforce::node::given::GivenInterface;
use bulkhead_types::{EndpointId, Mac};
use serde::{Deserialize, Serialize};

use crate::files::{read_if_there, write_private};

const FILE: &str = "interfaces.json";
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

#[derive(Debug)]
pub struct Book {
    path: PathBuf,
    boot: String,
    entries: BTreeMap<Slot, GivenInterface>,
}

#[derive(Serialize, Deserialize)]
struct Page {
    boot: String,
    interfaces: Vec<Entry>,
}

#[derive(Serialize, Deserialize)]
struct Entry {
    slot: Slot,
    ifindex: u32,
    name: String,
    endpoint: Option<EndpointId>,
    addresses: BTreeSet<IpAddr>,
    mac: Option<Mac>,
}

impl Book {
    /// What this boot's agents wrote down. A book that cannot be read is an empty one: its containers'
    /// interfaces stay with their endpoints in the kernel, or are found again.
    pub fn open(state_dir: &Path) -> Self {
        let path = state_dir.join(FILE);
        let boot = std::fs::read_to_string(BOOT_ID).unwrap_or_default().trim().to_owned();
        let mut book = Self { path, boot, entries: BTreeMap::new() };
        let text = read_if_there(&book.path).ok().flatten().unwrap_or_default();
        if text.is_empty() {
            return book;
        }
        match serde_json::from_slice::<Page>(&text) {
            Ok(page) if page.boot == book.boot => {
                book.entries = page.interfaces.into_iter().map(Entry::read).collect();
            }
            Ok(_) => {}
            Err(error) => tracing::warn!(%error, path = %book.path.display(), "not read"),
        }
        book
    }

    pub fn interfaces(&self) -> impl Iterator<Item = &GivenInterface> {
        self.entries.values()
    }

    pub fn get(&self, slot: &Slot) -> Option<&GivenInterface> {
        self.entries.get(slot)
    }

    /// Addresses by endpoint, for the server.
    pub fn given(&self) -> BTreeMap<EndpointId, BTreeSet<IpAddr>> {
        let mut given: BTreeMap<EndpointId, BTreeSet<IpAddr>> = BTreeMap::new();
        for interface in self.entries.values() {
            if let Some(id) = &interface.id {
                given.entry(id.clone()).or_default().extend(&interface.addresses);
            }
        }
        given
    }

    /// An interface has one slot, and a slot one interface.
    pub fn put(&mut self, slot: Slot, interface: GivenInterface) {
        self.entries.retain(|_, known| known.ifindex != interface.ifindex);
        self.entries.insert(slot, interface);
        self.save();
    }

    /// Whether there was such a slot.
    pub fn remove(&mut self, slot: &Slot) -> bool {
        let was_there = self.entries.remove(slot).is_some();
        if was_there {
            self.save();
        }
        was_there
    }

    /// Whether any went.
    pub fn retain(&mut self, valid: &BTreeSet<Slot>) -> bool {
        let before = self.entries.len();
        self.entries.retain(|slot, _| valid.contains(slot));
        let moved = self.entries.len() != before;
        if moved {
            self.save();
        }
        moved
    }

    fn save(&self) {
        let interfaces = self.entries.iter().map(|(slot, one)| Entry::of(slot, one)).collect();
        let page = Page { boot: self.boot.clone(), interfaces };
        let text = serde_json::to_vec(&page).unwrap_or_default();
        if let Err(error) = write_private(&self.path, &text) {
            tracing::error!(%error, path = %self.path.display(), "not saved: a restart will not know");
        }
    }
}

impl Entry {
    fn of(slot: &Slot, interface: &GivenInterface) -> Self {
        let GivenInterface { ifindex, name, id, addresses, mac } = interface.clone();
        Self { slot: slot.clone(), ifindex, name, endpoint: id, addresses, mac }
    }

    fn read(self) -> (Slot, GivenInterface) {
        let Self { slot, ifindex, name, endpoint: id, addresses, mac } = self;
        (slot, GivenInterface { ifindex, name, id, addresses, mac })
    }
}

#[cfg(test)]
mod tests;
