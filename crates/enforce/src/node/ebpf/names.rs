//! The back end learns names: held answers out of the ring buffer, what they say into the kernel's maps.

use std::collections::BTreeSet;
use std::io;
use std::net::IpAddr;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;

use aya::maps::{MapData, RingBuf};
use bulkhead_enforce_abi as abi;
use bulkhead_enforce_abi::{Heard, NAME_SET_CUT, NAME_SET_NONE, NameKey, NameValue, Plain};
use bulkhead_wire::{ClassId, NameSetId, NodeProgram, ProgramId, Row};

use super::Ebpf;
use crate::dns::{DnsOptions, is_tighter};
use crate::ebpf::plan::names as plan_names;
use crate::events::boot_now_ns;
use crate::kernel::KernelOp;
use crate::kernel::linux::Linux;
use crate::kernel::linux::inject::Injector;
use crate::limits::dns::LISTENED_EVERY_MS;
use crate::node::EnforceError;
use crate::node::drift::Part;
use crate::node::names::{Hearing, Learner};
use crate::realized::{SlotKind, mapped};

/// Frames that are taken before others get their turn.
const TURN_MAX: usize = 512;

/// The kernel's side of hearing.
pub struct Listener {
    ring: RingBuf<MapData>,
    injector: Injector,
    /// Answers that the kernel let pass before this process began.
    n_unheld_before: u64,
    listened_ns: u64,
}

impl Listener {
    pub fn open(kernel: &mut Linux, options: &DnsOptions) -> Result<Self, EnforceError> {
        kernel.set_resolvers(&options.resolvers)?;
        let injector = Injector::open().map_err(|error| EnforceError::Kernel {
            action: "open a packet socket".to_owned(),
            message: error.to_string(),
        })?;
        Ok(Self {
            ring: kernel.take_heard()?,
            injector,
            n_unheld_before: n_unheld(kernel)?,
            listened_ns: 0,
        })
    }

    /// Whether there is a program, so that somebody can take what the kernel holds back.
    pub fn has_begun(&self) -> bool {
        self.listened_ns > 0
    }

    pub fn answers(&self) -> BorrowedFd<'_> {
        self.ring.as_fd()
    }
}

/// The row that answers for an address of a name set; `None`: denied as unknown.
fn row_of(
    program: &NodeProgram,
    judge: ProgramId,
    class: ClassId,
    set: Option<NameSetId>,
) -> Option<&Row> {
    let row = match set {
        Some(set) => program.names.row(judge, class, set)?,
        None => {
            let entries = &program.entries;
            *entries.get(&(judge, class)).or_else(|| entries.get(&(judge, ClassId::OUTSIDE)))?
        }
    };
    program.rows.get(&row).map(AsRef::as_ref)
}

fn n_unheld(kernel: &Linux) -> Result<u64, EnforceError> {
    let counts = [abi::DNS_NOBODY, abi::DNS_FULL, abi::DNS_SHAPE];
    counts.into_iter().map(|what| kernel.n_dns(what)).sum()
}

impl Ebpf {
    /// Takes what resolvers have answered. Says whether there may be more.
    pub(super) fn listen(&mut self) -> bool {
        for _ in 0..TURN_MAX {
            let Some(item) = self.listener.ring.next() else { return false };
            let head = Heard::from_bytes(&item);
            let frame = head.and_then(|head| {
                let from = size_of::<Heard>();
                item.get(from..from.checked_add(head.length as usize)?).map(<[u8]>::to_vec)
            });
            drop(item);
            if let (Some(head), Some(frame)) = (head, frame) {
                self.take_heard(&head, &frame);
            }
        }
        true
    }

    fn row(&self, judge: ProgramId, class: ClassId, slot: u32) -> Option<&Row> {
        match slot {
            NAME_SET_CUT => None,
            NAME_SET_NONE => row_of(&self.learner.program, judge, class, None),
            _ => {
                let set = self.tables.slots.content(SlotKind::NameSet, slot)?;
                row_of(&self.learner.program, judge, class, Some(NameSetId(set)))
            }
        }
    }

    fn judges_of(&self, program: &NodeProgram, looker: u64) -> Vec<ProgramId> {
        let judges = self.learner.lookers.get(&looker).and_then(|(id, ifindex)| {
            let (endpoint, bound) = (program.endpoints.get(id)?, self.learner.bindings.get(id)?);
            Some(plan_names::judges_of(endpoint, bound, *ifindex))
        });
        let judges = judges.into_iter().flatten();
        judges.filter(|judge| program.names.programs.contains_key(judge)).collect()
    }

    /// What an update left for later must not undo what is written now.
    fn forget_pending(&mut self, set: &[(NameKey, NameValue)], unset: &[NameKey]) {
        let written: BTreeSet<NameKey> =
            set.iter().map(|(key, _)| key).chain(unset).copied().collect();
        for op in &mut self.frees {
            match op {
                KernelOp::SetNames(names) => names.retain(|(key, _)| !written.contains(key)),
                KernelOp::UnsetNames(keys) => keys.retain(|key| !written.contains(key)),
                _ => {}
            }
        }
    }

    /// Says that somebody listens.
    pub(super) fn give_sign(&mut self) {
        let now_ns = boot_now_ns();
        if now_ns.saturating_sub(self.listener.listened_ns) < LISTENED_EVERY_MS * 1_000_000 {
            return;
        }
        match self.kernel.set_listened(now_ns) {
            Ok(()) => self.listener.listened_ns = now_ns,
            Err(error) => tracing::warn!(%error, "resolvers' answers will pass unlearned"),
        }
    }

    pub(super) fn count_unheld(&mut self) -> Result<(), EnforceError> {
        let n_unheld = n_unheld(&self.kernel)?.saturating_sub(self.listener.n_unheld_before);
        self.learner.report.n_unheld = n_unheld;
        Ok(())
    }
}

impl Hearing for Ebpf {
    fn learner(&mut self) -> &mut Learner {
        &mut self.learner
    }

    fn looker_of(&self, head: &Heard) -> Option<u64> {
        self.tables.slots.content(SlotKind::Endpoint, head.key.endpoint)
    }

    fn send_on(&mut self, head: &Heard, frame: &[u8]) -> io::Result<()> {
        self.listener.injector.send(head.ifindex, frame)
    }

    /// Makes the kernel know what the cache knows of these.
    fn hold(&mut self, places: Vec<(u64, IpAddr)>) -> Result<(), EnforceError> {
        let (mut set, mut unset, mut tightens) = (Vec::new(), Vec::new(), false);
        let program = Arc::clone(&self.learner.program);
        for (looker, address) in places {
            let tags = self.learner.cache.tags(looker, address).cloned().unwrap_or_default();
            let slots = &self.tables.slots;
            let Some(endpoint) = slots.of(SlotKind::Endpoint, looker) else { continue };
            for judge in self.judges_of(&program, looker) {
                let Some(judge_slot) = slots.of(SlotKind::Program, judge.0) else { continue };
                let key = NameKey { endpoint, program: judge_slot, remote: mapped(address) };
                let new = plan_names::set_slot(&program, slots, judge, &tags);
                let old = self.tables.names.get(&key).map(|value| value.lane);
                if old.unwrap_or([NAME_SET_NONE; 2]) == [new; 2] {
                    continue;
                }
                match new {
                    NAME_SET_NONE => unset.push(key),
                    _ => set.push((key, NameValue { lane: [new; 2] })),
                }
                let old = old.map_or(NAME_SET_NONE, |[first, _]| first);
                let class = program.class_of(address);
                tightens |= is_tighter(self.row(judge, class, old), self.row(judge, class, new));
            }
        }
        // Half of an answer would take the room of the next ones.
        let come = set.iter().filter(|(key, _)| !self.tables.names.contains_key(key)).count();
        let gone = unset.iter().filter(|key| self.tables.names.contains_key(key)).count();
        let needed = (self.tables.names.len() + come - gone) as u64;
        let available = u64::from(self.kernel.sizes().names);
        if come > gone && needed > available {
            let revision = program.revision;
            return Err(EnforceError::Capacity { map: "names", needed, available, revision });
        }
        self.forget_pending(&set, &unset);
        let is_write = !set.is_empty() || !unset.is_empty();
        if !set.is_empty() {
            self.carry_out(&KernelOp::SetNames(set))?;
        }
        if !unset.is_empty() {
            self.carry_out(&KernelOp::UnsetNames(unset))?;
        }
        if is_write {
            self.watch.trust_part(&self.kernel, Part::Names);
        }
        if tightens {
            self.carry_out(&KernelOp::SetEpoch((self.tables.epoch + 1) & 0xffff_ffff))?;
        }
        Ok(())
    }
}
