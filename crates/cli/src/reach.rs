//! `bulkhead reach`: every connection that the manifests allow, exactly.
//!
//! Invariant: all answers come from the compiled engine, over all packets at once; no packet is
//! tried out.

mod exposure;
pub mod graph;
pub mod owners;
mod staged;
pub mod table;
pub mod words;

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::process::ExitCode;
use std::sync::Arc;

use bulkhead_api::reach::ReachReport;
use bulkhead_api::{Object, ObjectKey};
use bulkhead_policy::reach::{self, Beyond, Exposure, Matrix, Open};
use bulkhead_policy::rule::Moment;
use bulkhead_policy::{Changes, Engine};
use bulkhead_types::EndpointId;
use serde::Serialize;

use crate::args::{Manifests, Picture, Reach, When};
use crate::input::{self, Input};
use crate::output::{self, Paint};
use crate::world;

use exposure::ExposureJson;
use owners::Owners;

/// A world that can be asked who reaches whom.
pub struct Asked {
    pub engine: Engine,
    pub reach: reach::Reach,
    pub owners: Owners,
    pub objects: Vec<Object>,
    /// What nobody enforces the rules of.
    unplaced: BTreeSet<ObjectKey>,
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
        Picture::Json => write_json(&mut out, &matrix, exposures.as_deref())?,
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

/// Names and order of the keys are a promise.
#[derive(Debug, Serialize)]
struct ReachJson {
    #[serde(flatten)]
    report: ReachReport,
    #[serde(skip_serializing_if = "Option::is_none")]
    exposure: Option<Vec<ExposureJson>>,
}

fn write_json(
    out: &mut impl Write,
    matrix: &Matrix,
    exposures: Option<&[Exposure]>,
) -> anyhow::Result<()> {
    let exposure = exposures.map(|all| all.iter().map(ExposureJson::of).collect());
    serde_json::to_writer(&mut *out, &ReachJson { report: matrix.report(), exposure })?;
    out.write_all(b"\n")?;
    Ok(())
}

impl Asked {
    /// `is_staged`: as if every staged policy was enforced.
    pub fn read(from: &Manifests, is_staged: bool, when: &When) -> anyhow::Result<Self> {
        Self::of(input::read(from)?, is_staged, when)
    }

    /// As [`Asked::read`], of what is read already.
    pub fn of(mut input: Input, is_staged: bool, when: &When) -> anyhow::Result<Self> {
        let unplaced = world::unplaced(&input);
        let mut objects = world::objects(&mut input)?;
        if is_staged {
            objects = staged::enforced(objects);
        }
        let (asked, changes) = Self::made_of(objects, unplaced, world::moment(when));
        world::say_closed_in(&input, changes.diagnostics.values().flatten());
        Ok(asked)
    }

    /// The same world with other objects.
    fn with(&self, objects: Vec<Object>) -> Self {
        Self::made_of(objects, self.unplaced.clone(), self.now).0
    }

    fn made_of(
        objects: Vec<Object>,
        unplaced: BTreeSet<ObjectKey>,
        now: Moment,
    ) -> (Self, Changes) {
        let (engine, changes) = world::engine(&objects, &unplaced, now);
        let reach = reach::Reach::of(&engine);
        let owners = Owners::of(&objects);
        (Self { engine, reach, owners, objects, unplaced, now }, changes)
    }

    /// Everything that is allowed: to workloads, ranges and names, through ways in, and to requests.
    pub fn matrix(&mut self, focus: Option<&BTreeSet<String>>) -> Matrix {
        let mut open = self.objects.iter().any(reach::asks_for_requests).then(|| {
            let open = self.with(self.objects.iter().cloned().map(reach::open).collect());
            Open { engine: open.engine, reach: open.reach }
        });
        let beyond = Beyond { open: open.as_mut(), entries: &self.objects };
        let owners = &self.owners;
        self.reach.whole(&self.engine, &|id| owners.name_of(id), focus, beyond)
    }

    /// The endpoints of each workload.
    pub fn members(&self) -> BTreeMap<Arc<str>, Vec<EndpointId>> {
        self.reach.members(&|id| self.owners.name_of(id))
    }

    /// The workloads meant; `None`: all.
    fn focus(&self, names: &[String]) -> anyhow::Result<Option<BTreeSet<String>>> {
        let found: Result<BTreeSet<String>, _> =
            names.iter().map(|name| self.owners.find(name)).collect();
        Ok(Some(found?).filter(|found| !found.is_empty()))
    }
}
