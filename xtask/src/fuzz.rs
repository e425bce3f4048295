//! The fuzz targets of `fuzz/`, driven on stable Rust.

use anyhow::{Context, bail};

use crate::shell::{self, say};

const TARGETS: [&str; 4] = ["selector", "lower", "yaml", "wire"];

/// The last line says how many inputs were tried. An input that breaks something is an error that
/// names the file in which it is kept.
pub fn run(target: &str, seconds: u64, seed: u64) -> anyhow::Result<()> {
    if !TARGETS.contains(&target) {
        bail!("there is no fuzz target `{target}`: use {}", TARGETS.join(", "));
    }
    let output = shell::output(
        shell::cargo()
            .args(["test", "--quiet", "--release", "--package", "bulkhead-fuzz", "--test", "fuzz"])
            .args(["--", "--nocapture", "as_long_as_asked_for"])
            .env("BULKHEAD_FUZZ_TARGET", target)
            .env("BULKHEAD_FUZZ_SECONDS", seconds.to_string())
            .env("BULKHEAD_FUZZ_SEED", seed.to_string()),
    )?;
    let tally = output.lines().find(|line| line.ends_with(" findings"));
    say(tally.context("the test did not say how many inputs it tried")?);
    Ok(())
}
