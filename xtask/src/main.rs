//! One door for every chore: `cargo xtask <task>`.
//!
//! Imports nothing of ours: it drives the product as a user or a builder would.

mod bench;
mod crds;
mod fuzz;
mod fuzz_agree;
mod machine;
mod run;
mod setup;
mod shell;
mod soak;
mod test;
mod tidy;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(name = "cargo xtask", about = "Every chore of this repository")]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Install what building and testing need (Debian packages) and check the kernel.
    Setup,
    /// Check the walls between the crates and list what has outgrown its room.
    Tidy,
    /// Formatting, lints, tidy and every test; the last line is `N passed, N failed`.
    Test,
    /// Exactly what CI runs; the same as `test`.
    Ci,
    /// Write the CustomResourceDefinitions of our kinds to `deploy/crds`.
    Crds,
    /// Bring up the demo shop.
    Run {
        /// End by itself after this many seconds, with a summary.
        #[arg(long = "for", value_name = "SECONDS")]
        seconds: Option<u32>,
        /// Build with optimisation.
        #[arg(long)]
        release: bool,
    },
    /// Measure and print one JSON object.
    Bench {
        #[command(subcommand)]
        bench: bench::Bench,
    },
    /// Faults one after another under traffic; prints one JSON object.
    Soak {
        #[arg(long, default_value_t = 10)]
        minutes: u64,
        /// Other seeds, other moments and kinds.
        #[arg(long)]
        seed: Option<u64>,
    },
    /// Try to break one door through which strangers' text comes in.
    Fuzz {
        /// selector, lower, yaml or wire.
        #[arg(long)]
        target: String,
        #[arg(long, default_value_t = 60)]
        seconds: u64,
        /// Other seeds, other inputs.
        #[arg(long, default_value_t = 1)]
        seed: u64,
    },
    /// Random worlds through the slow and the compiled engine.
    FuzzAgree {
        /// How many (world, packet) pairs.
        #[arg(long, default_value_t = 1_000_000)]
        cases: u64,
    },
}

fn main() -> anyhow::Result<()> {
    match Arguments::parse().task {
        Task::Setup => setup::run(),
        Task::Tidy => tidy::run(),
        Task::Test | Task::Ci => test::run(),
        Task::Crds => crds::run(),
        Task::Run { seconds, release } => run::run(seconds, release),
        Task::Bench { bench } => bench::run(bench),
        Task::Soak { minutes, seed } => soak::run(minutes, seed),
        Task::Fuzz { target, seconds, seed } => fuzz::run(&target, seconds, seed),
        Task::FuzzAgree { cases } => fuzz_agree::run(cases),
    }
}
