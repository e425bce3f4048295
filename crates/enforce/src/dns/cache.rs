//! Who knows which address by which names, and until when.
//!
//! What one endpoint looked up says nothing about another. A looker is one attachment of an endpoint
//! (`ebpf::plan::endpoint_content`): who comes back on another interface begins anew.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use bulkhead_types::Names;
use bulkhead_wire::{NameTables, Tag};

use crate::limits::dns::{ADDRESSES_MAX, ADDRESSES_PER_LOOKER_MAX, NAMES_PER_ADDRESS_MAX};

/// What one message says: addresses, each with the names that lead to it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    /// Normal names, and seconds that all of them hold.
    pub addresses: Vec<(IpAddr, BTreeSet<String>, u32)>,
}

#[derive(Clone, Debug, Default)]
pub struct Cache {
    /// What names bring, in the program that is enforced.
    patterns: NameTables,
    lookers: BTreeMap<u64, BTreeMap<IpAddr, Known>>,
    n_addresses: usize,
}

#[derive(Clone, Debug, Default)]
struct Known {
    /// With the boot time at which each ends.
    names: Vec<(Arc<str>, u64)>,
    tags: BTreeSet<Tag>,
}

/// Names that have run out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Forgotten {
    looker: u64,
    address: IpAddr,
    names: Vec<(Arc<str>, u64)>,
}

impl Forgotten {
    pub fn place(&self) -> (u64, IpAddr) {
        (self.looker, self.address)
    }
}

/// There was no room, so nothing was learned of an address that the program tells apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full;

impl Known {
    fn find_tags(&mut self, patterns: &NameTables) {
        if patterns.patterns.is_empty() {
            self.tags.clear();
            return;
        }
        self.tags = patterns.tags_of(&self.names());
    }

    fn names(&self) -> Names {
        Names::new(self.names.iter().map(|(name, _)| name))
    }
}

impl Cache {
    /// From here on names bring what these tables say.
    pub fn resolve(&mut self, names: &NameTables) {
        if self.patterns.patterns == names.patterns {
            return;
        }
        self.patterns = NameTables { patterns: names.patterns.clone(), ..NameTables::default() };
        for known in self.lookers.values_mut().flat_map(BTreeMap::values_mut) {
            known.find_tags(&self.patterns);
        }
    }

    /// `until_ns`: from seconds to the boot time at which they are over. Returns the addresses whose
    /// tags have changed.
    pub fn learn(
        &mut self,
        looker: u64,
        answer: &Answer,
        until_ns: impl Fn(u32) -> u64,
    ) -> Result<Vec<IpAddr>, Full> {
        let mut changed = Vec::new();
        let mut result = Ok(());
        for (address, names, ttl) in &answer.addresses {
            let tags = self.patterns.tags_of(&Names::new(names));
            if !self.has_room(looker, *address) && !self.make_room(looker, *address) {
                if !tags.is_empty() {
                    result = Err(Full);
                }
                continue;
            }
            let of_looker = self.lookers.entry(looker).or_default();
            let n_before = of_looker.len();
            let known = of_looker.entry(*address).or_default();
            for name in names {
                let until = until_ns(*ttl);
                let is_full = known.names.len() >= NAMES_PER_ADDRESS_MAX;
                match known.names.iter_mut().find(|(held, _)| **held == **name) {
                    Some((_, held)) => *held = until.max(*held),
                    None if !is_full => {
                        known.names.push((name.as_str().into(), until));
                    }
                    None if tags.is_empty() => {}
                    None => result = Err(Full),
                }
            }
            let before = std::mem::take(&mut known.tags);
            known.find_tags(&self.patterns);
            if known.tags != before {
                changed.push(*address);
            }
            self.n_addresses += of_looker.len() - n_before;
        }
        result.map(|()| changed)
    }

    fn has_room(&self, looker: u64, address: IpAddr) -> bool {
        let of_looker = self.lookers.get(&looker);
        of_looker.is_some_and(|addresses| addresses.contains_key(&address))
            || (self.n_addresses < ADDRESSES_MAX
                && of_looker.is_none_or(|addresses| addresses.len() < ADDRESSES_PER_LOOKER_MAX))
    }

    /// Forgets what the program does not look at.
    fn make_room(&mut self, looker: u64, address: IpAddr) -> bool {
        for addresses in self.lookers.values_mut() {
            addresses.retain(|_, known| !known.tags.is_empty());
        }
        self.count();
        self.has_room(looker, address)
    }

    fn count(&mut self) {
        self.lookers.retain(|_, addresses| !addresses.is_empty());
        self.n_addresses = self.lookers.values().map(BTreeMap::len).sum();
    }

    /// Addresses that names have brought into a group.
    pub fn tagged(&self, looker: u64) -> impl Iterator<Item = (IpAddr, &BTreeSet<Tag>)> {
        let addresses = self.lookers.get(&looker).into_iter().flatten();
        addresses
            .filter(|(_, known)| !known.tags.is_empty())
            .map(|(address, known)| (*address, &known.tags))
    }

    pub fn tags(&self, looker: u64, address: IpAddr) -> Option<&BTreeSet<Tag>> {
        self.lookers.get(&looker)?.get(&address).map(|known| &known.tags)
    }

    pub fn names(&self, looker: u64, address: IpAddr) -> Names {
        let known = self.lookers.get(&looker).and_then(|addresses| addresses.get(&address));
        known.map(Known::names).unwrap_or_default()
    }

    /// What has run out: whose it is, and the address.
    pub fn expired(&self, now_ns: u64) -> BTreeSet<(u64, IpAddr)> {
        let all = self.lookers.iter().flat_map(|(looker, addresses)| {
            addresses.iter().map(move |(address, known)| ((*looker, *address), known))
        });
        let is_expired = |known: &Known| known.names.iter().any(|(_, until)| *until < now_ns);
        all.filter(|(_, known)| is_expired(known)).map(|(place, _)| place).collect()
    }

    /// Forgets the names of these that have run out.
    pub fn forget(&mut self, places: &BTreeSet<(u64, IpAddr)>, now_ns: u64) -> Vec<Forgotten> {
        let mut forgotten = Vec::new();
        for (looker, address) in places {
            let Some(addresses) = self.lookers.get_mut(looker) else { continue };
            let Some(known) = addresses.get_mut(address) else { continue };
            let gone = known.names.extract_if(.., |(_, until)| *until < now_ns);
            let names: Vec<_> = gone.collect();
            if names.is_empty() {
                continue;
            }
            known.find_tags(&self.patterns);
            if known.names.is_empty() {
                addresses.remove(address);
            }
            forgotten.push(Forgotten { looker: *looker, address: *address, names });
        }
        self.count();
        forgotten
    }

    pub fn put_back(&mut self, forgotten: Forgotten) {
        let Forgotten { looker, address, names } = forgotten;
        let known = self.lookers.entry(looker).or_default().entry(address).or_default();
        for (name, until) in names {
            if !known.names.iter().any(|(held, _)| *held == name) {
                known.names.push((name, until));
            }
        }
        known.find_tags(&self.patterns);
        self.count();
    }

    pub fn n_addresses(&self) -> usize {
        self.n_addresses
    }

    pub fn n_names(&self) -> usize {
        self.lookers.values().flat_map(BTreeMap::values).map(|known| known.names.len()).sum()
    }

    /// Everything, for the journal: looker, address, name, end.
    pub fn all(&self) -> impl Iterator<Item = (u64, IpAddr, &str, u64)> {
        self.lookers.iter().flat_map(|(looker, addresses)| {
            addresses.iter().flat_map(move |(address, known)| {
                let names = known.names.iter();
                names.map(move |(name, until)| (*looker, *address, &**name, *until))
            })
        })
    }
}

#[cfg(test)]
mod tests;
