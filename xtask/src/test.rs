//! Every check and every test, in one run that ends with `N passed, N failed`.

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use anyhow::Context;

use crate::shell::{self, say};

/// What was counted so far. Formatting, lints and tidy count as one test each.
#[derive(Default, Debug, PartialEq, Eq)]
struct Tally {
    passed: u64,
    failed: u64,
}

/// What runs a second time, on the other back end: everything that sends packets through real
/// interfaces and asks only what passes and what is told.
const ON_NFTABLES: [&[&str]; 4] = [
    &[
        "-p",
        "bulkhead-enforce",
        "--test",
        "kernel",
        "--",
        "netns_flows",
        "netns_names",
        "netns_node",
        "netns_update",
        "netns_hosts",
        "netns_services",
    ],
    &["-p", "bulkhead-testbed", "--test", "cases_kernel"],
    &["-p", "bulkhead-testbed", "--test", "e2e_names"],
    &["-p", "bulkhead-testbed", "--test", "random_packets"],
];

pub fn run() -> anyhow::Result<()> {
    crate::setup::run()?;
    let mut tally = Tally::default();
    tally.check("formatting", shell::run(shell::cargo().args(["fmt", "--all", "--check"])));
    tally.check("tidy", crate::tidy::run());
    // The tests start the programs of the workspace, so these are built first.
    let built = shell::run(shell::cargo().args(["build", "--quiet", "--workspace", "--bins"]));
    tally.check("building the programs", built);
    tally.check(
        "lints",
        shell::run(shell::cargo().args([
            "clippy",
            "--quiet",
            "--workspace",
            "--all-targets",
            "--",
            "--deny",
            "warnings",
        ])),
    );
    tally.cargo_test(&["--workspace"], None)?;
    for tests in ON_NFTABLES {
        tally.cargo_test(tests, Some(("BULKHEAD_BACKEND", "nftables")))?;
    }
    tally.check("a minute of faults", crate::soak::short());
    say(&format!("{} passed, {} failed", tally.passed, tally.failed));
    std::process::exit(i32::from(tally.failed > 0));
}

impl Tally {
    fn check(&mut self, name: &str, result: anyhow::Result<()>) {
        match result {
            Ok(()) => {
                say(&format!("test {name} ... ok"));
                self.passed += 1;
            }
            Err(error) => {
                say(&format!("test {name} ... FAILED: {error:#}"));
                self.failed += 1;
            }
        }
    }

    /// Runs all tests, shows their output as it comes, and adds up libtest's result lines.
    fn cargo_test(&mut self, tests: &[&str], env: Option<(&str, &str)>) -> anyhow::Result<()> {
        let mut child = shell::cargo()
            .args(["test", "--no-fail-fast"])
            .args(tests)
            .envs(env)
            .stdout(Stdio::piped())
            .spawn()
            .context("cannot start cargo test")?;
        let before = self.failed;
        let stdout = child.stdout.take().context("cargo test has no output")?;
        for line in BufReader::new(stdout).lines() {
            let line = line.context("cannot read cargo test's output")?;
            say(&line);
            self.count(&line);
        }
        let status = child.wait().context("cannot wait for cargo test")?;
        // A crash or a build error has no result line of its own.
        if !status.success() && self.failed == before {
            self.failed += 1;
        }
        Ok(())
    }

    fn count(&mut self, line: &str) {
        if line.starts_with("SKIPPED") {
            self.failed += 1;
        }
        let Some(rest) = line.strip_prefix("test result: ") else { return };
        for part in rest.split([';', '.']) {
            let mut words = part.split_whitespace();
            let (Some(number), Some(what)) = (words.next(), words.next()) else { continue };
            let Ok(number) = number.parse::<u64>() else { continue };
            match what {
                "passed" => self.passed += number,
                // An ignored test is a test that nobody runs: it counts against us.
                "failed" | "ignored" => self.failed += number,
                _ => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn result_lines_add_up_and_ignored_tests_count_as_failed() {
        let mut tally = Tally::default();
        tally.count("test result: ok. 12 passed; 0 failed; 0 ignored; 0 measured; 3 filtered out; finished in 0.01s");
        tally.count("test result: FAILED. 2 passed; 1 failed; 1 ignored; 0 measured; 0 filtered out; finished in 1.00s");
        tally.count("some other line with 7 passed");
        assert_eq!(tally, Tally { passed: 14, failed: 2 });
    }

    #[test]
    fn a_skipped_test_counts_as_failed() {
        let mut tally = Tally::default();
        tally.count("SKIPPED netns: no root");
        assert_eq!(tally, Tally { passed: 0, failed: 1 });
    }
}
