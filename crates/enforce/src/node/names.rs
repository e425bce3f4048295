//! What every back end does about names: from held answers to cache, journal and kernel, and on to the
//! workload. How the kernel is told, and how a packet is sent on, is a back end's own.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::IpAddr;
use std::sync::Arc;

use bulkhead_enforce_abi::Heard;
use bulkhead_types::{Direction, EndpointId};
use bulkhead_wire::{FlowRecord, NodeProgram};

use crate::dns::{Answer, Cache, DnsOptions, DnsReport, Ear, Forgotten, Journal, Lesson};
use crate::ebpf::Bindings;
use crate::ebpf::plan::endpoint_content;
use crate::events::boot_now_ns;
use crate::node::EnforceError;

/// So long a loss is told after it happened.
const TOLD_NS: u64 = 60_000_000_000;

/// What is known, and by which program it is looked at.
pub struct Learner {
    options: DnsOptions,
    ear: Ear,
    pub cache: Cache,
    journal: Option<Journal>,
    journal_error: Option<String>,
    pub program: Arc<NodeProgram>,
    pub bindings: Bindings,
    /// Who stands behind a looker.
    pub lookers: BTreeMap<u64, (EndpointId, u32)>,
    /// What the last sweep forgot, until it is sure that no flow has just begun to use it.
    gone: Vec<Forgotten>,
    pub report: DnsReport,
    withheld_ns: Option<u64>,
}

/// Who looks things up at every interface and address. Nobody where the program has no names.
pub fn lookers(program: &NodeProgram, bindings: &Bindings) -> BTreeMap<u64, (EndpointId, u32)> {
    let mut lookers = BTreeMap::new();
    if program.names.is_empty() {
        return lookers;
    }
    for (id, bound) in bindings {
        let ifindexes: BTreeSet<u32> = bound.values().map(|place| place.ifindex).collect();
        for ifindex in ifindexes {
            lookers.insert(endpoint_content(id, ifindex), (id.clone(), ifindex));
        }
    }
    lookers
}

impl Learner {
    pub fn open(options: &DnsOptions) -> Self {
        let mut cache = Cache::default();
        let opened = options.journal.as_deref().map(|path| Journal::open(path, &mut cache));
        let (journal, journal_error) = match opened.transpose() {
            Ok(journal) => (journal, None),
            Err(error) => (None, Some(error.to_string())),
        };
        Self {
            options: options.clone(),
            ear: Ear::default(),
            cache,
            journal,
            journal_error,
            program: Arc::default(),
            bindings: Bindings::new(),
            lookers: BTreeMap::new(),
            gone: Vec::new(),
            report: DnsReport::default(),
            withheld_ns: None,
        }
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
        // Of names nobody is asked whose program has none.
        let known = (!program.names.is_empty()).then(|| bindings.clone());
        self.bindings = known.unwrap_or_default();
        self.lookers = lookers(program, bindings);
    }

    fn until_ns(&self, seen_ns: u64) -> impl Fn(u32) -> u64 + use<> {
        let (least, most) = (self.options.ttl_min_s, self.options.ttl_max_s);
        move |ttl: u32| {
            seen_ns.saturating_add(u64::from(ttl.max(least).min(most.max(least))) * 1_000_000_000)
        }
    }

    /// Adds the names that the reporter knows the destination by.
    pub fn named(&self, looker: Option<u64>, mut record: FlowRecord) -> FlowRecord {
        if let Some(looker) = looker.filter(|_| record.direction == Direction::Egress) {
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

    fn note(&mut self, result: io::Result<()>) {
        match result {
            Ok(()) => self.journal_error = None,
            Err(error) => self.journal_error = Some(error.to_string()),
        }
    }

    /// What has run out, to be asked of the flows.
    pub fn run_out(&self, now_ns: u64) -> BTreeSet<(u64, IpAddr)> {
        let mut places = self.cache.expired(now_ns);
        places.extend(self.gone.iter().map(Forgotten::place));
        places
    }

    /// Forgets what has run out, unless a flow goes on with it. Returns what the kernel must hear of.
    fn forget(
        &mut self,
        mut run_out: BTreeSet<(u64, IpAddr)>,
        in_use: &BTreeSet<(u64, IpAddr)>,
        now_ns: u64,
    ) -> Vec<(u64, IpAddr)> {
        let mut changed = Vec::new();
        // A flow that began while its address was being forgotten brings it back.
        for gone in std::mem::take(&mut self.gone) {
            if in_use.contains(&gone.place()) {
                changed.push(gone.place());
                self.cache.put_back(gone);
            }
        }
        run_out.retain(|place| !in_use.contains(place));
        self.gone = self.cache.forget(&run_out, now_ns);
        changed.extend(self.gone.iter().map(Forgotten::place));
        changed
    }

    fn tidy(&mut self, now_ns: u64) {
        self.ear.forget(now_ns);
        if let Some(journal) = &mut self.journal {
            let written = journal.tidy(&self.cache);
            self.note(written);
        }
    }
}

/// A back end that learns names.
pub trait Hearing {
    fn learner(&mut self) -> &mut Learner;

    /// Who the packet is for; `None`: nobody any more.
    fn looker_of(&self, head: &Heard) -> Option<u64>;

    /// Makes the kernel know what the cache knows of these.
    fn hold(&mut self, places: Vec<(u64, IpAddr)>) -> Result<(), EnforceError>;

    fn send_on(&mut self, head: &Heard, frame: &[u8]) -> io::Result<()>;

    /// Learns from what the kernel told of, and sends it on where the kernel has held it.
    fn take_heard(&mut self, head: &Heard, frame: &[u8]) {
        let learner = self.learner();
        for lesson in learner.ear.take(head, frame, &mut learner.report) {
            self.take_lesson(head, &lesson);
        }
    }

    fn take_lesson(&mut self, head: &Heard, lesson: &Lesson) {
        let mut is_learned = !lesson.is_refused;
        for answer in &lesson.answers {
            is_learned &= self.learn(head, answer);
        }
        if !is_learned {
            let learner = self.learner();
            learner.ear.refuse(&head.key);
            learner.report.n_withheld += 1;
            learner.withheld_ns = Some(boot_now_ns());
            return;
        }
        if let Err(error) = self.send_on(head, &lesson.part.frame) {
            tracing::debug!(%error, "an answer could not be sent on");
            self.learner().report.n_unsent += 1;
        }
    }

    /// Whether the kernel knows now what the answer says.
    fn learn(&mut self, head: &Heard, answer: &Answer) -> bool {
        let Some(looker) = self.looker_of(head) else { return true };
        if answer.addresses.is_empty() {
            return true;
        }
        let learner = self.learner();
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

    /// Forgets what has run out and no flow uses, here and in the kernel.
    fn forget_names(
        &mut self,
        run_out: BTreeSet<(u64, IpAddr)>,
        in_use: &BTreeSet<(u64, IpAddr)>,
        now_ns: u64,
    ) -> Result<(), EnforceError> {
        let changed = self.learner().forget(run_out, in_use, now_ns);
        self.hold(changed)?;
        self.learner().tidy(now_ns);
        Ok(())
    }
}
