//! The policy engine's promises in numbers; docs/limits.md says what they must be.

use serde_json::{Map, Value, json};

use crate::shell::{self, say};
use crate::{machine, setup};

pub fn run(worlds: &[String]) -> anyhow::Result<()> {
    setup::run()?;
    let mut all = Map::new();
    all.insert("bench".into(), json!("policy"));
    all.insert("commit".into(), json!(machine::commit()));
    all.insert("machine".into(), machine::describe());
    // Two programs: an allocator that counts would cost time.
    for program in ["worlds", "worlds_heap"] {
        let mut bench = shell::cargo();
        bench.args(["bench", "--quiet", "--package", "bulkhead-policy", "--bench", program, "--"]);
        all.extend(super::object(bench.args(worlds))?);
    }
    say(&serde_json::to_string_pretty(&Value::Object(all))?);
    Ok(())
}
