//! The thread that owns the kernel side of one node.

use std::collections::BTreeSet;
use std::fs::File;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use aya::maps::{MapData, RingBuf};
use bulkhead_enforce_abi::{Event, Plain, REASON_LOST_EVENT};
use bulkhead_types::{EndpointId, Revision, RuleRef};
use bulkhead_wire::{FlowRecord, NodeProgram};
use nix::sched::{CloneFlags, setns};
use tokio::sync::{mpsc, watch};

use crate::ebpf::{Bindings, plan};
use crate::events::{Clock, Finding, Names, Sweep, boot_now_ns, unix_now_ns};
use crate::kernel::linux::Linux;
use crate::kernel::linux::poll::wait_for;
use crate::kernel::{Kernel, KernelOp};
use crate::netlink::{Monitor, Topology, topology};
use crate::node::bind::bind;
use crate::node::{Command, EnforceError, EnforceReport, NodeOptions};
use crate::realized::{SlotKind, Tables};

/// Packets that were looking at the old when the endpoints flipped are done after this long: a packet
/// is judged in microseconds. Should a CPU stall for longer, one packet may be judged by a mixture;
/// its flow is judged again at the next one, because it carries the old epoch.
const GRACE: Duration = Duration::from_millis(10);
/// A following update may cut the grace period down to this.
const GRACE_MIN: Duration = Duration::from_millis(1);

type Started = std::sync::mpsc::Sender<Result<(), EnforceError>>;

pub fn run(
    options: NodeOptions,
    commands: mpsc::Receiver<Command>,
    records: mpsc::Sender<FlowRecord>,
    reports: watch::Sender<EnforceReport>,
    started: &Started,
) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let result = runtime
        .map_err(|error| failed("start the thread's runtime", &error))
        .and_then(|runtime| runtime.block_on(serve(options, commands, records, reports, started)));
    if let Err(error) = result {
        tracing::error!(%error, "enforcement has stopped; what is pinned goes on judging");
        // Nobody listens any more once the start has been answered.
        let _ = started.send(Err(error));
    }
}

fn failed(action: &str, error: &impl std::fmt::Display) -> EnforceError {
    EnforceError::Kernel { action: action.to_owned(), message: error.to_string() }
}

async fn serve(
    options: NodeOptions,
    mut commands: mpsc::Receiver<Command>,
    records: mpsc::Sender<FlowRecord>,
    reports: watch::Sender<EnforceReport>,
    started: &Started,
) -> Result<(), EnforceError> {
    if let Some(netns) = &options.netns {
        let action = format!("enter the network namespace `{}`", netns.display());
        let file = File::open(netns).map_err(|error| failed(&action, &error))?;
        setns(file, CloneFlags::CLONE_NEWNET).map_err(|error| failed(&action, &error))?;
    }
    let monitor = Monitor::open()?;
    let moved = wait_for(monitor.as_fd()).map_err(|error| failed("poll rtnetlink", &error))?;
    let sweep_every = Duration::from_millis(options.sweep_ms.max(10));
    let mut worker = Worker::open(options, records, reports)?;
    worker.look_around()?;
    let mut ring = worker.kernel.take_events()?;
    let told = wait_for(ring.as_fd()).map_err(|error| failed("poll the events", &error))?;
    let mut sweep = tokio::time::interval(sweep_every);
    sweep.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let _ = started.send(Ok(()));

    loop {
        let grace = worker.grace_left();
        let can_name = worker.program.is_some();
        tokio::select! {
            biased;
            command = commands.recv() => match command {
                Some(Command::Enforce(program, answer)) => {
                    let result = worker.enforce(program);
                    // The asker may have given up.
                    let _ = answer.send(result);
                }
                None => break,
            },
            ready = moved.readable() => {
                ready.map_err(|error| failed("poll rtnetlink", &error))?.clear_ready();
                monitor.drain();
                if let Err(error) = worker.look_around() {
                    tracing::warn!(%error, "interfaces could not be followed; trying again");
                }
            }
            () = tokio::time::sleep(grace.unwrap_or_default()), if grace.is_some() => {
                worker.free();
            }
            ready = told.readable(), if can_name => {
                ready.map_err(|error| failed("poll the events", &error))?.clear_ready();
                worker.drain(&mut ring);
            }
            _ = sweep.tick(), if can_name => worker.sweep(),
        }
    }
    worker.free();
    Ok(())
}

/// What the kernel programs do not judge yet, which must not go unsaid: rules by name, of which no
/// packet shows anything (an Allow lets nothing through and a Deny stops nothing), and host endpoints.
fn unheeded(program: &NodeProgram) -> Vec<String> {
    let rules = program.rules_by_name();
    let named = rules.iter().take(UNHEEDED_NAMED_MAX).map(|rule| match rule {
        RuleRef::Rule { policy, direction, index, .. } => {
            format!("rule {index} ({direction}) of {policy} is by DNS name: it decides nothing yet")
        }
        other => format!("{other:?} is by DNS name: it decides nothing yet"),
    });
    let rest = rules.len().saturating_sub(UNHEEDED_NAMED_MAX);
    let more = (rest > 0).then(|| format!("{rest} more rules are by DNS name"));
    let hosts = program.hosts.keys().take(UNHEEDED_NAMED_MAX);
    let hosts = hosts.map(|host| format!("host endpoint {host} is not enforced by eBPF yet"));
    named.chain(more).chain(hosts).collect()
}

/// Rules by name that a report names, and host endpoints.
const UNHEEDED_NAMED_MAX: usize = 16;

struct Worker {
    options: NodeOptions,
    kernel: Linux,
    tables: Tables,
    /// The tables may not be what the kernel has: read them before planning.
    is_stale: bool,
    frees: Vec<KernelOp>,
    freed_from: Instant,
    topology: Topology,
    attached: BTreeSet<u32>,
    program: Option<Arc<NodeProgram>>,
    bindings: Bindings,
    names: Names,
    flow_sweep: Sweep,
    records: mpsc::Sender<FlowRecord>,
    reports: watch::Sender<EnforceReport>,
    n_lost: u64,
    /// Events that were lost before this process began.
    n_lost_before: u64,
}

impl Worker {
    fn open(
        options: NodeOptions,
        records: mpsc::Sender<FlowRecord>,
        reports: watch::Sender<EnforceReport>,
    ) -> Result<Self, EnforceError> {
        let mut kernel = Linux::open(&options.pin_dir, options.sizes)?;
        let tables = kernel.read()?;
        let n_lost_before = kernel.n_dropped(REASON_LOST_EVENT)?;
        reports.send_modify(|report| report.revision = Revision(tables.revision));
        Ok(Self {
            names: Names::new(&options.node_name),
            flow_sweep: Sweep::new(options.update_ms, boot_now_ns()),
            options,
            kernel,
            tables,
            is_stale: false,
            frees: Vec::new(),
            freed_from: Instant::now(),
            topology: Topology::default(),
            attached: BTreeSet::new(),
            program: None,
            bindings: Bindings::new(),
            records,
            reports,
            n_lost: 0,
            n_lost_before,
        })
    }

    /// Follows interfaces and routes.
    fn look_around(&mut self) -> Result<(), EnforceError> {
        let topology = topology(&self.options.interface_prefixes)?;
        if topology == self.topology && self.attached.len() == topology.interfaces.len() {
            return Ok(());
        }
        let alive: BTreeSet<u32> = topology.interfaces.keys().copied().collect();
        self.attached.retain(|ifindex| alive.contains(ifindex));
        for (ifindex, name) in &topology.interfaces {
            if self.attached.contains(ifindex) {
                continue;
            }
            match self.kernel.attach(*ifindex, name) {
                Ok(()) => {
                    self.attached.insert(*ifindex);
                }
                // It may be gone already; if not, the next notification tries again.
                Err(error) => tracing::warn!(%error, interface = name, "not attached"),
            }
        }
        self.kernel.prune_links(&alive)?;
        self.topology = topology;
        if let Some(program) = self.program.clone() {
            self.realize(&program)?;
        }
        self.report();
        Ok(())
    }

    fn enforce(&mut self, program: Arc<NodeProgram>) -> Result<EnforceReport, EnforceError> {
        let unheeded = unheeded(&program);
        let program = program.without_hearsay().map_or(program, Arc::new);
        self.realize(&program)?;
        self.reports.send_modify(|report| {
            report.unheeded = unheeded;
            report.revision = program.revision;
            report.at_ns = unix_now_ns();
        });
        self.program = Some(program);
        self.report();
        Ok(self.reports.borrow().clone())
    }

    /// Plans, then carries out everything up to the grace period.
    fn realize(&mut self, program: &Arc<NodeProgram>) -> Result<(), EnforceError> {
        if !self.frees.is_empty() {
            std::thread::sleep(GRACE_MIN.saturating_sub(self.freed_from.elapsed()));
            self.free();
        }
        if self.is_stale {
            self.tables = self.kernel.read()?;
            self.is_stale = false;
        }
        let bindings = bind(program, &self.topology, &self.attached);
        let ops = plan(&self.tables, program, &bindings, self.kernel.sizes())?;
        let mut ops = ops.into_iter();
        for op in ops.by_ref() {
            if op == KernelOp::Grace {
                break;
            }
            self.carry_out(&op)?;
        }
        self.frees = ops.collect();
        self.freed_from = Instant::now();
        self.names.learn(program, &self.tables, &bindings);
        self.bindings = bindings;
        Ok(())
    }

    fn carry_out(&mut self, op: &KernelOp) -> Result<(), EnforceError> {
        match self.kernel.apply(op) {
            Ok(()) => {
                self.tables.apply(op);
                Ok(())
            }
            Err(error) => {
                self.is_stale = true;
                Err(error)
            }
        }
    }

    fn grace_left(&self) -> Option<Duration> {
        (!self.frees.is_empty()).then(|| GRACE.saturating_sub(self.freed_from.elapsed()))
    }

    /// What is not freed now is found again by the next plan.
    fn free(&mut self) {
        for op in std::mem::take(&mut self.frees) {
            if let Err(error) = self.carry_out(&op) {
                tracing::warn!(%error, "freeing goes on with the next program");
                return;
            }
        }
    }

    fn report(&mut self) {
        let is_bound =
            |id: &EndpointId| self.bindings.get(id).is_some_and(|bound| !bound.is_empty());
        let endpoints = self.program.iter().flat_map(|program| program.endpoints.keys());
        let (attached, waiting) = endpoints.cloned().partition(is_bound);
        let closed_interfaces = self
            .topology
            .interfaces
            .iter()
            .filter(|(ifindex, _)| !self.tables.interfaces.contains(ifindex))
            .map(|(_, name)| name.clone())
            .collect();
        self.reports.send_modify(|report| {
            report.attached = attached;
            report.waiting = waiting;
            report.closed_interfaces = closed_interfaces;
        });
    }

    fn drain(&mut self, ring: &mut RingBuf<MapData>) {
        let clock = Clock::now();
        while let Some(item) = ring.next() {
            let record = Event::from_bytes(&item).and_then(|event| {
                // A drop that no policy made is one packet; later ones like it are only counted.
                self.names.record(&event, &clock)
            });
            if let Some(record) = record
                && self.records.try_send(record).is_err()
            {
                self.n_lost += 1;
            }
        }
    }

    fn sweep(&mut self) {
        if let Err(error) = self.try_sweep() {
            tracing::warn!(%error, "the flow table could not be swept");
        }
    }

    fn try_sweep(&mut self) -> Result<(), EnforceError> {
        let now_ns = boot_now_ns();
        let clock = Clock::now();
        let live: BTreeSet<u32> =
            self.tables.slots.all(SlotKind::Endpoint).map(|(slot, _)| slot).collect();
        let mut found = Vec::new();
        self.kernel.flows().for_each(|key, flow| {
            let is_live = live.contains(&key.endpoint);
            match self.flow_sweep.look(&key, &flow, is_live, now_ns) {
                Finding::Nothing => {}
                finding => found.push((key, flow, finding)),
            }
        })?;
        for (key, flow, finding) in found {
            let (kind, flow) = match finding {
                Finding::Nothing => continue,
                Finding::Report(kind) => (Some(kind), flow),
                Finding::Remove(kind) => match self.kernel.flows().take(&key)? {
                    Some(last) => (kind, last),
                    None => continue,
                },
            };
            let record = kind.and_then(|kind| self.names.flow_record(kind, &key, &flow, &clock));
            if let Some(record) = record
                && self.records.try_send(record).is_err()
            {
                self.n_lost += 1;
            }
        }
        self.flow_sweep.done(now_ns);
        let n_lost_events = self.kernel.n_dropped(REASON_LOST_EVENT)?;
        let n_lost = self.n_lost + n_lost_events.saturating_sub(self.n_lost_before);
        self.reports.send_if_modified(|report| {
            std::mem::replace(&mut report.lost_records, n_lost) != n_lost
        });
        Ok(())
    }
}
