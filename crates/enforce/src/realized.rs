//! The kernel's tables, mirrored: what is enforced now, as far as lookups can tell.
//!
//! INVARIANT(mirror): every [`KernelOp`] that the kernel has carried out is applied here, and nothing
//! else is; so a plan may be made from the mirror alone, also after an operation has failed half-way.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;

use bulkhead_enforce_abi::{
    Address, ClassValue, Endpoint, EndpointKey, EntryKey, FailsafeKey, Host, INTERFACE_JUDGED,
    Interface, LocalKey, NameEntryKey, NameKey, NameValue, PARTS, Row,
};
use ipnet::IpNet;

use crate::ebpf::extents::Extents;
use crate::kernel::KernelOp;

/// What a slot stands for. The numbers are kept in pinned maps: never reuse one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u32)]
pub enum SlotKind {
    Program = 1,
    Class = 2,
    Row = 3,
    Rule = 4,
    Endpoint = 5,
    NameSet = 6,
    /// A table of programs by near address.
    Locals = 7,
    /// A list of fail-safe ports.
    Failsafes = 8,
}

impl SlotKind {
    pub const ALL: [SlotKind; 8] = [
        Self::Program,
        Self::Class,
        Self::Row,
        Self::Rule,
        Self::Endpoint,
        Self::NameSet,
        Self::Locals,
        Self::Failsafes,
    ];

    pub fn from_number(number: u32) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| *kind as u32 == number)
    }
}

/// Content ids and the small numbers that stand for them in the kernel. A copy shares the kinds that
/// nothing is set in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Slots {
    kinds: BTreeMap<SlotKind, Arc<OfKind>>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct OfKind {
    by_content: HashMap<u64, u32>,
    content: BTreeMap<u32, u64>,
    /// The first number that was never used. Rows use theirs again, the others do not, so that a
    /// number in an old flow never means something new.
    next: u32,
}

impl Slots {
    /// The newest slot of `content`.
    pub fn of(&self, kind: SlotKind, content: u64) -> Option<u32> {
        self.kinds.get(&kind)?.by_content.get(&content).copied()
    }

    /// What the slot stands for.
    pub fn content(&self, kind: SlotKind, slot: u32) -> Option<u64> {
        self.kinds.get(&kind)?.content.get(&slot).copied()
    }

    pub fn all(&self, kind: SlotKind) -> impl Iterator<Item = (u32, u64)> + '_ {
        let content = self.kinds.get(&kind).into_iter().flat_map(|of_kind| &of_kind.content);
        content.map(|(slot, content)| (*slot, *content))
    }

    pub fn next(&self, kind: SlotKind) -> u32 {
        self.kinds.get(&kind).map_or(0, |of_kind| of_kind.next).max(1)
    }

    pub fn len(&self) -> usize {
        self.kinds.values().map(|of_kind| of_kind.content.len()).sum()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub fn set(&mut self, kind: SlotKind, slot: u32, content: u64) {
        let of_kind = self.of_kind(kind);
        of_kind.content.insert(slot, content);
        let newest = of_kind.by_content.entry(content).or_insert(slot);
        *newest = (*newest).max(slot);
        of_kind.next = of_kind.next.max(slot.saturating_add(1));
    }

    pub fn unset(&mut self, kind: SlotKind, slot: u32) {
        if self.content(kind, slot).is_none() {
            return;
        }
        let of_kind = self.of_kind(kind);
        if let Some(content) = of_kind.content.remove(&slot)
            && of_kind.by_content.get(&content) == Some(&slot)
        {
            of_kind.by_content.remove(&content);
        }
    }

    pub fn set_next(&mut self, kind: SlotKind, next: u32) {
        let known = &mut self.of_kind(kind).next;
        *known = (*known).max(next).max(1);
    }

    fn of_kind(&mut self, kind: SlotKind) -> &mut OfKind {
        Arc::make_mut(self.kinds.entry(kind).or_default())
    }
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tables {
    pub slots: Slots,
    pub endpoints: BTreeMap<EndpointKey, Endpoint>,
    pub interfaces: BTreeMap<u32, Interface>,
    pub hosts: BTreeMap<u32, Host>,
    pub locals: BTreeMap<LocalKey, u32>,
    pub failsafes: BTreeSet<FailsafeKey>,
    /// What workloads send to their own host is denied.
    pub closes_host: bool,
    pub classes: BTreeMap<IpNet, ClassValue>,
    pub entries: BTreeMap<EntryKey, u32>,
    pub names: BTreeMap<NameKey, NameValue>,
    pub name_entries: BTreeMap<NameEntryKey, u32>,
    pub rows: BTreeMap<u32, Row>,
    pub spans: Extents,
    pub epoch: u64,
    pub revision: u64,
}

fn without<K: Ord, V>(map: &mut BTreeMap<K, V>, keys: &[K]) {
    for key in keys {
        map.remove(key);
    }
}

/// The part of a row that tells where its spans lie; no protocol has it.
pub const EXTENT_PART: usize = PARTS - 1;

impl Tables {
    pub fn apply(&mut self, op: &KernelOp) {
        match op {
            KernelOp::SetSlots(slots) => {
                for (kind, slot, content) in slots {
                    self.slots.set(*kind, *slot, *content);
                }
            }
            KernelOp::UnsetSlots(slots) => {
                for (kind, slot) in slots {
                    self.slots.unset(*kind, *slot);
                }
            }
            KernelOp::SetNextSlot(kind, next) => self.slots.set_next(*kind, *next),
            KernelOp::SetSpans(start, spans) => self.spans.take(*start, spans.len() as u32),
            KernelOp::SetRow(slot, row) => {
                self.rows.insert(*slot, *row);
            }
            KernelOp::UnsetRows(slots) => {
                for slot in slots {
                    let extent = self.rows.remove(slot).and_then(|row| extent_of(&row));
                    if let Some((start, length)) = extent {
                        self.spans.give_back(start, length);
                    }
                }
            }
            KernelOp::SetEntries(entries) => self.entries.extend(entries.iter().copied()),
            KernelOp::UnsetEntries(keys) => without(&mut self.entries, keys),
            KernelOp::SetNameEntries(entries) => self.name_entries.extend(entries.iter().copied()),
            KernelOp::UnsetNameEntries(keys) => without(&mut self.name_entries, keys),
            KernelOp::SetNames(names) => self.names.extend(names.iter().copied()),
            KernelOp::UnsetNames(keys) => without(&mut self.names, keys),
            KernelOp::SetClasses(classes) => self.classes.extend(classes.iter().copied()),
            KernelOp::UnsetClasses(prefixes) => without(&mut self.classes, prefixes),
            KernelOp::SetInterfaces(interfaces) => {
                self.interfaces.extend(interfaces.iter().copied())
            }
            KernelOp::UnsetInterfaces(interfaces) => without(&mut self.interfaces, interfaces),
            KernelOp::SetHosts(hosts) => self.hosts.extend(hosts.iter().copied()),
            KernelOp::UnsetHosts(keys) => without(&mut self.hosts, keys),
            KernelOp::SetLocals(locals) => self.locals.extend(locals.iter().copied()),
            KernelOp::UnsetLocals(keys) => without(&mut self.locals, keys),
            KernelOp::SetFailsafes(keys) => self.failsafes.extend(keys.iter().copied()),
            KernelOp::UnsetFailsafes(keys) => keys.iter().for_each(|key| {
                self.failsafes.remove(key);
            }),
            KernelOp::SetToHost(closes) => self.closes_host = *closes,
            KernelOp::SetEndpoints(endpoints) => self.endpoints.extend(endpoints.iter().copied()),
            KernelOp::UnsetEndpoints(keys) => without(&mut self.endpoints, keys),
            KernelOp::SetRevision(revision) => self.revision = *revision,
            KernelOp::SetEpoch(epoch) => self.epoch = *epoch,
            KernelOp::Grace => {}
        }
    }

    /// Whether some endpoint is judged on the interface.
    pub fn is_judged(&self, ifindex: u32) -> bool {
        let known = self.interfaces.get(&ifindex);
        known.is_some_and(|interface| interface.flags & INTERFACE_JUDGED != 0)
    }

    /// Longest prefix at most as long as `prefix`, in `lane`.
    pub fn class_covering(&self, prefix: IpNet, lane: usize, strictly: bool) -> u32 {
        let longest = prefix.prefix_len();
        let first = if strictly { 1 } else { 0 };
        (first..=longest)
            .filter_map(|shorter| IpNet::new(prefix.addr(), longest - shorter).ok())
            .find_map(|covering| self.classes.get(&covering.trunc()))
            .and_then(|value| value.lane.get(lane).copied())
            .unwrap_or(bulkhead_enforce_abi::CLASS_OUTSIDE)
    }
}

/// Where the spans of a row lie, if it has any.
pub fn extent_of(row: &Row) -> Option<(u32, u32)> {
    row.parts
        .get(EXTENT_PART)
        .filter(|part| part.n_spans > 0)
        .map(|part| (part.value, part.n_spans))
}

/// As the kernel writes an address.
pub fn mapped(address: IpAddr) -> Address {
    let wide = match address {
        IpAddr::V4(v4) => v4.to_ipv6_mapped(),
        IpAddr::V6(v6) => v6,
    };
    Address(wide.octets())
}

pub fn unmapped(address: Address) -> IpAddr {
    Ipv6Addr::from(address.0).to_canonical()
}
