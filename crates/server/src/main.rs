//! `bulkhead-server`: the control plane as one process.

use std::io::IsTerminal;

use anyhow::Context;
use bulkhead_server::config::{Config, RawConfig};
use clap::Parser;
use tracing_subscriber::EnvFilter;

/// Both the engine and the loaders make and drop millions of small things: docs/decisions/0011.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Whom `…/upstream` and our own log do not hear, we say ourselves, once and with the reason; the client of
/// Kubernetes says of every attempt that it failed.
const LOG: &str = "info,kube_client=off";

fn main() -> anyhow::Result<()> {
    let config = Config::check(RawConfig::parse())?;
    tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::try_from_default_env().unwrap_or_else(|_| LOG.into()))
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .init();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(config.n_workers)
        .enable_all()
        .build()
        .context("the async runtime cannot be started")?;
    runtime.block_on(bulkhead_server::run(config))
}
