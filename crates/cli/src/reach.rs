//! `bulkhead reach`: every connection that the manifests allow, exactly.
//!
//! Invariant: all answers come from the compiled engine, over all packets at once; no packet is
//! tried out.

pub mod graph;
mod json;
pub mod owners;
mod staged;
pub mod table;
pub mod words;

use std::collections::BTreeSet;
use std::io::Write;
use std::process::ExitCode;

use bulkhead_policy::Engine;
use bulkhead_policy::reach::{self, Matrix};

use crate::args::{Manifests, Picture, Reach};
use crate::output::{self, Paint};
use crate::{input, world};

pub use json::{AllowedJson, allowed_json, end};
use owners::Owners;

/// A world that can be asked who reaches whom.
pub struct Asked {
    pub engine: Engine,
    pub reach: reach::Reach,
    pub owners: Owners,
}

pub fn run(command: &Reach) -> anyhow::Result<ExitCode> {
    let mut asked = Asked::read(&command.manifests, reading(command.staged))?;
    let focus = asked.focus(&command.focus)?;
    let matrix = asked.matrix(focus.as_ref());
    let mut out = output::answers();
    match command.output {
        Picture::Json => json::write(&mut out, &matrix)?,
        Picture::Table => table::write(&mut out, &matrix, Paint::for_stdout())?,
        Picture::Dot => graph::Graph::of(&matrix).write_dot(&mut out)?,
        Picture::Mermaid => graph::Graph::of(&matrix).write_mermaid(&mut out)?,
    }
    out.flush()?;
    Ok(ExitCode::SUCCESS)
}

/// Which policies count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reading {
    Enforced,
    Staged,
}

pub fn reading(is_staged: bool) -> Reading {
    if is_staged { Reading::Staged } else { Reading::Enforced }
}

impl Asked {
    pub fn read(from: &Manifests, reading: Reading) -> anyhow::Result<Self> {
        let mut input = input::read(from)?;
        let mut objects = world::objects(&mut input)?;
        if reading == Reading::Staged {
            objects = staged::enforced(objects);
        }
        let (engine, changes) = world::engine(&objects);
        world::say_closed_in(&input, changes.diagnostics.values().flatten());
        let reach = reach::Reach::of(&engine);
        let owners = Owners::of(&objects);
        Ok(Self { engine, reach, owners })
    }

    pub fn matrix(&mut self, focus: Option<&BTreeSet<String>>) -> Matrix {
        self.reach.matrix(|endpoint| self.owners.name_of(endpoint), focus)
    }

    /// The workloads meant; `None`: all.
    fn focus(&self, names: &[String]) -> anyhow::Result<Option<BTreeSet<String>>> {
        let found: Result<BTreeSet<String>, _> =
            names.iter().map(|name| self.owners.find(name)).collect();
        Ok(Some(found?).filter(|found| !found.is_empty()))
    }
}
