//! The order of an update's operations: make before break.

use std::mem::take;

use bulkhead_types::ToHost;
use bulkhead_wire::NodeProgram;

use super::{EndpointChange, NewSlots, classes, hosts, names, programs, rows, stale_slots};
use crate::kernel::KernelOp;
use crate::realized::{SlotKind, Tables};

/// Everything that changes; each is taken out when it finds its place.
pub(super) struct Parts {
    pub(super) rows: rows::RowChange,
    pub(super) entries: programs::EntryChange,
    pub(super) classes: classes::ClassChange,
    pub(super) names: names::NameChange,
    pub(super) hosts: hosts::HostChange,
    pub(super) endpoints: EndpointChange,
    pub(super) lane: u32,
    pub(super) is_flip: bool,
}

impl Parts {
    /// Up to the grace period.
    pub(super) fn update(
        &mut self,
        now: &Tables,
        program: &NodeProgram,
        slots: &NewSlots,
        rejudge: bool,
    ) -> Vec<KernelOp> {
        let Self { rows, entries, classes, names, hosts, endpoints, .. } = self;
        let mut ops = Vec::new();
        // A row is named after it is written: a name without its row would be taken for the row.
        let (row_slots, other_slots): (Vec<_>, Vec<_>) =
            slots.added.iter().copied().partition(|(kind, ..)| *kind == SlotKind::Row);
        push(&mut ops, other_slots, KernelOp::SetSlots);
        for kind in SlotKind::ALL {
            let next = slots.slots.next(kind);
            if next != now.slots.next(kind) {
                ops.push(KernelOp::SetNextSlot(kind, next));
            }
        }
        ops.append(&mut rows.set);
        push(&mut ops, row_slots, KernelOp::SetSlots);
        push(&mut ops, take(&mut entries.set), KernelOp::SetEntries);
        push(&mut ops, take(&mut entries.named.set), KernelOp::SetNameEntries);
        push(&mut ops, take(&mut hosts.locals_set), KernelOp::SetLocals);
        push(&mut ops, take(&mut hosts.failsafes_set), KernelOp::SetFailsafes);
        // Who goes goes first: the programs of the gone know nothing of new classes.
        push(&mut ops, take(&mut endpoints.unset), KernelOp::UnsetEndpoints);
        push(&mut ops, take(&mut classes.set), KernelOp::SetClasses);
        push(&mut ops, take(&mut names.set), KernelOp::SetNames);
        if !self.is_flip {
            push(&mut ops, take(&mut classes.unset), KernelOp::UnsetClasses);
            push(&mut ops, take(&mut names.unset), KernelOp::UnsetNames);
        }
        push(&mut ops, hosts.unset(now), KernelOp::UnsetHosts);
        push(&mut ops, hosts.set(now, self.lane), KernelOp::SetHosts);
        push(&mut ops, take(&mut endpoints.interfaces_set), KernelOp::SetInterfaces);
        push(&mut ops, take(&mut endpoints.set), KernelOp::SetEndpoints);
        push(&mut ops, take(&mut endpoints.interfaces_unset), KernelOp::UnsetInterfaces);
        let closes_host = program.to_host == ToHost::Drop;
        if now.closes_host != closes_host {
            ops.push(KernelOp::SetToHost(closes_host));
        }
        if now.revision != program.revision.0 {
            ops.push(KernelOp::SetRevision(program.revision.0));
        }
        if rejudge || !entries.unset.is_empty() || !entries.named.unset.is_empty() {
            ops.push(KernelOp::SetEpoch((now.epoch + 1) & 0xffff_ffff));
        }
        ops
    }

    /// What nothing uses any more.
    pub(super) fn frees(
        self,
        was: Option<&NodeProgram>,
        program: &NodeProgram,
        slots: &NewSlots,
    ) -> Vec<KernelOp> {
        let Self { rows, entries, classes, names, hosts, endpoints, .. } = self;
        let stale = stale_slots(was, program, slots, &endpoints.live, &hosts);
        let mut frees = Vec::new();
        push(&mut frees, classes.settle, KernelOp::SetClasses);
        push(&mut frees, names.settle, KernelOp::SetNames);
        push(&mut frees, classes.unset, KernelOp::UnsetClasses);
        push(&mut frees, names.unset, KernelOp::UnsetNames);
        push(&mut frees, names.retired, KernelOp::UnsetNames);
        push(&mut frees, entries.unset, KernelOp::UnsetEntries);
        push(&mut frees, entries.named.unset, KernelOp::UnsetNameEntries);
        push(&mut frees, rows.unset, KernelOp::UnsetRows);
        push(&mut frees, hosts.locals_unset, KernelOp::UnsetLocals);
        push(&mut frees, hosts.failsafes_unset, KernelOp::UnsetFailsafes);
        push(&mut frees, stale, KernelOp::UnsetSlots);
        frees
    }
}

pub(super) fn push<T>(ops: &mut Vec<KernelOp>, items: Vec<T>, make: impl Fn(Vec<T>) -> KernelOp) {
    if !items.is_empty() {
        ops.push(make(items));
    }
}
