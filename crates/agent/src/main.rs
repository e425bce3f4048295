//! `bulkhead-agent`: one node's side of the control plane as one process.

use std::io::IsTerminal;

use anyhow::Context;
use bulkhead_agent::config::{Config, RawConfig};
use clap::Parser;
use tracing_subscriber::EnvFilter;

fn main() -> anyhow::Result<()> {
    let raw = RawConfig::parse();
    tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::try_from_default_env().unwrap_or_else(|_| "info".into()))
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .init();
    let config = Config::check(raw)?;
    // One thread is enough: the kernel side has its own.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("the async runtime cannot be started")?;
    runtime.block_on(bulkhead_agent::run(config))
}
