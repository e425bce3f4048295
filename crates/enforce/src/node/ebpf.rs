//! The eBPF back end: tcx programs on the interfaces, pinned maps, a ring buffer of events.

mod carry;
mod names;
mod own;
mod resetter;

use std::collections::{BTreeMap, BTreeSet};
use std::os::fd::{AsFd, BorrowedFd};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use aya::maps::{MapData, RingBuf};
use bulkhead_enforce_abi::{Event, OPENER_LOCAL, Plain, REASON_LOST_EVENT};
use bulkhead_types::{EndpointId, Revision};
use bulkhead_wire::NodeProgram;

use crate::dns::DnsReport;
use crate::ebpf::Bindings;
use crate::ebpf::denies::{DenySet, Prefixes};
use crate::events::{Clock, Finding, Names, Sweep, boot_now_ns, is_closed, tick_now_ns};
use crate::kernel::linux::Linux;
use crate::kernel::{Kernel, KernelOp};
use crate::netlink::Topology;
use crate::node::backend::{Backend, Sink};
use crate::node::bind::{Held, held};
use crate::node::drift::Watch;
use crate::node::ground::ground;
use crate::node::names::{Hearing, Learner};
use crate::node::{EnforceError, NodeOptions};
use crate::realized::{SlotKind, Tables, unmapped};
use crate::resets::resets;
use names::Listener;
use resetter::Resetter;

/// Packets that were looking at the old when the endpoints flipped are done after this long: a packet
/// is judged in microseconds. Should a CPU stall for longer, one packet may be judged by a mixture;
/// its flow is judged again at the next one, because it carries the old epoch.
const GRACE: Duration = Duration::from_millis(10);
/// A following update may cut the grace period down to this.
const GRACE_MIN: Duration = Duration::from_millis(1);

/// Events that are read before anything else has its turn.
const DRAINED_MAX: usize = 16_384;

static NOBODY: Prefixes = Prefixes::new();

pub struct Ebpf {
    pin_dir: PathBuf,
    kernel: Linux,
    ring: RingBuf<MapData>,
    tables: Tables,
    /// The tables may not be what the kernel has: read them before planning.
    is_stale: bool,
    /// The program that the tables hold whole, once nothing of its plan is left to do, and where its host
    /// endpoints stand.
    whole: Option<(Arc<NodeProgram>, BTreeMap<u32, EndpointId>)>,
    frees: Vec<KernelOp>,
    freed_from: Instant,
    attached: BTreeSet<u32>,
    /// Names of workloads' interfaces that the kernel programs do not know yet. Not before this back end
    /// judges: as long as another one does, no interface is unknown for want of ours.
    prefixes: Option<Vec<String>>,
    /// The deny set of the last program.
    denied: Option<(Arc<NodeProgram>, BTreeSet<EndpointId>, DenySet)>,
    names: Names,
    flow_sweep: Sweep,
    watch: Watch,
    /// Events that were lost before this process began.
    n_lost_before: u64,
    learner: Learner,
    listener: Listener,
    resetter: Option<Resetter>,
}

impl Ebpf {
    pub fn open(options: &NodeOptions) -> Result<Self, EnforceError> {
        let mut kernel = Linux::open_as(&options.pin_dir, options.sizes, options.layout)?;
        let tables = kernel.read()?;
        let n_lost_before = kernel.n_dropped(REASON_LOST_EVENT)?;
        let ring = kernel.take_events()?;
        let listener = Listener::open(&mut kernel, &options.dns)?;
        let resetter = options.resets.then(Resetter::open).transpose();
        let resetter = resetter.map_err(|error| EnforceError::Kernel {
            action: "open the sockets for resets".to_owned(),
            message: error.to_string(),
        })?;
        kernel.set_resets(resetter.is_some())?;
        let mut watch = Watch::default();
        watch.trust(&kernel);
        // Where earlier programs still judge, by other maps, ours come with theirs.
        if !kernel.is_staged() {
            kernel.attach_hooks()?;
        }
        Ok(Self {
            pin_dir: options.pin_dir.clone(),
            kernel,
            ring,
            tables,
            is_stale: false,
            whole: None,
            frees: Vec::new(),
            freed_from: Instant::now(),
            attached: BTreeSet::new(),
            prefixes: Some(options.interface_prefixes.clone()),
            denied: None,
            names: Names::new(&options.node_name),
            flow_sweep: Sweep::new(options.update_ms, tick_now_ns()),
            watch,
            n_lost_before,
            learner: Learner::open(&options.dns),
            listener,
            resetter,
        })
    }

    /// The workloads' interfaces that this back end judges, or will once another one is gone: what is known
    /// of them must be in the tables before.
    fn standing(&self, topology: &Topology) -> BTreeSet<u32> {
        match &self.prefixes {
            Some(_) => topology.interfaces.keys().copied().collect(),
            None => self.attached.clone(),
        }
    }

    /// What leads back to the tables. New flows may have been judged without what was missing, so all
    /// are judged again.
    fn put_back(&mut self, ops: Vec<KernelOp>) -> Result<(), EnforceError> {
        if !ops.is_empty() {
            let epoch = KernelOp::SetEpoch((self.tables.epoch + 1) & 0xffff_ffff);
            for op in ops.iter().chain([&epoch]) {
                self.kernel.apply(op)?;
            }
            self.tables.apply(&epoch);
            self.watch.trust(&self.kernel);
        }
        Ok(())
    }

    /// What somebody else did to the tables must not be taken for ours when ours change.
    fn mend_tables(&mut self) -> Result<(), EnforceError> {
        let moved = self.watch.moved(&self.kernel);
        let ops = self.watch.compare(&mut self.kernel, &self.tables, &moved)?;
        self.put_back(ops)
    }
}

impl Backend for Ebpf {
    fn revision(&self) -> Revision {
        let earlier = self.kernel.is_staged().then(|| self.kernel.earlier_revision());
        Revision(earlier.unwrap_or(self.tables.revision))
    }

    fn inherited_interfaces(&self) -> BTreeSet<u32> {
        self.kernel.pinned_interfaces()
    }

    fn mend(&mut self, topology: &Topology) -> Result<Vec<String>, EnforceError> {
        if !self.is_stale {
            let (ops, bare) = self.watch.look(&mut self.kernel, &self.tables)?;
            self.attached.retain(|ifindex| !bare.contains(ifindex));
            self.put_back(ops)?;
        }
        self.follow(topology)?;
        if self.watch.is_turn() {
            self.kernel.prune_pins(|ifindex| topology.links.contains_key(&ifindex))?;
        }
        Ok(self.watch.told())
    }

    fn close_early(&mut self, new: &BTreeMap<u32, &str>) {
        let new = new.iter().filter(|(ifindex, _)| !self.attached.contains(ifindex));
        let new: Vec<(u32, &str)> = new.map(|(ifindex, name)| (*ifindex, *name)).collect();
        // What fails here is tried again, and said, when it is followed.
        let done = self.kernel.attach_all(&new).into_iter();
        self.attached.extend(done.filter(|(_, done)| done.is_ok()).map(|(ifindex, _)| ifindex));
    }

    fn follow(&mut self, topology: &Topology) -> Result<BTreeSet<u32>, EnforceError> {
        if let Some(prefixes) = &self.prefixes {
            self.kernel.set_name_prefixes(prefixes)?;
            self.prefixes = None;
        }
        self.attached.retain(|ifindex| topology.interfaces.contains_key(ifindex));
        let new =
            topology.interfaces.iter().filter(|(ifindex, _)| !self.attached.contains(ifindex));
        let new: Vec<(u32, &str)> = new.map(|(at, name)| (*at, name.as_str())).collect();
        for (ifindex, done) in self.kernel.attach_all(&new) {
            match done {
                Ok(()) => {
                    self.attached.insert(ifindex);
                }
                // It may be gone already; if not, the next notification tries again.
                Err(error) => tracing::warn!(%error, "not attached"),
            }
        }
        self.kernel.forget_links(|ifindex| topology.links.contains_key(&ifindex))?;
        Ok(self.attached.clone())
    }

    /// Plans, then carries out everything up to the grace period.
    fn realize(
        &mut self,
        program: &Arc<NodeProgram>,
        bindings: &Bindings,
        topology: &Topology,
    ) -> Result<(), EnforceError> {
        if !self.frees.is_empty() {
            std::thread::sleep(GRACE_MIN.saturating_sub(self.freed_from.elapsed()));
            self.settle();
        }
        if self.is_stale {
            self.tables = self.kernel.read()?;
            self.is_stale = false;
            self.whole = None;
        }
        self.mend_tables()?;
        let ground = ground(program, topology, &self.standing(topology));
        let denied = self.deny_set(program, &ground);
        let is_dropped = self.watch_drivers(&denied, &ground, topology);
        let program = denied.rest.as_ref().filter(|_| is_dropped).unwrap_or(program);
        if is_dropped {
            self.kernel.add_denies(&denied.prefixes)?;
        }
        self.learner.try_program(program);
        let planned = self.plan(program, bindings, &ground);
        let ops = planned.inspect_err(|_| self.learner.take_back())?;
        self.watch_wires(program, &ground, topology)?;
        self.frees = self.carry_on(ops)?;
        self.kernel.drop_denies(if is_dropped { &denied.prefixes } else { &NOBODY })?;
        self.freed_from = Instant::now();
        self.watch.trust(&self.kernel);
        if self.kernel.is_staged() {
            self.kernel.take_over(&self.tables)?;
        }
        self.whole = Some((Arc::clone(program), ground.hosts.clone()));
        self.names.learn(program, &self.tables, bindings);
        self.names.learn_hosts(program, &self.tables, &ground.hosts);
        self.learner.realized(program, bindings);
        self.give_sign();
        Ok(())
    }

    fn held(&self, program: &NodeProgram) -> Held {
        held(program, &self.tables)
    }

    fn answers(&self) -> BorrowedFd<'_> {
        self.listener.answers()
    }

    fn hear(&mut self) -> bool {
        self.listen()
    }

    fn beat(&mut self) {
        self.give_sign();
    }

    fn dns(&self) -> (DnsReport, Vec<String>) {
        (self.learner.report(), self.learner.warnings(boot_now_ns()))
    }

    fn is_open(&self, ifindex: u32) -> bool {
        self.tables.is_judged(ifindex)
    }

    fn settles_in(&self) -> Option<Duration> {
        (!self.frees.is_empty()).then(|| GRACE.saturating_sub(self.freed_from.elapsed()))
    }

    /// What is not freed now is found again by the next plan.
    fn settle(&mut self) {
        for op in std::mem::take(&mut self.frees) {
            if let Err(error) = self.carry_out(&op) {
                self.whole = None;
                tracing::warn!(%error, "freeing goes on with the next program");
                return;
            }
        }
        self.watch.trust(&self.kernel);
    }

    fn events(&self) -> BorrowedFd<'_> {
        self.ring.as_fd()
    }

    fn drain(&mut self, sink: &mut Sink) -> bool {
        let clock = Clock::now();
        for n_drained in 0..DRAINED_MAX {
            let Some(item) = self.ring.next() else { return n_drained > 0 };
            if let Some(resets) = Event::from_bytes(&item).as_ref().and_then(resets) {
                if let Some(resetter) = &self.resetter {
                    resetter.send(&resets);
                }
                continue;
            }
            // A drop that no policy made is one packet; later ones like it are only counted.
            let event = Event::from_bytes(&item);
            sink.push(event.and_then(|event| {
                let looker = self.tables.slots.content(SlotKind::Endpoint, event.key.endpoint);
                Some(self.learner.named(looker, self.names.record(&event, &clock)?))
            }));
        }
        true
    }

    fn sweep(&mut self, sink: &mut Sink) -> Result<u64, EnforceError> {
        let (now_ns, tick_ns) = (boot_now_ns(), tick_now_ns());
        let clock = Clock::now();
        let live: BTreeSet<u32> =
            self.tables.slots.all(SlotKind::Endpoint).map(|(slot, _)| slot).collect();
        let mut found = Vec::new();
        let run_out = self.learner.run_out(now_ns);
        let mut in_use = BTreeSet::new();
        self.kernel.look_through_flows(|key, flow| {
            let is_live = live.contains(&key.endpoint);
            match self.flow_sweep.look(&key, &flow, is_live, tick_ns) {
                Finding::Nothing => {}
                finding => return found.push((key, flow, finding)),
            }
            let keeps = flow.is_allowed() && flow.opener == OPENER_LOCAL && !is_closed(&flow);
            if !run_out.is_empty()
                && keeps
                && let Some(looker) = self.tables.slots.content(SlotKind::Endpoint, key.endpoint)
            {
                in_use.insert((looker, unmapped(key.remote)));
            }
        })?;
        for (key, flow, finding) in found {
            let (kind, flow) = match finding {
                Finding::Nothing => continue,
                Finding::Report(kind) => (Some(kind), flow),
                Finding::Remove(kind) => {
                    // Its place may have been taken by a new one since.
                    let now = self.kernel.flows().get(&key)?;
                    if now.is_none_or(|now| now.started_ns != flow.started_ns) {
                        continue;
                    }
                    match self.kernel.flows().take(&key)? {
                        Some(last) => (kind, last),
                        None => continue,
                    }
                }
            };
            sink.push(kind.and_then(|kind| {
                let looker = self.tables.slots.content(SlotKind::Endpoint, key.endpoint);
                Some(self.learner.named(looker, self.names.flow_record(kind, &key, &flow, &clock)?))
            }));
        }
        self.forget_names(run_out, &in_use, now_ns)?;
        self.count_unheld()?;
        self.flow_sweep.done(tick_ns);
        let n_lost = self.kernel.n_dropped(REASON_LOST_EVENT)?;
        Ok(n_lost.saturating_sub(self.n_lost_before))
    }

    fn remove(&mut self) -> Result<(), EnforceError> {
        Linux::teardown(&self.pin_dir)
    }
}
