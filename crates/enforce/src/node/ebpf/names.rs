//! The back end learns names: held answers into the cache and the kernel, then on to the workload.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;

use aya::maps::{MapData, RingBuf};
use bulkhead_enforce_abi as abi;
use bulkhead_enforce_abi::{Heard, NAME_SET_CUT, NAME_SET_NONE, NameKey, NameValue, Plain};
use bulkhead_types::{Direction, EndpointId};
use bulkhead_wire::{ClassId, FlowRecord, NameSetId, NodeProgram, ProgramId, Row};

use super::Ebpf;
use crate::dns::{
    Answer, Cache, DnsOptions, DnsReport, Ear, Forgotten, Journal, Lesson, is_tighter,
};
use crate::ebpf::Bindings;
use crate::ebpf::plan::{endpoint_content, names as plan_names};
use crate::events::boot_now_ns;
use crate::kernel::KernelOp;
use crate::kernel::linux::Linux;
use crate::kernel::linux::inject::Injector;
use crate::limits::dns::LISTENED_EVERY_MS;
use crate::node::EnforceError;
use crate::node::drift::Part;
use crate::realized::{SlotKind, Tables, mapped};

/// Frames that are taken before others get their turn.
const TURN_MAX: usize = 512;
/// So long a loss is told after it happened.
const TOLD_NS: u64 = 60_000_000_000;

/// Everything about names that the back end keeps.
pub struct Learner {
    options: DnsOptions,
    ring: RingBuf<MapData>,
    injector: Injector,
    ear: Ear,
    pub cache: Cache,
    journal: Option<Journal>,
    journal_error: Option<String>,
    program: Arc<NodeProgram>,
    bindings: Bindings,
    /// Who stands behind the content of an endpoint slot.
    lookers: BTreeMap<u64, (EndpointId, u32)>,
    /// What the last sweep forgot, until it is sure that no flow has just begun to use it.
    gone: Vec<Forgotten>,
    report: DnsReport,
    /// Answers that the kernel let pass before this process began.
    n_unheld_before: u64,
    withheld_ns: Option<u64>,
    listened_ns: u64,
}

impl Learner {
    pub fn open(kernel: &mut Linux, options: &DnsOptions) -> Result<Self, EnforceError> {
        let failed = |action: &str, error: std::io::Error| EnforceError::Kernel {
            action: action.to_owned(),
            message: error.to_string(),
        };
        kernel.set_resolvers(&options.resolvers)?;
        let injector = Injector::open().map_err(|error| failed("open a packet socket", error))?;
        let mut cache = Cache::default();
        let opened = options.journal.as_deref().map(|path| Journal::open(path, &mut cache));
        let (journal, journal_error) = match opened.transpose() {
            Ok(journal) => (journal, None),
            Err(error) => (None, Some(error.to_string())),
        };
        Ok(Self {
            options: options.clone(),
            ring: kernel.take_heard()?,
            injector,
            ear: Ear::default(),
            cache,
            journal,
            journal_error,
            program: Arc::default(),
            bindings: Bindings::new(),
            lookers: BTreeMap::new(),
            gone: Vec::new(),
            report: DnsReport::default(),
            n_unheld_before: n_unheld(kernel)?,
            withheld_ns: None,
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

    /// The program that is tried now; take it back with the old one where it is refused.
    pub fn try_program(&mut self, program: &NodeProgram) {
        self.cache.resolve(&program.names);
    }

    pub fn take_back(&mut self) {
        self.cache.resolve(&self.program.names);
    }

    pub fn realized(&mut self, program: &Arc<NodeProgram>, bindings: &Bindings) {
        self.program = Arc::clone(program);
        self.bindings.clone_from(bindings);
        self.lookers.clear();
        if program.names.is_empty() {
            return;
        }
        for (id, bound) in bindings {
            let ifindexes: BTreeSet<u32> = bound.values().map(|place| place.ifindex).collect();
            for ifindex in ifindexes {
                self.lookers.insert(endpoint_content(id, ifindex), (id.clone(), ifindex));
            }
        }
    }

    fn until_ns(&self, seen_ns: u64) -> impl Fn(u32) -> u64 + use<> {
        let (least, most) = (self.options.ttl_min_s, self.options.ttl_max_s);
        move |ttl: u32| {
            seen_ns.saturating_add(u64::from(ttl.max(least).min(most.max(least))) * 1_000_000_000)
        }
    }

    /// Adds the names that the reporter knows the destination by.
    pub fn name(&self, tables: &Tables, slot: u32, mut record: FlowRecord) -> FlowRecord {
        if record.direction == Direction::Egress
            && let Some(looker) = tables.slots.content(SlotKind::Endpoint, slot)
        {
            record.names = self.cache.names(looker, record.packet.dst);
        }
        record
    }

    /// What keeps rules by name from working as they should, in sentences.
    pub fn warnings(&self, now_ns: u64) -> Vec<String> {
        let mut warnings = Vec::new();
        if !self.program.names.is_empty() && self.options.resolvers.is_empty() {
            warnings.push(
                "no DNS resolver is trusted, so no address is known by name: give --dns-trusted"
                    .to_owned(),
            );
        }
        if self.withheld_ns.is_some_and(|at| now_ns.saturating_sub(at) < TOLD_NS) {
            warnings.push(format!(
                "the kernel map `names` or its cache is full: {} DNS answers were kept back",
                self.report.n_withheld
            ));
        }
        if let Some(error) = &self.journal_error {
            warnings.push(format!("what is known by name would not survive a restart: {error}"));
        }
        warnings
    }

    pub fn report(&self) -> DnsReport {
        DnsReport { n_addresses: self.cache.n_addresses() as u64, ..self.report }
    }

    fn note(&mut self, result: std::io::Result<()>) {
        match result {
            Ok(()) => self.journal_error = None,
            Err(error) => self.journal_error = Some(error.to_string()),
        }
    }

    /// The row that answers for an address of a name set; `None`: denied as unknown.
    fn row(&self, judge: ProgramId, class: ClassId, set: Option<NameSetId>) -> Option<&Row> {
        let row = match set {
            Some(set) => self.program.names.row(judge, class, set)?,
            None => {
                let entries = &self.program.entries;
                *entries.get(&(judge, class)).or_else(|| entries.get(&(judge, ClassId::OUTSIDE)))?
            }
        };
        self.program.rows.get(&row).map(AsRef::as_ref)
    }
}

fn n_unheld(kernel: &Linux) -> Result<u64, EnforceError> {
    let counts = [abi::DNS_NOBODY, abi::DNS_FULL, abi::DNS_SHAPE];
    counts.into_iter().map(|what| kernel.n_dns(what)).sum()
}

impl Ebpf {
    /// Takes what resolvers have answered. Says whether there may be more.
    pub(super) fn listen(&mut self) -> bool {
        for _ in 0..TURN_MAX {
            let Some(item) = self.learner.ring.next() else { return false };
            let head = Heard::from_bytes(&item);
            let frame = head.and_then(|head| {
                let from = size_of::<Heard>();
                item.get(from..from.checked_add(head.length as usize)?).map(<[u8]>::to_vec)
            });
            drop(item);
            if let (Some(head), Some(frame)) = (head, frame) {
                let learner = &mut self.learner;
                for lesson in learner.ear.take(&head, &frame, &mut learner.report) {
                    self.take_lesson(&head, &lesson);
                }
            }
        }
        true
    }

    fn take_lesson(&mut self, head: &Heard, lesson: &Lesson) {
        let mut is_learned = !lesson.is_refused;
        for answer in &lesson.answers {
            is_learned &= self.learn(head, answer);
        }
        let learner = &mut self.learner;
        if !is_learned {
            learner.ear.refuse(&head.key);
            learner.report.n_withheld += 1;
            learner.withheld_ns = Some(boot_now_ns());
            return;
        }
        if let Err(error) = learner.injector.send(head.ifindex, &lesson.part.frame) {
            tracing::debug!(%error, "an answer could not be sent on");
            learner.report.n_unsent += 1;
        }
    }

    /// Whether the kernel knows now what the answer says.
    fn learn(&mut self, head: &Heard, answer: &Answer) -> bool {
        let slot = head.key.endpoint;
        let Some(looker) = self.tables.slots.content(SlotKind::Endpoint, slot) else { return true };
        if answer.addresses.is_empty() {
            return true;
        }
        let learner = &mut self.learner;
        let until_ns = learner.until_ns(head.seen_ns);
        let is_full = learner.cache.learn(looker, answer, &until_ns).is_err();
        if let Some(journal) = &mut learner.journal {
            let written = journal.add(looker, answer, &until_ns);
            learner.note(written);
        }
        learner.report.n_learned += 1;
        let places = answer.addresses.iter().map(|(address, ..)| (looker, *address)).collect();
        match self.hold(places) {
            Ok(()) => !is_full,
            Err(error) => {
                tracing::warn!(%error, "an answer is kept back");
                false
            }
        }
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

    fn row(&self, judge: ProgramId, class: ClassId, slot: u32) -> Option<&Row> {
        match slot {
            NAME_SET_CUT => None,
            NAME_SET_NONE => self.learner.row(judge, class, None),
            _ => {
                let set = self.tables.slots.content(SlotKind::NameSet, slot)?;
                self.learner.row(judge, class, Some(NameSetId(set)))
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
        if now_ns.saturating_sub(self.learner.listened_ns) < LISTENED_EVERY_MS * 1_000_000 {
            return;
        }
        match self.kernel.set_listened(now_ns) {
            Ok(()) => self.learner.listened_ns = now_ns,
            Err(error) => tracing::warn!(%error, "resolvers' answers will pass unlearned"),
        }
    }

    /// What has run out, to be asked of the flows.
    pub(super) fn run_out(&self, now_ns: u64) -> BTreeSet<(u64, IpAddr)> {
        let mut places = self.learner.cache.expired(now_ns);
        places.extend(self.learner.gone.iter().map(Forgotten::place));
        places
    }

    /// Forgets what has run out, unless a flow goes on with it.
    pub(super) fn forget_names(
        &mut self,
        mut run_out: BTreeSet<(u64, IpAddr)>,
        in_use: &BTreeSet<(u64, IpAddr)>,
        now_ns: u64,
    ) -> Result<(), EnforceError> {
        let mut changed = Vec::new();
        // A flow that began while its address was being forgotten brings it back.
        for gone in std::mem::take(&mut self.learner.gone) {
            if in_use.contains(&gone.place()) {
                changed.push(gone.place());
                self.learner.cache.put_back(gone);
            }
        }
        run_out.retain(|place| !in_use.contains(place));
        self.learner.gone = self.learner.cache.forget(&run_out, now_ns);
        changed.extend(self.learner.gone.iter().map(Forgotten::place));
        self.hold(changed)?;
        self.learner.ear.forget(now_ns);
        let learner = &mut self.learner;
        learner.report.n_unheld = n_unheld(&self.kernel)?.saturating_sub(learner.n_unheld_before);
        if let Some(journal) = &mut learner.journal {
            let written = journal.tidy(&learner.cache);
            learner.note(written);
        }
        Ok(())
    }
}
