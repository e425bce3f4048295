//! The deny set in the kernel: a trie for each family and a bit for each /24, changed element by
//! element, so that what stays denied is denied all the time.

use std::collections::BTreeMap;

use bulkhead_enforce_abi::{CONFIG_DENY6, DENY_WORDS, Prefix4, Prefix6};
use bulkhead_wire::RuleId;
use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use super::Linux;
use crate::ebpf::denies::{Prefixes, bits};
use crate::kernel::linux::map::Map;
use crate::node::EnforceError;
use crate::realized::mapped;

/// The maps, and what is in them.
#[derive(Debug)]
pub struct Denies {
    trie4: Map<Prefix4, u64>,
    trie6: Map<Prefix6, u64>,
    words: Map<u32, u64>,
    /// Read from the maps when it is first wanted.
    known: Option<Prefixes>,
}

impl Denies {
    pub fn open(folder: &std::path::Path) -> Result<Self, EnforceError> {
        Ok(Self {
            trie4: Map::open(folder, "deny4")?,
            trie6: Map::open(folder, "deny6")?,
            words: Map::open(folder, "deny_bits")?,
            known: None,
        })
    }

    fn read(&self) -> Result<Prefixes, EnforceError> {
        let rule = |value: u64| (value != 0).then_some(RuleId(value));
        let mut known = BTreeMap::new();
        self.trie4.for_each(|key, value| {
            let length = u8::try_from(key.length).unwrap_or(32);
            if let Ok(net) = Ipv4Net::new(key.octets.into(), length) {
                known.insert(IpNet::from(net), rule(value));
            }
        })?;
        self.trie6.for_each(|key, value| {
            let length = u8::try_from(key.length).unwrap_or(128);
            if let Ok(net) = Ipv6Net::new(key.address.0.into(), length) {
                known.insert(IpNet::from(net), rule(value));
            }
        })?;
        Ok(known)
    }

    fn set(&self, prefixes: &[(IpNet, Option<RuleId>)]) -> Result<(), EnforceError> {
        let value = |rule: &Option<RuleId>| rule.map_or(0, |rule| rule.0);
        let of4: Vec<_> =
            prefixes.iter().filter_map(|(net, rule)| Some((key4(net)?, value(rule)))).collect();
        let of6: Vec<_> =
            prefixes.iter().filter_map(|(net, rule)| Some((key6(net)?, value(rule)))).collect();
        self.trie4.set_all(&of4)?;
        self.trie6.set_all(&of6)
    }

    fn unset(&self, prefixes: &[IpNet]) -> Result<(), EnforceError> {
        self.trie4.unset_all(&prefixes.iter().filter_map(key4).collect::<Vec<_>>())?;
        self.trie6.unset_all(&prefixes.iter().filter_map(key6).collect::<Vec<_>>())
    }

    fn set_words(&self, old: &[u64], new: &[u64]) -> Result<(), EnforceError> {
        let pairs = (0..DENY_WORDS).zip(old.iter().zip(new));
        let moved: Vec<(u32, u64)> =
            pairs.filter(|(_, (old, new))| old != new).map(|(at, (_, new))| (at, *new)).collect();
        self.words.set_all(&moved)
    }
}

fn key4(net: &IpNet) -> Option<Prefix4> {
    let IpNet::V4(net) = net else { return None };
    Some(Prefix4 { length: u32::from(net.prefix_len()), octets: net.network().octets() })
}

fn key6(net: &IpNet) -> Option<Prefix6> {
    let IpNet::V6(net) = net else { return None };
    let address = mapped(net.network().into());
    Some(Prefix6 { length: u32::from(net.prefix_len()), address })
}

impl Linux {
    /// Adds what is to be denied from now on. What is denied no more stays until
    /// [`Linux::drop_denies`].
    pub fn add_denies(&mut self, wanted: &Prefixes) -> Result<(), EnforceError> {
        let known = match self.denies.known.take() {
            Some(known) => known,
            None => self.denies.read()?,
        };
        let result = self.add_to(&known, wanted);
        let mut now = known;
        if result.is_ok() {
            now.extend(wanted.iter().map(|(net, rule)| (*net, *rule)));
            self.denies.known = Some(now);
        }
        result
    }

    fn add_to(&self, known: &Prefixes, wanted: &Prefixes) -> Result<(), EnforceError> {
        let differs = |(net, rule): &(&IpNet, &Option<RuleId>)| known.get(net) != Some(rule);
        let (holes, added): (Vec<_>, Vec<_>) = wanted
            .iter()
            .filter(differs)
            .map(|(net, rule)| (*net, *rule))
            .partition(|(_, rule)| rule.is_none());
        if holes.is_empty() && added.is_empty() {
            return Ok(());
        }
        if wanted.keys().any(|net| net.addr().is_ipv6()) {
            self.config.set(&CONFIG_DENY6, &1)?;
        }
        self.denies.set_words(&bits(known.iter()), &bits(known.iter().chain(wanted)))?;
        // A hole is there before what it is a hole in.
        self.denies.set(&holes)?;
        self.denies.set(&added)
    }

    /// Removes what is not wanted any more.
    pub fn drop_denies(&mut self, wanted: &Prefixes) -> Result<(), EnforceError> {
        let Some(known) = self.denies.known.take() else { return Ok(()) };
        let gone: Vec<(IpNet, Option<RuleId>)> = known
            .iter()
            .filter(|(net, _)| !wanted.contains_key(net))
            .map(|(net, rule)| (*net, *rule))
            .collect();
        if !gone.is_empty() {
            let (holes, rules): (Vec<_>, Vec<_>) =
                gone.into_iter().partition(|(_, rule)| rule.is_none());
            let nets = |of: Vec<(IpNet, _)>| of.into_iter().map(|(net, _)| net).collect::<Vec<_>>();
            self.denies.unset(&nets(rules))?;
            self.denies.unset(&nets(holes))?;
            self.denies.set_words(&bits(known.iter()), &bits(wanted.iter()))?;
            let has6 = wanted.keys().any(|net| net.addr().is_ipv6());
            self.config.set(&CONFIG_DENY6, &u64::from(has6))?;
        }
        self.denies.known = Some(wanted.clone());
        Ok(())
    }
}
