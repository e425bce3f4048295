//! `bulkhead diff`: who can reach whom differently, exactly.

use std::collections::BTreeSet;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::bail;
use bulkhead_api::reach::{AllowedTraffic, NotComputed};
use bulkhead_policy::reach::{
    Allowance, Difference, DifferenceKind, End, Matrix, allowed, not_computed,
};
use serde::Serialize;

use crate::args::{Diff, Picture};
use crate::input::{self, Input};
use crate::live;
use crate::output::{self, Paint};
use crate::reach::graph::Graph;
use crate::reach::{Asked, table};

pub fn run(command: &Diff) -> anyhow::Result<ExitCode> {
    let (old, new) = both(command)?;
    let found = old.difference(&new);
    let hosts: BTreeSet<Arc<str>> = old.not_computed.union(&new.not_computed).cloned().collect();
    let mut out = output::answers();
    match command.output {
        Picture::Json => write_json(&mut out, &found, &hosts)?,
        Picture::Table => {
            let paint = Paint::for_stdout();
            write_table(&mut out, &found, paint)?;
            table::write_not_computed(&mut out, &hosts, paint)?;
        }
        Picture::Dot => graph(&found).write_dot(&mut out)?,
        Picture::Mermaid => graph(&found).write_mermaid(&mut out)?,
    }
    out.flush()?;
    match command.exit_code && !found.is_empty() {
        true => Ok(ExitCode::FAILURE),
        false => Ok(ExitCode::SUCCESS),
    }
}

/// The two worlds that are compared.
fn both(command: &Diff) -> anyhow::Result<(Matrix, Matrix)> {
    let matrix = |input: Input, is_staged| {
        Asked::of(input, is_staged, &command.when).map(|mut asked| asked.matrix(None))
    };
    let is_stdin = |path: &PathBuf| path.as_os_str() == "-";
    let files = |path: &PathBuf| input::on_top(Vec::new(), std::slice::from_ref(path));
    if let (Some(old), Some(new)) = (&command.old, &command.new) {
        if is_stdin(old) && is_stdin(new) {
            bail!("`-` for both OLD and NEW reads stdin twice: give one of them as a file");
        }
        let old = matrix(files(old)?, false)?;
        return Ok((old, matrix(files(new)?, false)?));
    }
    if command.staged && command.files.iter().any(is_stdin) {
        bail!("`-f -` with `--staged` is read twice: give a file");
    }
    // A server is asked once, or its own changes would show.
    let live = match &command.server {
        Some(url) => live::objects(url.as_deref(), &command.access)?,
        None => Vec::new(),
    };
    let old = match command.staged {
        true => input::on_top(live.clone(), &command.files)?,
        false if command.files.is_empty() => {
            bail!("`--server` alone compares with nothing: add `-f` or `--staged`")
        }
        false => input::on_top(live.clone(), &[])?,
    };
    let new = input::on_top(live, &command.files)?;
    Ok((matrix(old, false)?, matrix(new, command.staged)?))
}

/// Names and order of the keys are a promise.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct DiffJson {
    added: Vec<PairJson>,
    removed: Vec<PairJson>,
    altered: Vec<PairJson>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    not_computed: Vec<NotComputed>,
}

#[derive(Debug, Serialize)]
struct PairJson {
    src: String,
    dst: String,
    before: Vec<AllowedTraffic>,
    after: Vec<AllowedTraffic>,
    lost: Vec<AllowedTraffic>,
    gained: Vec<AllowedTraffic>,
}

fn write_json(
    out: &mut impl Write,
    found: &[Difference],
    hosts: &BTreeSet<Arc<str>>,
) -> anyhow::Result<()> {
    let of = |kind| {
        let those = found.iter().filter(|difference| difference.kind() == kind);
        those.map(PairJson::of).collect()
    };
    let diff = DiffJson {
        added: of(DifferenceKind::Added),
        removed: of(DifferenceKind::Removed),
        altered: of(DifferenceKind::Altered),
        not_computed: not_computed(hosts),
    };
    serde_json::to_writer(&mut *out, &diff)?;
    out.write_all(b"\n")?;
    Ok(())
}

impl PairJson {
    fn of(difference: &Difference) -> Self {
        let all = |allowance: &Allowance| {
            let parts = allowance.iter();
            parts.flat_map(|(extent, traffic)| allowed(traffic, Some(extent))).collect()
        };
        Self {
            src: difference.src.to_string(),
            dst: difference.dst.to_string(),
            before: all(&difference.before),
            after: all(&difference.after),
            lost: allowed(&difference.lost(), None),
            gained: allowed(&difference.gained(), None),
        }
    }
}

fn write_table(out: &mut impl Write, found: &[Difference], paint: Paint) -> anyhow::Result<()> {
    if found.is_empty() {
        writeln!(out, "nothing changes: everybody reaches the same as before")?;
        return Ok(());
    }
    let rows: Vec<[String; 5]> = found
        .iter()
        .map(|difference| {
            let word = match difference.kind() {
                DifferenceKind::Added => "added",
                DifferenceKind::Removed => "removed",
                DifferenceKind::Altered => "altered",
            };
            let ends = [difference.src.to_string(), difference.dst.to_string()];
            let [src, dst] = ends;
            [word.to_owned(), src, dst, shown(&difference.before), shown(&difference.after)]
        })
        .collect();
    let head = ["CHANGE", "SOURCE", "DESTINATION", "BEFORE", "AFTER"];
    table::write_rows(out, head, &rows, paint)?;
    let count = |kind| found.iter().filter(|difference| difference.kind() == kind).count();
    writeln!(
        out,
        "{} added, {} removed, {} altered",
        count(DifferenceKind::Added),
        count(DifferenceKind::Removed),
        count(DifferenceKind::Altered)
    )?;
    Ok(())
}

fn shown(allowance: &Allowance) -> String {
    if allowance.is_empty() {
        return "nothing".to_owned();
    }
    let parts = allowance.iter().map(|(extent, traffic)| table::shown(traffic, extent));
    parts.collect::<Vec<_>>().join("; ")
}

/// What comes is green, what goes red, what becomes something else orange.
fn graph(found: &[Difference]) -> Graph {
    let mut graph = Graph::default();
    for difference in found {
        let colour = match difference.kind() {
            DifferenceKind::Added => "green",
            DifferenceKind::Removed => "red",
            DifferenceKind::Altered => "orange",
        };
        let label = match difference.kind() {
            DifferenceKind::Added => shown(&difference.after),
            DifferenceKind::Removed => shown(&difference.before),
            DifferenceKind::Altered => {
                format!("{} instead of {}", shown(&difference.after), shown(&difference.before))
            }
        };
        let ends: [&End; 2] = [&difference.src, &difference.dst];
        let [src, dst] = ends;
        graph.connect(src, dst, label, Some(colour));
    }
    graph
}
