//! The thread that owns the kernel side of one node.

mod adopt;
mod alarm;
mod around;
mod drains;
mod ears;
mod hearing;
mod telling;

use std::collections::BTreeSet;
use std::fs::File;
use std::sync::Arc;
use std::time::Instant;

use bulkhead_wire::{FlowRecord, NodeProgram};
use nix::sched::{CloneFlags, setns};
use tokio::sync::{mpsc, oneshot, watch};

use crate::ebpf::Bindings;
use crate::events::unix_now_ns;
use crate::gate;
use crate::kernel::linux::priority::go_first;
use crate::netlink::far::FarEnds;
use crate::netlink::{Heard, Kept, Monitor};
use crate::node::backend::{Backend, Sink};
use crate::node::bind::Held;
use crate::node::choice::{Chosen, choose};
use crate::node::given::Given;
use crate::node::moves::Moves;
use crate::node::{Command, EnforceError, EnforceReport, NodeOptions};
use ears::{Ears, Word};

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
    go_first();
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
    let mut worker = Worker::open(options, records, reports)?;
    let mut ears = Ears::open(&worker)?;
    worker.look_around(Heard::nothing_sure())?;
    let _ = started.send(Ok(()));
    loop {
        match ears.next(&mut asked, &worker).await? {
            Word::End => break,
            Word::Asked(command) => worker.obey(command),
            Word::Moved => worker.hear(),
            Word::FarMoved(moved) => worker.look_far(moved),
            Word::Settles => worker.backend.settle(),
            Word::SweepDue => worker.sweep(),
            Word::LookDue => worker.look_after(),
            Word::Answered => ears.hear(&mut worker),
            Word::Told => ears.drain(&mut worker),
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
    monitor: Monitor,
    kept: Kept,
    far: FarEnds,
    given: Given,
    /// The kernel is not held to what we know of interfaces yet.
    is_behind: bool,
    /// Something has moved at the other ends of interfaces.
    have_peers_moved: bool,
    n_looks: u32,
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

/// What of a program is to be realized.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wanted {
    Whole,
    /// It is realized already, and the node stands as it stood.
    IfPlacesMove,
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
            monitor: Monitor::open()?,
            kept: Kept::new(options.interface_prefixes.clone()),
            options,
            far: FarEnds::open()?,
            given: Given::new(),
            is_behind: true,
            have_peers_moved: false,
            n_looks: 0,
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
                let _ = answer.send(self.look_around(Heard::nothing_sure()));
            }
        }
    }

    fn enforce(&mut self, program: Arc<NodeProgram>) -> Result<EnforceReport, EnforceError> {
        let program = program.without_staged().map_or(program, Arc::new);
        self.realize(&program, Wanted::Whole)?;
        self.open_gate();
        let (_, warnings) = self.backend.dns();
        self.reports.send_modify(|report| {
            report.warnings = warnings;
            report.revision = program.revision;
            report.at_ns = unix_now_ns();
        });
        self.program = Some(program);
        self.adopt();
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

    fn realize(&mut self, program: &Arc<NodeProgram>, wanted: Wanted) -> Result<(), EnforceError> {
        let held = self.held(program);
        let (topology, attached) = (&self.kept.topology, &self.attached);
        let found = self.moves.bind(program, topology, attached, &held, Instant::now());
        self.doubts = found.doubts;
        if wanted == Wanted::IfPlacesMove && found.bindings == self.bindings {
            return Ok(());
        }
        self.backend.realize(program, &found.bindings, topology)?;
        self.bindings = found.bindings;
        self.take_over()
    }

    /// Both judge for a moment, so that no packet meets neither; then the other one goes.
    fn take_over(&mut self) -> Result<(), EnforceError> {
        if let Some(mut retiring) = self.retiring.take() {
            let taken = self.backend.follow(&self.kept.topology).and_then(|attached| {
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
}
