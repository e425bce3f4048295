//! One node's enforcement as its agent sees it: start, hand over programs, read records.
//!
//! A thread of its own owns the kernel side, because entering a network namespace is a property of a
//! thread and because nothing may be written to the maps by two hands at once.
//! INVARIANT(one-writer): only that thread writes the maps.

pub(crate) mod backend;
mod bind;
mod choice;
mod drift;
mod ebpf;
mod far;
pub mod given;
mod ground;
mod moves;
mod names;
mod nft;
mod told;
mod worker;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::future::Future;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::str::FromStr;
use std::sync::Arc;
use std::thread::JoinHandle;

use bulkhead_types::{EndpointId, Revision};
use bulkhead_wire::{FlowRecord, NodeProgram};
use tokio::sync::{mpsc, oneshot, watch};

use crate::dns::{DnsOptions, DnsReport};
use crate::limits::MapSizes;
use given::{GivenInterface, NewInterface};

/// Interface names that carry workloads unless the operator says otherwise.
pub const INTERFACE_PREFIXES: [&str; 8] =
    ["cali", "lxc", "veth", "tap", "eni", "azv", "gke", "bhl"];

const COMMANDS_MAX: usize = 16;

/// How one node is enforced.
#[derive(Clone, Debug)]
pub struct NodeOptions {
    /// Written into every flow record.
    pub node_name: String,
    /// The network namespace that holds the host side of the workloads' interfaces; the current one
    /// where `None`.
    pub netns: Option<PathBuf>,
    /// A folder on a BPF file system; made if missing. Everything that must survive the agent lives
    /// there, so two nodes on one machine need two folders.
    pub pin_dir: PathBuf,
    /// Interfaces whose name starts with one of these are enforced, and pass nothing until an
    /// endpoint is matched to them.
    pub interface_prefixes: Vec<String>,
    /// How often the flow table is swept for ended flows and moved counters.
    pub sweep_ms: u64,
    /// Counters of a flow that goes on are reported this often at most.
    pub update_ms: u64,
    /// Records that wait for the reader; the next ones are dropped and counted.
    pub records_max: usize,
    pub dns: DnsOptions,
    /// Both ends of a TCP connection that a tightened policy cuts get a reset.
    pub resets: bool,
    /// Sizes of maps that are made now; pinned ones keep theirs.
    pub sizes: MapSizes,
    /// Of the kernel maps. Another number than this build's makes it take over as from another version.
    pub layout: u32,
    pub backend: BackendChoice,
    /// Nobody else can change the tables of nftables while this process is there, where the kernel has
    /// that (Linux 6.9). Off, it is as on older ones.
    pub guards_tables: bool,
}

/// What judges packets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BackendChoice {
    /// eBPF where the kernel has what it takes, else nftables.
    #[default]
    Auto,
    Ebpf,
    Nftables,
}

/// What judges packets now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BackendKind {
    Ebpf,
    Nftables,
}

impl fmt::Display for BackendKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ebpf => "ebpf",
            Self::Nftables => "nftables",
        })
    }
}

impl FromStr for BackendChoice {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "auto" => Ok(Self::Auto),
            "ebpf" => Ok(Self::Ebpf),
            "nftables" => Ok(Self::Nftables),
            _ => Err(format!("`{text}` is no back end: use auto, ebpf or nftables")),
        }
    }
}

/// What the kernel enforces now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EnforceReport {
    pub revision: Revision,
    /// Unix time at which the kernel began to judge by this revision.
    pub at_ns: u64,
    /// Endpoints whose interface is found and judged by the program.
    pub attached: Vec<EndpointId>,
    /// Endpoints of the program that have no interface yet.
    pub waiting: Vec<EndpointId>,
    /// Interfaces that pass nothing because no endpoint is matched to them.
    pub closed_interfaces: Vec<String>,
    /// Addresses that are judged on interfaces that the container runtime told of.
    pub judged: BTreeMap<u32, BTreeSet<IpAddr>>,
    /// Endpoints whose interface cannot be told, in sentences.
    pub doubts: Vec<String>,
    /// What somebody else changed in the kernel lately and was put back, in sentences.
    pub drift: Vec<String>,
    /// What keeps the kernel from knowing names, in sentences.
    pub warnings: Vec<String>,
    pub dns: DnsReport,
    /// Flow records and kernel events that were lost since the start.
    pub lost_records: u64,
    /// What judges; `None` only before the start is done.
    pub backend: Option<BackendKind>,
}

/// Why a program could not be enforced. The last good one stays.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EnforceError {
    #[error(
        "program {revision} does not fit the kernel map `{map}`: it needs {needed} entries, \
         {available} are available"
    )]
    Capacity { map: &'static str, needed: u64, available: u64, revision: Revision },
    #[error("program {revision} uses {what} that it does not define")]
    Dangling { what: String, revision: Revision },
    #[error("cannot {action}: {message}")]
    Kernel { action: String, message: String },
    #[error("the enforcement thread has ended")]
    Gone,
}

/// Starts and removes enforcement.
#[derive(Debug)]
pub struct Node;

/// Talks to the running node; cheap to clone. When the last handle is dropped the thread ends, which the
/// drop waits for, and what is pinned goes on judging.
#[derive(Clone, Debug)]
pub struct NodeHandle {
    commands: mpsc::Sender<Command>,
    report: watch::Receiver<EnforceReport>,
    _ending: Arc<Ending>,
}

/// Ends the thread and waits for it: whoever starts the next one, or takes the pins away, must not meet
/// a hand that still writes.
#[derive(Debug)]
struct Ending {
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Drop for Ending {
    fn drop(&mut self) {
        self.stop.take();
        if let Some(thread) = self.thread.take() {
            // A panic there was already printed; there is nobody to hand it to.
            let _ = thread.join();
        }
    }
}

/// What the thread is asked to do.
#[derive(Debug)]
pub(crate) enum Command {
    Attach(NewInterface, oneshot::Sender<Result<GivenInterface, EnforceError>>),
    /// Replaces all that is known of given interfaces.
    Restore(Vec<GivenInterface>, oneshot::Sender<Result<(), EnforceError>>),
    Enforce(Arc<NodeProgram>, oneshot::Sender<Result<EnforceReport, EnforceError>>),
}

impl NodeOptions {
    pub fn new(node_name: impl Into<String>, pin_dir: impl Into<PathBuf>) -> Self {
        Self {
            node_name: node_name.into(),
            netns: None,
            pin_dir: pin_dir.into(),
            interface_prefixes: INTERFACE_PREFIXES.map(str::to_owned).to_vec(),
            sweep_ms: 1_000,
            update_ms: 5_000,
            records_max: 16_384,
            dns: DnsOptions::default(),
            resets: false,
            sizes: MapSizes::DEFAULT,
            backend: BackendChoice::Auto,
            layout: bulkhead_enforce_abi::LAYOUT,
            guards_tables: true,
        }
    }
}

impl Node {
    /// Loads the kernel programs, closes every matching interface that nothing pinned judges yet, and
    /// returns when that is done. What an earlier process left pinned keeps judging meanwhile.
    pub fn start(
        options: NodeOptions,
    ) -> Result<(NodeHandle, mpsc::Receiver<FlowRecord>), EnforceError> {
        let (commands, commanded) = mpsc::channel(COMMANDS_MAX);
        let (records, recorded) = mpsc::channel(options.records_max.max(1));
        let (reports, report) = watch::channel(EnforceReport::default());
        let (started, is_started) = std::sync::mpsc::channel();
        let (stop, stopped) = oneshot::channel();
        let asked = worker::Asked { commands: commanded, stopped };
        let thread = std::thread::Builder::new()
            .name("bulkhead-kernel".to_owned())
            .spawn(move || worker::run(options, asked, records, reports, &started))
            .map_err(|error| EnforceError::Kernel {
                action: "start the enforcement thread".to_owned(),
                message: error.to_string(),
            })?;
        is_started.recv().map_err(|_| EnforceError::Gone)??;
        let ending = Ending { stop: Some(stop), thread: Some(thread) };
        Ok((NodeHandle { commands, report, _ending: Arc::new(ending) }, recorded))
    }

    /// Removes what either back end has put under `pin_dir` and into the network namespace (the
    /// current one where `None`): nothing is enforced there any more. The node must not be running.
    pub fn teardown(pin_dir: &Path, netns: Option<&Path>) -> Result<(), EnforceError> {
        choice::teardown(pin_dir, netns)
    }
}

impl NodeHandle {
    /// Holds the kernel to `program`. Returns when every new flow is judged by it.
    pub fn enforce(
        &self,
        program: Arc<NodeProgram>,
    ) -> impl Future<Output = Result<EnforceReport, EnforceError>> + Send + 'static {
        self.command(|answer| Command::Enforce(program, answer))
    }

    /// Closes an interface that a container runtime has just made, and holds it for its endpoint. When
    /// this returns, nothing passes there but by the endpoint's program.
    pub fn attach(
        &self,
        interface: NewInterface,
    ) -> impl Future<Output = Result<GivenInterface, EnforceError>> + Send + 'static {
        self.command(|answer| Command::Attach(interface, answer))
    }

    /// What earlier attaches gave, all that still counts.
    pub fn restore(
        &self,
        interfaces: Vec<GivenInterface>,
    ) -> impl Future<Output = Result<(), EnforceError>> + Send + 'static {
        self.command(|answer| Command::Restore(interfaces, answer))
    }

    fn command<T: Send + 'static>(
        &self,
        make: impl FnOnce(oneshot::Sender<Result<T, EnforceError>>) -> Command,
    ) -> Pin<Box<dyn Future<Output = Result<T, EnforceError>> + Send>> {
        let commands = self.commands.clone();
        let (answer, answered) = oneshot::channel();
        let command = make(answer);
        Box::pin(async move {
            commands.send(command).await.map_err(|_| EnforceError::Gone)?;
            answered.await.map_err(|_| EnforceError::Gone)?
        })
    }

    /// The latest report; it also moves when interfaces come and go.
    pub fn report(&self) -> watch::Receiver<EnforceReport> {
        self.report.clone()
    }
}
