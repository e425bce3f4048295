//! `bulkhead test`: who may reach whom, as written down in YAML or in tables of Markdown, held
//! against the policies.
//!
//! Invariant: exit status 0 means that every case was asked and holds, 1 that one does not, 2 that
//! cases or manifests cannot be used. A case that means nobody cannot be used: it is never passed.

mod case;
mod junit;
mod report;
mod table;
#[cfg(test)]
mod tests;
mod yaml;

use std::io::Write;
use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Context, bail};
use bulkhead_api::manifest::Diagnostic;

use crate::args::{CasesOutput, Test};
use crate::input::{self, Input};
use crate::judge::Judge;
use crate::output::{self, Paint};
use crate::world;

use case::{Case, Outcome};

/// Longest file of cases.
const FILE_BYTES_MAX: usize = 16 << 20;

pub fn run(command: &Test) -> anyhow::Result<ExitCode> {
    // What cannot be used is told apart from what fails.
    match answer(command) {
        Ok(true) => Ok(ExitCode::SUCCESS),
        Ok(false) => Ok(ExitCode::FAILURE),
        Err(error) => {
            output::complain(&format!("error: {error:#}"));
            Ok(ExitCode::from(2))
        }
    }
}

/// Whether every case holds.
fn answer(command: &Test) -> anyhow::Result<bool> {
    let began = Instant::now();
    let cases = read_all(&command.cases)?;
    let mut input = input::read(&command.manifests)?;
    let objects = world::objects(&mut input)?;
    let judge = Judge::of(&objects, &command.reading);
    world::say_closed(&input, &judge.world);
    let outcomes = ask_all(&cases, &judge, &input)?;
    let mut out = output::answers();
    match command.output {
        CasesOutput::Text => {
            report::text(&mut out, &outcomes, command.verbose, Paint::for_stdout())?;
        }
        CasesOutput::Json => report::json(&mut out, &outcomes)?,
        CasesOutput::Junit => junit::write(&mut out, &outcomes, began.elapsed())?,
    }
    out.flush()?;
    Ok(outcomes.iter().all(Outcome::holds))
}

fn read_all(files: &[std::path::PathBuf]) -> anyhow::Result<Vec<Case>> {
    let mut cases = Vec::new();
    let mut problems: Vec<Diagnostic> = Vec::new();
    for file in files {
        let name = file.display().to_string();
        let text = text_of(file).with_context(|| format!("cannot read the cases `{name}`"))?;
        let read = match is_markdown(file) {
            true => table::read(&name, &text),
            false => yaml::read(&name, &text),
        };
        match read {
            Ok(read) if read.is_empty() => {
                bail!("`{name}` holds no case: see `bulkhead test --help`")
            }
            Ok(read) => cases.extend(read),
            Err(found) => problems.extend(found.into_iter().map(|problem| problem.quote(&text))),
        }
    }
    for problem in &problems {
        output::complain(&format!("{problem}\n"));
    }
    if !problems.is_empty() {
        bail!("the cases cannot be used");
    }
    Ok(cases)
}

fn text_of(file: &Path) -> anyhow::Result<String> {
    let about = std::fs::metadata(file)?;
    if about.len() > FILE_BYTES_MAX as u64 {
        bail!("it has {} bytes, more than {FILE_BYTES_MAX}", about.len());
    }
    let bytes = std::fs::read(file)?;
    String::from_utf8(bytes).map_err(|_| anyhow::anyhow!("it is not UTF-8 text"))
}

fn is_markdown(file: &Path) -> bool {
    let extension = file.extension().and_then(|extension| extension.to_str());
    matches!(extension, Some("md" | "markdown"))
}

fn ask_all(cases: &[Case], judge: &Judge<'_>, input: &Input) -> anyhow::Result<Vec<Outcome>> {
    let mut outcomes = Vec::with_capacity(cases.len());
    let mut n_unusable = 0;
    for case in cases {
        match case.ask(judge, input) {
            Ok(outcome) => outcomes.push(outcome),
            Err(message) => {
                n_unusable += 1;
                output::complain(&format!("error: {}: {message}", case.source));
            }
        }
    }
    match n_unusable {
        0 => Ok(outcomes),
        1 => bail!("one case cannot be asked"),
        n => bail!("{n} cases cannot be asked"),
    }
}
