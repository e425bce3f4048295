//! The command line of `bulkhead-lab`.
//!
//! Invariant: a signal ends the work, never the cleaning up.

mod bench;
mod demo;
mod run;
mod soak;

use std::future::Future;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::{Parser, Subcommand, ValueEnum};
use tokio::signal::unix::{SignalKind, signal};

#[derive(Parser)]
#[command(
    name = "bulkhead-lab",
    version,
    about = "Worlds of network namespaces, with real packets"
)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Builds the workloads of manifests, enforces their policies and sends real packets.
    Run(Run),
    /// A small shop under attack; Ctrl-C leaves the machine as it was.
    Demo {
        /// End after so many seconds, with a summary and exit code 1 if anything was wrong.
        #[arg(long = "for", value_name = "SECONDS")]
        seconds: Option<u64>,
        /// The folder with the shop's manifests.
        #[arg(long, default_value = "examples/shop")]
        manifests: PathBuf,
    },
    /// Faults one after another under traffic; the last line is one JSON object.
    Soak {
        #[arg(long, default_value_t = 60)]
        seconds: u64,
        /// Other seeds, other moments and kinds.
        #[arg(long)]
        seed: Option<u64>,
        /// Only these kinds of fault; may be repeated.
        #[arg(long = "fault", value_enum)]
        faults: Vec<crate::soak::Fault>,
    },
    /// Measures the time from an answered API write to the first packet judged by it.
    BenchLatency {
        #[arg(long, default_value_t = 1000)]
        changes: usize,
        /// Through a second server that follows the first, as in a cluster.
        #[arg(long)]
        clustered: bool,
        /// While the shop works.
        #[arg(long)]
        under_load: bool,
    },
}

#[derive(Parser)]
struct Run {
    /// Files, folders (recursive) or `-` with manifests.
    #[arg(short = 'f', long = "file", value_name = "PATH", required = true)]
    paths: Vec<PathBuf>,
    /// One JSON object a line, as for `bulkhead eval`; `-` is standard input.
    #[arg(long, value_name = "FILE")]
    probes: PathBuf,
    /// What the agents enforce with; otherwise `BULKHEAD_BACKEND`, or what they choose.
    #[arg(long, value_enum)]
    dataplane: Option<DataPlane>,
    /// Stay up after the probes until Ctrl-C.
    #[arg(long)]
    keep: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum DataPlane {
    Ebpf,
    Nftables,
}

impl DataPlane {
    fn backend(self) -> &'static str {
        match self {
            Self::Ebpf => "ebpf",
            Self::Nftables => "nftables",
        }
    }
}

pub fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let filter = tracing_subscriber::EnvFilter::try_from_env("BULKHEAD_LOG")
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("warn"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    match begin(arguments.command) {
        Ok(code) => code,
        Err(error) => {
            complain(&format!("error: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn begin(command: Command) -> Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("cannot start the async runtime")?;
    runtime.block_on(async {
        match command {
            Command::Run(arguments) => until_signal(run::run(arguments)).await,
            Command::Demo { seconds, manifests } => demo::demo(seconds, &manifests).await,
            Command::Soak { seconds, seed, faults } => {
                until_signal(soak::soak(seconds, seed, faults)).await
            }
            Command::BenchLatency { changes, clustered, under_load } => {
                until_signal(bench::latency(changes, clustered, under_load)).await
            }
        }
    })
}

/// Runs `work`; a signal drops it, and with it everything that it had made.
async fn until_signal(work: impl Future<Output = Result<ExitCode>>) -> Result<ExitCode> {
    tokio::select! {
        done = work => done,
        ended = signalled() => {
            complain(&format!("ended by {}", ended?));
            Ok(ExitCode::from(130))
        }
    }
}

/// Waits for a signal that means "end".
async fn signalled() -> Result<&'static str> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut hang_up = signal(SignalKind::hangup())?;
    Ok(tokio::select! {
        _ = interrupt.recv() => "SIGINT",
        _ = terminate.recv() => "SIGTERM",
        _ = hang_up.recv() => "SIGHUP",
    })
}

/// A line of results.
fn say(line: &str) {
    // the reader may have gone: the work is still to be cleaned up
    let _ = writeln!(std::io::stdout(), "{line}");
}

/// A line for people, beside the results.
fn complain(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}
