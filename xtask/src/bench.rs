//! `cargo xtask bench <name>`: builds what it measures in release, runs it, prints one JSON object.

mod backbone;

use clap::Subcommand;

#[derive(Subcommand)]
pub enum Bench {
    /// API to first packet, verdict cost, stream ratio, resident memory.
    Backbone {
        /// Policy changes to measure.
        #[arg(long, default_value_t = 1000)]
        changes: u32,
    },
}

pub fn run(bench: Bench) -> anyhow::Result<()> {
    crate::setup::run()?;
    match bench {
        Bench::Backbone { changes } => backbone::run(changes),
    }
}
