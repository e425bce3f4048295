//! Random worlds through the slow and the compiled engine, as many as asked for.

use anyhow::Context;

use crate::shell::{self, say};

/// The property test reads its number of cases from here.
const CASES: &str = "BULKHEAD_AGREE_CASES";

/// The last line is `N cases, 0 disagreements`; a disagreement is an error that shows the world.
pub fn run(cases: u64) -> anyhow::Result<()> {
    let output = shell::output(
        shell::cargo()
            .args(["test", "--quiet", "--release", "--package", "bulkhead-policy"])
            .args(["--test", "laws", "--", "--nocapture", "program_agrees_with_decide"])
            .env(CASES, cases.to_string()),
    )?;
    let tally = output.lines().find(|line| line.ends_with(" disagreements"));
    say(tally.context("the test did not say how many cases it compared")?);
    Ok(())
}
