//! `cargo xtask soak`: faults one after another under traffic, as one JSON object.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, bail};
use serde_json::{Map, Value, json};

use crate::shell::{self, say};
use crate::{machine, setup};

/// The short form, as part of every test run.
const SHORT_SECONDS: u64 = 60;

/// As long as asked, with programs built as they are shipped.
pub fn run(minutes: u64, seed: Option<u64>) -> anyhow::Result<()> {
    setup::run()?;
    shell::run(shell::cargo().args(["build", "--quiet", "--release", "--workspace", "--bins"]))?;
    let result = soak(&shell::target_dir()?.join("release"), minutes * 60, seed)?;
    let mut all = Map::new();
    all.insert("soak".into(), json!(true));
    all.insert("commit".into(), json!(machine::commit()));
    all.insert("machine".into(), machine::describe());
    all.extend(result);
    let verdict = check(&all);
    say(&serde_json::to_string_pretty(&Value::Object(all))?);
    verdict
}

/// With the programs that the tests have just built.
pub fn short() -> anyhow::Result<()> {
    let result = soak(&shell::target_dir()?.join("debug"), SHORT_SECONDS, None)?;
    say(&serde_json::to_string(&result)?);
    check(&result)
}

fn soak(programs: &Path, seconds: u64, seed: Option<u64>) -> anyhow::Result<Map<String, Value>> {
    let mut command = Command::new(programs.join("bulkhead-lab"));
    command.args(["soak", "--seconds", &seconds.to_string()]).current_dir(shell::root());
    if let Some(seed) = seed {
        command.args(["--seed", &seed.to_string()]);
    }
    // What was wrong is in the result; what it says on the way is for people.
    let output = command.stderr(Stdio::inherit()).output().context("cannot start bulkhead-lab")?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let last = text.lines().last().unwrap_or_default();
    serde_json::from_str(last)
        .with_context(|| format!("the soak ended with {} and no result", output.status))
}

fn check(result: &Map<String, Value>) -> anyhow::Result<()> {
    for what in ["wrongly_dropped", "wrongly_passed", "status_wrong"] {
        if result.get(what).and_then(Value::as_u64) != Some(0) {
            bail!("`{what}` is not 0: {}", result.get("wrong").unwrap_or(&Value::Null));
        }
    }
    Ok(())
}
