//! `cargo xtask bench <name>`: builds what it measures in release, runs it, prints one JSON object.

mod backbone;
mod dataplane;
mod policy;

use std::path::PathBuf;
use std::process::Command;

use anyhow::Context;
use clap::Subcommand;
use serde_json::{Map, Value};

use crate::shell;

#[derive(Subcommand)]
pub enum Bench {
    /// API to first packet, verdict cost, stream ratio, resident memory.
    Backbone {
        /// Policy changes to measure.
        #[arg(long, default_value_t = 1000)]
        changes: u32,
    },
    /// What packets, connections, updates and starts cost on every back end.
    Dataplane {
        /// Policy changes to measure.
        #[arg(long, default_value_t = 1000)]
        changes: u32,
    },
    /// Time and memory of the policy engine in large worlds.
    Policy {
        /// Some worlds only: letters from A to G.
        worlds: Vec<String>,
    },
}

pub fn run(bench: Bench) -> anyhow::Result<()> {
    crate::setup::run()?;
    match bench {
        Bench::Backbone { changes } => backbone::run(changes),
        Bench::Dataplane { changes } => dataplane::run(changes),
        Bench::Policy { worlds } => policy::run(&worlds),
    }
}

/// The folder of all programs and examples, built as they ship.
fn programs() -> anyhow::Result<PathBuf> {
    let everything = ["build", "--quiet", "--release", "--workspace", "--bins", "--examples"];
    shell::run(shell::cargo().args(everything))?;
    Ok(shell::target_dir()?.join("release"))
}

/// Runs a bench program; its last line is one JSON object.
fn object(command: &mut Command) -> anyhow::Result<Map<String, Value>> {
    let output = shell::output(command.current_dir(shell::root()))?;
    let last = output.lines().last().unwrap_or_default();
    serde_json::from_str(last)
        .with_context(|| format!("{command:?} printed no JSON object but `{last}`"))
}
