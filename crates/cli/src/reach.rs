//! `bulkhead reach`: every connection that the manifests allow, exactly.
//!
//! Invariant: all answers come from the compiled engine, over all packets at once; no packet is
//! tried out.

mod entries;
mod exposure;
pub mod graph;
mod json;
pub mod owners;
mod requests;
mod staged;
pub mod table;
pub mod words;

use std::collections::BTreeSet;
use std::io::Write;
use std::process::ExitCode;

use bulkhead_api::Object;
use bulkhead_policy::reach::{self, End, Matrix};
use bulkhead_policy::rule::Moment;
use bulkhead_policy::{Changes, Engine};

use crate::args::{Manifests, Picture, Reach, When};
use crate::output::{self, Paint};
use crate::{input, world};

pub use json::{AllowedJson, allowed_json, end};
use owners::Owners;

/// A world that can be asked who reaches whom.
pub struct Asked {
    pub engine: Engine,
    pub reach: reach::Reach,
    pub owners: Owners,
    pub objects: Vec<Object>,
    now: Moment,
}

pub fn run(command: &Reach) -> anyhow::Result<ExitCode> {
    let mut asked = Asked::read(&command.manifests, command.staged, &command.when)?;
    let focus = asked.focus(&command.focus)?;
    let matrix = asked.matrix(focus.as_ref());
    let is_wanted = |name: &str| focus.as_ref().is_none_or(|focus| focus.contains(name));
    let exposures = command.exposure.then(|| {
        let mut exposures = asked.exposures();
        exposures.retain(|exposure| is_wanted(&exposure.workload));
        exposures
    });
    let mut out = output::answers();
    match command.output {
        Picture::Json => json::write(&mut out, &matrix, exposures.as_deref())?,
        Picture::Table => {
            let paint = Paint::for_stdout();
            table::write(&mut out, &matrix, paint)?;
            if let Some(exposures) = exposures {
                exposure::write(&mut out, &exposures, paint)?;
            }
        }
        Picture::Dot => graph::Graph::of(&matrix).write_dot(&mut out)?,
        Picture::Mermaid => graph::Graph::of(&matrix).write_mermaid(&mut out)?,
    }
    out.flush()?;
    Ok(ExitCode::SUCCESS)
}

impl Asked {
    /// `is_staged`: as if every staged policy was enforced.
    pub fn read(from: &Manifests, is_staged: bool, when: &When) -> anyhow::Result<Self> {
        let mut input = input::read(from)?;
        let mut objects = world::objects(&mut input)?;
        if is_staged {
            objects = staged::enforced(objects);
        }
        let (asked, changes) = Self::made_of(objects, world::moment(when));
        world::say_closed_in(&input, changes.diagnostics.values().flatten());
        Ok(asked)
    }

    /// The same world with other objects.
    fn with(&self, objects: Vec<Object>) -> Self {
        Self::made_of(objects, self.now).0
    }

    fn made_of(objects: Vec<Object>, now: Moment) -> (Self, Changes) {
        let (engine, changes) = world::engine(&objects, now);
        let reach = reach::Reach::of(&engine);
        let owners = Owners::of(&objects);
        (Self { engine, reach, owners, objects, now }, changes)
    }

    /// Everything that is allowed: to workloads, ranges and names, through ways in, and to requests.
    pub fn matrix(&mut self, focus: Option<&BTreeSet<String>>) -> Matrix {
        let mut matrix = self.plain_matrix(focus);
        // Those need to see every pair.
        let requests = match focus {
            None => self.requests(&matrix),
            Some(_) => {
                let whole = self.plain_matrix(None);
                self.requests(&whole)
            }
        };
        let members = self.owners.members();
        self.reach.add_names(&self.engine, &members, &mut matrix);
        matrix.connections.extend(requests);
        matrix.connections.extend(self.entries());
        let is_wanted = |end: &End| match (end, focus) {
            (_, None) => true,
            (End::Workload(name), Some(focus)) => focus.contains(name.as_ref()),
            (_, Some(_)) => false,
        };
        matrix.connections.retain(|c| is_wanted(&c.src) || is_wanted(&c.dst));
        matrix.connections.sort_unstable();
        matrix
    }

    /// Between workloads and ranges, for packets.
    fn plain_matrix(&mut self, focus: Option<&BTreeSet<String>>) -> Matrix {
        self.reach.matrix(|endpoint| self.owners.name_of(endpoint), focus)
    }

    /// The workloads meant; `None`: all.
    fn focus(&self, names: &[String]) -> anyhow::Result<Option<BTreeSet<String>>> {
        let found: Result<BTreeSet<String>, _> =
            names.iter().map(|name| self.owners.find(name)).collect();
        Ok(Some(found?).filter(|found| !found.is_empty()))
    }
}
