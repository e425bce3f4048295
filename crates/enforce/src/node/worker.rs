//! The thread that owns the kernel side of one node.

mod alarm;
mod hearing;
mod unheeded;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::net::IpAddr;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bulkhead_types::EndpointId;
use bulkhead_wire::{FlowRecord, NodeProgram};
use nix::sched::{CloneFlags, setns};
use tokio::sync::{mpsc, oneshot, watch};

use crate::ebpf::Bindings;
use crate::events::unix_now_ns;
use crate::gate;
use crate::kernel::linux::poll::wait_for;
use crate::netlink::far::{FarEnds, FarMonitor};
use crate::netlink::{Monitor, Topology, topology};
use crate::node::backend::{Backend, Sink};
use crate::node::bind::Held;
use crate::node::choice::{Chosen, choose};
use crate::node::drift::LOOK_EVERY;
use crate::node::far::FarLooks;
use crate::node::given::{Given, GivenInterface, NewInterface};
use crate::node::moves::Moves;
use crate::node::{Command, EnforceError, EnforceReport, NodeOptions};
use alarm::Alarm;
use hearing::Hearing;
use unheeded::unheeded;

/// The kernel wakes us only when many events have come together.
const DRAIN_EVERY: Duration = Duration::from_millis(25);

type Started = std::sync::mpsc::Sender<Result<(), EnforceError>>;

/// What is wanted of the thread.
pub struct Asked {
    pub commands: mpsc::Receiver<Command>,
    /// Answers, by an error, once the thread shall end.
    pub stopped: oneshot::Receiver<()>,
}

pub fn run(
    options: NodeOptions,
    asked: Asked,
    records: mpsc::Sender<FlowRecord>,
    reports: watch::Sender<EnforceReport>,
    started: &Started,
) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let result = runtime
        .map_err(|error| failed("start the thread's runtime", &error))
        .and_then(|runtime| runtime.block_on(serve(options, asked, records, reports, started)));
    if let Err(error) = result {
        tracing::error!(%error, "enforcement has stopped; what is pinned goes on judging");
        // Nobody listens any more once the start has been answered.
        let _ = started.send(Err(error));
    }
}

fn failed(action: &str, error: &impl std::fmt::Display) -> EnforceError {
    EnforceError::Kernel { action: action.to_owned(), message: error.to_string() }
}

fn enter(options: &NodeOptions) -> Result<(), EnforceError> {
    let Some(netns) = &options.netns else { return Ok(()) };
    let action = format!("enter the network namespace `{}`", netns.display());
    let file = File::open(netns).map_err(|error| failed(&action, &error))?;
    setns(file, CloneFlags::CLONE_NEWNET).map_err(|error| failed(&action, &error))
}

async fn serve(
    options: NodeOptions,
    mut asked: Asked,
    records: mpsc::Sender<FlowRecord>,
    reports: watch::Sender<EnforceReport>,
    started: &Started,
) -> Result<(), EnforceError> {
    enter(&options)?;
    let monitor = Monitor::open()?;
    let moved = wait_for(monitor.as_fd()).map_err(|error| failed("poll rtnetlink", &error))?;
    let far_monitor = FarMonitor::open()?;
    let far_moved = wait_for(far_monitor.as_fd());
    let far_moved = far_moved.map_err(|error| failed("poll rtnetlink", &error))?;
    let mut far_looks = FarLooks::default();
    let mut worker = Worker::open(options, records, reports)?;
    worker.look_around()?;
    let told = wait_for(worker.backend.events());
    let told = told.map_err(|error| failed("poll the events", &error))?;
    let mut hearing = Hearing::of(worker.backend.as_ref())?;
    let alarm = Alarm::of(worker.backend.as_ref())?;
    let mut sweep = tokio::time::interval(worker.sweep_every());
    sweep.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut drain = tokio::time::interval(DRAIN_EVERY);
    drain.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut look = tokio::time::interval(LOOK_EVERY);
    look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let _ = started.send(Ok(()));

    loop {
        let grace = worker.backend.settles_in();
        let far_wait = far_looks.wait();
        let can_name = worker.program.is_some();
        tokio::select! {
            biased;
            _ = &mut asked.stopped => break,
            command = asked.commands.recv() => match command {
                Some(command) => worker.obey(command),
                None => break,
            },
            ready = moved.readable() => {
                ready.map_err(|error| failed("poll rtnetlink", &error))?.clear_ready();
                worker.close_new(&monitor.drain());
                if let Err(error) = worker.look_around() {
                    tracing::warn!(%error, "interfaces could not be followed; trying again");
                }
            }
            ready = far_moved.readable(), if far_wait.is_none() => {
                ready.map_err(|error| failed("poll rtnetlink", &error))?.clear_ready();
                far_looks.heard(far_monitor.drain());
            }
            () = tokio::time::sleep(far_wait.unwrap_or_default()), if far_wait.is_some() => {
                worker.far.forget(&far_looks.take());
                if let Err(error) = worker.look_around() {
                    tracing::warn!(%error, "interfaces could not be followed; trying again");
                }
            }
            () = tokio::time::sleep(grace.unwrap_or_default()), if grace.is_some() => {
                worker.backend.settle();
            }
            _ = sweep.tick(), if can_name => worker.sweep(),
            _ = drain.tick(), if can_name => worker.backend.drain(&mut worker.sink),
            _ = look.tick() => worker.look_after(),
            rang = alarm.rings() => {
                rang?;
                worker.look_after();
            }
            ready = hearing.ready(), if can_name => {
                ready?;
                hearing.hear(worker.backend.as_mut(), &mut worker.sink);
            }
            ready = told.readable(), if can_name => {
                ready.map_err(|error| failed("poll the events", &error))?.clear_ready();
                worker.backend.drain(&mut worker.sink);
            }
        }
    }
    worker.backend.settle();
    Ok(())
}

struct Worker {
    options: NodeOptions,
    backend: Box<dyn Backend>,
    /// Another back end, which judges until this one has its program.
    retiring: Option<Box<dyn Backend>>,
    topology: Topology,
    far: FarEnds,
    given: Given,
    attached: BTreeSet<u32>,
    /// Interfaces that were attached when we last looked, here or by an earlier process.
    known: BTreeSet<u32>,
    program: Option<Arc<NodeProgram>>,
    moves: Moves,
    bindings: Bindings,
    doubts: Vec<String>,
    is_gate_open: bool,
    sink: Sink,
    reports: watch::Sender<EnforceReport>,
}

/// The one that judges now.
fn judging<'a>(
    backend: &'a mut Box<dyn Backend>,
    retiring: &'a mut Option<Box<dyn Backend>>,
) -> &'a mut dyn Backend {
    retiring.as_mut().unwrap_or(backend).as_mut()
}

impl Worker {
    fn open(
        options: NodeOptions,
        records: mpsc::Sender<FlowRecord>,
        reports: watch::Sender<EnforceReport>,
    ) -> Result<Self, EnforceError> {
        let Chosen { kind, backend, retiring } = choose(&options)?;
        let judging = retiring.as_ref().unwrap_or(&backend);
        reports.send_modify(|report| {
            report.revision = judging.revision();
            report.backend = Some(kind);
        });
        Ok(Self {
            options,
            topology: Topology::default(),
            far: FarEnds::open()?,
            given: Given::new(),
            attached: BTreeSet::new(),
            known: judging.inherited_interfaces(),
            program: None,
            moves: Moves::default(),
            backend,
            retiring,
            bindings: Bindings::new(),
            doubts: Vec::new(),
            is_gate_open: false,
            sink: Sink::new(records),
            reports,
        })
    }

    /// Closes what has just appeared, before anything else is looked at.
    fn close_new(&mut self, links: &[(u32, String)]) {
        for (ifindex, name) in links {
            let is_ours = |prefix: &String| name.starts_with(prefix.as_str());
            if !self.attached.contains(ifindex)
                && self.options.interface_prefixes.iter().any(is_ours)
            {
                self.backend.close_early(*ifindex, name);
            }
        }
    }

    /// Follows interfaces, routes and what is at the other end of the interfaces. What has appeared is
    /// closed before anything else is looked at.
    fn look_around(&mut self) -> Result<(), EnforceError> {
        let mut topology = topology(&self.options.interface_prefixes, &self.known)?;
        topology.give(&self.given);
        let is_new = !topology.interfaces.keys().eq(&self.attached);
        // What the interfaces stand on counts too: bridges, and the node's own links.
        if is_new || topology.links != self.topology.links {
            self.attached = judging(&mut self.backend, &mut self.retiring).follow(&topology)?;
            self.known.clone_from(&self.attached);
        }
        topology.peers = self.far.look(&topology.far);
        if topology == self.topology && !is_new {
            return Ok(());
        }
        self.topology = topology;
        if let Some(program) = self.program.clone() {
            self.realize(&program)?;
        }
        self.report();
        Ok(())
    }

    fn sweep_every(&self) -> Duration {
        Duration::from_millis(self.options.sweep_ms.max(10))
    }

    /// The asker may have given up meanwhile.
    fn obey(&mut self, command: Command) {
        match command {
            Command::Enforce(program, answer) => {
                // Nobody waits for what it takes to free a large one.
                let _last = self.program.clone();
                let _ = answer.send(self.enforce(program));
            }
            Command::Attach(interface, answer) => {
                let _ = answer.send(self.attach(&interface));
            }
            Command::Restore(interfaces, answer) => {
                self.given = interfaces.into_iter().map(|one| (one.ifindex, one)).collect();
                self.known.extend(self.given.keys());
                let _ = answer.send(self.look_around());
            }
        }
    }

    fn attach(&mut self, new: &NewInterface) -> Result<GivenInterface, EnforceError> {
        let given = new.find(&mut self.far)?;
        self.given.insert(given.ifindex, given.clone());
        self.known.insert(given.ifindex);
        self.look_around()?;
        if !self.attached.contains(&given.ifindex) {
            self.given.remove(&given.ifindex);
            return Err(EnforceError::Kernel {
                action: format!("enforce the interface `{}`", given.name),
                message: "nothing could be attached to it".to_owned(),
            });
        }
        Ok(given)
    }

    fn enforce(&mut self, program: Arc<NodeProgram>) -> Result<EnforceReport, EnforceError> {
        let heeds_names = self.backend.heeds_names();
        let unheeded = unheeded(&program, heeds_names);
        let heeded = if heeds_names { program.without_staged() } else { program.without_hearsay() };
        let program = heeded.map_or(program, Arc::new);
        self.realize(&program)?;
        self.open_gate();
        let (_, warnings) = self.backend.dns();
        self.reports.send_modify(|report| {
            report.warnings = warnings;
            report.unheeded = unheeded;
            report.revision = program.revision;
            report.at_ns = unix_now_ns();
        });
        self.program = Some(program);
        self.report();
        Ok(self.reports.borrow().clone())
    }

    /// Nothing but the gate stands between this host and its traffic now, if it was put up at boot.
    fn open_gate(&mut self) {
        if self.is_gate_open {
            return;
        }
        match gate::open_here() {
            Ok(was_there) => {
                self.is_gate_open = true;
                if was_there {
                    tracing::info!("the boot gate is open: the host is held to its program");
                }
            }
            // A kernel without nftables has no gate either.
            Err(error) => tracing::debug!(%error, "no boot gate is seen"),
        }
    }

    fn realize(&mut self, program: &Arc<NodeProgram>) -> Result<(), EnforceError> {
        let held = self.held(program);
        let (topology, attached) = (&self.topology, &self.attached);
        let found = self.moves.bind(program, topology, attached, &held, Instant::now());
        self.backend.realize(program, &found.bindings)?;
        self.bindings = found.bindings;
        self.doubts = found.doubts;
        self.take_over()
    }

    /// Both judge for a moment, so that no packet meets neither; then the other one goes.
    fn take_over(&mut self) -> Result<(), EnforceError> {
        if let Some(mut retiring) = self.retiring.take() {
            let taken = self.backend.follow(&self.topology).and_then(|attached| {
                self.attached = attached;
                retiring.remove()
            });
            if taken.is_err() {
                self.retiring = Some(retiring);
            }
            return taken;
        }
        Ok(())
    }

    /// What is bound now; after a start, what the kernel still has.
    fn held(&self, program: &NodeProgram) -> Held {
        if self.bindings.is_empty() {
            return self.retiring.as_ref().unwrap_or(&self.backend).held(program);
        }
        let bound = self.bindings.iter().flat_map(|(id, at)| at.values().map(move |p| (p, id)));
        bound.map(|(place, id)| (place.ifindex, id.clone())).collect()
    }

    /// Mends what somebody else changed, and binds what has waited long enough.
    fn look_after(&mut self) {
        match judging(&mut self.backend, &mut self.retiring).mend(&self.topology) {
            Ok(drift) => {
                self.reports.send_if_modified(|report| {
                    std::mem::replace(&mut report.drift, drift.clone()) != drift
                });
            }
            Err(error) => tracing::warn!(%error, "drift could not be mended; trying again"),
        }
        if self.moves.wait()
            && let Some(program) = self.program.clone()
        {
            if let Err(error) = self.realize(&program) {
                tracing::warn!(%error, "an address that moved is not bound yet");
            }
            self.report();
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
            .filter(|(ifindex, _)| !self.backend.is_open(**ifindex))
            .map(|(_, name)| name.clone())
            .collect();
        let mut judged: BTreeMap<u32, BTreeSet<IpAddr>> = BTreeMap::new();
        for (address, place) in self.bindings.values().flatten() {
            if self.given.contains_key(&place.ifindex) {
                judged.entry(place.ifindex).or_default().insert(*address);
            }
        }
        self.reports.send_modify(|report| {
            report.judged = judged;
            report.attached = attached;
            report.waiting = waiting;
            report.closed_interfaces = closed_interfaces;
            report.doubts.clone_from(&self.doubts);
        });
    }

    fn sweep(&mut self) {
        let n_lost_events = match self.backend.sweep(&mut self.sink) {
            Ok(n_lost_events) => n_lost_events,
            Err(error) => return tracing::warn!(%error, "the flow table could not be swept"),
        };
        let n_lost = self.sink.n_lost() + n_lost_events;
        let (dns, warnings) = self.backend.dns();
        self.reports.send_if_modified(|report| {
            let now = (n_lost, dns, warnings);
            let old = (report.lost_records, report.dns, std::mem::take(&mut report.warnings));
            let is_new = now != old;
            (report.lost_records, report.dns, report.warnings) = now;
            is_new
        });
    }
}
