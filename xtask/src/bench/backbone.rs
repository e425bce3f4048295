//! The backbone's promises in numbers; docs/limits.md says what they must be.

use std::process::Command;

use serde_json::{Map, Value, json};

use crate::machine;
use crate::shell::say;

pub fn run(changes: u32) -> anyhow::Result<()> {
    let programs = super::programs()?;
    let verdict = super::object(&mut Command::new(programs.join("examples/bench_verdict")))?;
    let stream = super::object(&mut Command::new(programs.join("examples/bench_stream")))?;
    let mut latency = Command::new(programs.join("bulkhead-lab"));
    latency.arg("bench-latency").arg("--changes").arg(changes.to_string());
    let latency = super::object(&mut latency)?;

    let mut all = Map::new();
    all.insert("bench".into(), json!("backbone"));
    all.insert("commit".into(), json!(machine::commit()));
    all.insert("machine".into(), machine::describe());
    for part in [verdict, stream, latency] {
        all.extend(part);
    }
    say(&serde_json::to_string_pretty(&Value::Object(all))?);
    Ok(())
}
