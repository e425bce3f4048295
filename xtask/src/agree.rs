//! Random worlds through the slow and the compiled engine, as many as asked for.

use crate::shell;

/// The property test reads its number of cases from here.
const CASES: &str = "BULKHEAD_AGREE_CASES";

pub fn run(cases: u64) -> anyhow::Result<()> {
    shell::run(
        shell::cargo()
            .args(["test", "--quiet", "--release", "--package", "bulkhead-policy"])
            .args(["--test", "laws", "--", "--nocapture", "program_agrees_with_decide"])
            .env(CASES, cases.to_string()),
    )
}
