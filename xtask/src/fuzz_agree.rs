//! Random worlds: what the slow engine says, the compiled programs and `bulkhead eval` say.

use anyhow::Context;

use crate::shell::{self, say};

/// The property tests read their number of cases from here.
const CASES: &str = "BULKHEAD_AGREE_CASES";

/// The last line is `N cases, 0 disagreements`, a case being one packet in one world, asked of
/// `bulkhead eval`; a disagreement is an error that shows the smallest world that has it.
pub fn run(cases: u64) -> anyhow::Result<()> {
    let programs = tally(cases, ["bulkhead-policy", "laws", "program_agrees_with_decide"])?;
    say(&format!("node programs and decide, a verdict each: {programs}"));
    say("bulkhead eval and decide, a packet each:");
    say(&tally(cases, ["bulkhead-cli", "eval_agrees", "eval_agrees_with_decide"])?);
    Ok(())
}

fn tally(cases: u64, [package, file, test]: [&str; 3]) -> anyhow::Result<String> {
    let output = shell::output(
        shell::cargo()
            .args(["test", "--quiet", "--release", "--package", package])
            .args(["--test", file, "--", "--nocapture", test])
            .env(CASES, cases.to_string()),
    )?;
    let tally = output.lines().find(|line| line.ends_with(" disagreements"));
    tally.map(str::to_owned).context("the test did not say how many cases it compared")
}
