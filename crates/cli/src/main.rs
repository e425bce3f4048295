//! `bulkhead`: asks the policy engine about manifests on disk, and a live server about its flows.
//!
//! Reading order is the order of a run: [`args`] is what may be asked, [`input`] reads
//! manifests and servers, [`world`] makes engines of them, and each command answers in a module of
//! its own.
//!
//! Invariant: exit status 0 is a complete answer, 1 is something to correct in the input or around
//! the command, 2 is a command line that cannot be understood. Answers go to stdout, complaints to
//! stderr.

mod args;
mod blast;
mod cases;
mod check;
mod client;
mod convert;
mod diff;
mod eval;
mod flows;
mod input;
mod judge;
mod live;
mod node;
mod output;
mod reach;
mod who;
mod why;
mod world;

use std::process::ExitCode;

use clap::Parser;

use args::{Args, Command, NodeCommand};

/// Both the engine and the loaders make and drop millions of small things: docs/decisions/0011.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let args = Args::parse();
    let done = match &args.command {
        Command::Check(command) => check::run(command),
        Command::Eval(command) => eval::run(command),
        Command::Test(command) => cases::run(command),
        Command::Convert(command) => convert::run(command),
        Command::Why(command) => why::run(command),
        Command::Reach(command) => reach::run(command),
        Command::Diff(command) => diff::run(command),
        Command::Blast(command) => blast::run(command),
        Command::Flows(command) => flows::run(command),
        Command::Node { command: NodeCommand::Token(command) } => node::token(command),
        Command::Node { command: NodeCommand::List(command) } => node::list(command),
    };
    match done {
        Ok(code) => code,
        Err(error) => output::failed(&error),
    }
}
