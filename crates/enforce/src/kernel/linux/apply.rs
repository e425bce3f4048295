//! Carries out one operation.

use std::net::IpAddr;

use bulkhead_enforce_abi::{
    Address, CONFIG_EPOCH, CONFIG_HOSTS, CONFIG_NEXT_SLOT, CONFIG_REVISION, CONFIG_TO_HOST,
    ClassValue, FailsafeKey, Prefix4, Prefix6, SlotKey, Span,
};
use ipnet::IpNet;

use crate::kernel::KernelOp;
use crate::kernel::linux::Linux;
use crate::node::EnforceError;

impl Linux {
    pub(super) fn apply_op(&mut self, op: &KernelOp) -> Result<(), EnforceError> {
        match op {
            KernelOp::SetSlots(slots) => {
                let elements: Vec<_> = slots
                    .iter()
                    .map(|(kind, slot, id)| (SlotKey { kind: *kind as u32, slot: *slot }, *id))
                    .collect();
                self.slots.set_all(&elements)
            }
            KernelOp::UnsetSlots(slots) => {
                let keys: Vec<_> = slots
                    .iter()
                    .map(|(kind, slot)| SlotKey { kind: *kind as u32, slot: *slot })
                    .collect();
                self.slots.unset_all(&keys)
            }
            KernelOp::SetNextSlot(kind, next) => {
                self.config.set(&(CONFIG_NEXT_SLOT + *kind as u32), &u64::from(*next))
            }
            KernelOp::SetSpans(start, spans) => {
                let elements: Vec<(u32, Span)> = (*start..).zip(spans.iter().copied()).collect();
                self.spans.set_all(&elements)
            }
            KernelOp::SetRow(slot, row) => self.rows.set(slot, row),
            // Array elements stay; that no entry points at them is what frees them.
            KernelOp::UnsetRows(_) | KernelOp::Grace => Ok(()),
            KernelOp::SetEntries(entries) => self.entries.set_all(entries),
            KernelOp::UnsetEntries(keys) => self.entries.unset_all(keys),
            KernelOp::SetNameEntries(entries) => self.name_entries.set_all(entries),
            KernelOp::UnsetNameEntries(keys) => self.name_entries.unset_all(keys),
            KernelOp::SetNames(names) => self.names.set_all(names),
            KernelOp::UnsetNames(keys) => self.names.unset_all(keys),
            KernelOp::SetClasses(classes) => self.set_classes(classes),
            KernelOp::UnsetClasses(prefixes) => self.unset_classes(prefixes),
            KernelOp::SetInterfaces(interfaces) => self.interfaces.set_all(interfaces),
            KernelOp::UnsetInterfaces(interfaces) => self.interfaces.unset_all(interfaces),
            KernelOp::SetEndpoints(endpoints) => self.endpoints.set_all(endpoints),
            KernelOp::UnsetEndpoints(keys) => self.endpoints.unset_all(keys),
            KernelOp::SetLocals(locals) => self.locals.set_all(locals),
            KernelOp::UnsetLocals(keys) => self.locals.unset_all(keys),
            KernelOp::SetFailsafes(keys) => {
                let elements: Vec<(FailsafeKey, u32)> = keys.iter().map(|key| (*key, 1)).collect();
                self.failsafes.set_all(&elements)
            }
            KernelOp::UnsetFailsafes(keys) => self.failsafes.unset_all(keys),
            KernelOp::SetHosts(hosts) => {
                self.hosts.set_all(hosts)?;
                self.config.set(&CONFIG_HOSTS, &1)
            }
            KernelOp::UnsetHosts(keys) => {
                self.hosts.unset_all(keys)?;
                let is_left = !self.hosts.all()?.is_empty();
                self.config.set(&CONFIG_HOSTS, &u64::from(is_left))
            }
            KernelOp::SetToHost(closes) => self.config.set(&CONFIG_TO_HOST, &u64::from(*closes)),
            KernelOp::SetRevision(revision) => self.config.set(&CONFIG_REVISION, revision),
            KernelOp::SetEpoch(epoch) => self.config.set(&CONFIG_EPOCH, epoch),
        }
    }

    fn set_classes(&self, classes: &[(IpNet, ClassValue)]) -> Result<(), EnforceError> {
        let mut sorted = Sorted::default();
        for (prefix, value) in classes {
            sorted.push(*prefix, *value);
        }
        self.classes4.set_all(&sorted.exact4)?;
        self.classes6.set_all(&sorted.exact6)?;
        self.prefixes4.set_all(&sorted.prefix4)?;
        self.prefixes6.set_all(&sorted.prefix6)
    }

    fn unset_classes(&self, prefixes: &[IpNet]) -> Result<(), EnforceError> {
        let mut sorted = Sorted::default();
        for prefix in prefixes {
            sorted.push(*prefix, ());
        }
        self.classes4.unset_all(&keys(sorted.exact4))?;
        self.classes6.unset_all(&keys(sorted.exact6))?;
        self.prefixes4.unset_all(&keys(sorted.prefix4))?;
        self.prefixes6.unset_all(&keys(sorted.prefix6))
    }
}

fn keys<K>(elements: Vec<(K, ())>) -> Vec<K> {
    elements.into_iter().map(|(key, ())| key).collect()
}

/// Prefixes by the map that holds them.
struct Sorted<T> {
    exact4: Vec<([u8; 4], T)>,
    exact6: Vec<(Address, T)>,
    prefix4: Vec<(Prefix4, T)>,
    prefix6: Vec<(Prefix6, T)>,
}

impl<T> Default for Sorted<T> {
    fn default() -> Self {
        Self { exact4: Vec::new(), exact6: Vec::new(), prefix4: Vec::new(), prefix6: Vec::new() }
    }
}

impl<T> Sorted<T> {
    fn push(&mut self, prefix: IpNet, value: T) {
        let length = u32::from(prefix.prefix_len());
        let is_exact = prefix.prefix_len() == prefix.max_prefix_len();
        match (prefix.addr(), is_exact) {
            (IpAddr::V4(address), true) => self.exact4.push((address.octets(), value)),
            (IpAddr::V6(address), true) => self.exact6.push((Address(address.octets()), value)),
            (IpAddr::V4(address), false) => {
                self.prefix4.push((Prefix4 { length, octets: address.octets() }, value));
            }
            (IpAddr::V6(address), false) => {
                let address = Address(address.octets());
                self.prefix6.push((Prefix6 { length, address }, value));
            }
        }
    }
}
