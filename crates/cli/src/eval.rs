//! `bulkhead eval`: flows in, verdicts out, one JSON object a line each, in the same order.
//!
//! The compiled program answers, as the kernel would. Its agreement with the slow reading of the
//! rules is a law that tests hold, not something to pay for on every line.

mod answer;
mod query;

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, bail};

use crate::args::Eval;
use crate::judge::Judge;
use crate::world;
use crate::{input, output};

pub use answer::Side;

/// Longest line of flows.
const LINE_BYTES_MAX: u64 = 1 << 20;

pub fn run(command: &Eval) -> anyhow::Result<ExitCode> {
    let is_stdin = |path: &Path| path.as_os_str() == "-";
    if is_stdin(&command.flows) && command.manifests.files.iter().any(|path| is_stdin(path)) {
        bail!("`-f -` and `--flows -` both read stdin: give one of them as a file");
    }
    let flows: Box<dyn Read> = match is_stdin(&command.flows) {
        true => Box::new(io::stdin()),
        false => {
            let name = command.flows.display();
            Box::new(File::open(&command.flows).with_context(|| format!("cannot read `{name}`"))?)
        }
    };
    let mut input = input::read(&command.manifests)?;
    let objects = world::objects(&mut input)?;
    let judge = Judge::of(&objects, &command.reading);
    world::say_closed(&input, &judge.world);
    let n_failed = answer_all(&judge, BufReader::with_capacity(1 << 16, flows))?;
    if n_failed > 0 {
        output::complain(&format!("error: {n_failed} lines could not be judged"));
        return Ok(ExitCode::FAILURE);
    }
    Ok(ExitCode::SUCCESS)
}

/// The number of lines that got an `error` instead of a verdict.
fn answer_all(judge: &Judge<'_>, mut flows: BufReader<Box<dyn Read>>) -> anyhow::Result<usize> {
    let mut out = output::answers();
    let mut line = Vec::new();
    let (mut n_line, mut n_failed) = (0usize, 0);
    loop {
        // A program that waits for each answer must get it before it writes on.
        if flows.buffer().is_empty() {
            out.flush()?;
        }
        line.clear();
        if flows.by_ref().take(LINE_BYTES_MAX).read_until(b'\n', &mut line)? == 0 {
            return out.flush().map(|()| n_failed).map_err(Into::into);
        }
        n_line += 1;
        if line.trim_ascii().is_empty() {
            continue;
        }
        if line.len() as u64 == LINE_BYTES_MAX && line.last() != Some(&b'\n') {
            bail!("line {n_line} of the flows is longer than {LINE_BYTES_MAX} bytes");
        }
        if !answer::answer(judge, &line, n_line, &mut out)? {
            n_failed += 1;
        }
    }
}
