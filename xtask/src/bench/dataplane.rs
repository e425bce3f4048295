//! The data plane's promises in numbers; docs/limits.md says what they must be.
//!
//! Nothing is left out silently: what could not be measured is `null`, with the reason beside it.

use std::path::Path;
use std::process::Command;

use serde_json::{Map, Value, json};

use crate::machine;
use crate::shell::say;

/// What the object has in any case.
const FIGURES: [&str; 16] = [
    "verdict_100k_over_1_ebpf",
    "verdict_100k_over_1_nft",
    "classify_extra_ns",
    "established_extra_ns",
    "new_flow_extra_ns",
    "tcp_stream_ratio_1",
    "tcp_stream_ratio_100k",
    "tcp_crr_ratio",
    "api_to_packet_p50_ms",
    "api_to_packet_p99_ms",
    "start_1000_p99_ms",
    "nft_add_one_ms",
    "xdp_lookup_ns",
    "xdp_replace_1m_s",
    "agent_rss_mb",
    "agent_idle_cpu_percent",
];

/// Programs that print one JSON object.
const PARTS: [&str; 6] =
    ["bench_verdict", "bench_packet", "bench_stream", "bench_nft", "bench_deny", "bench_node"];

pub fn run(changes: u32) -> anyhow::Result<()> {
    let programs = super::programs()?;
    let mut all = Map::new();
    all.insert("bench".into(), json!("dataplane"));
    all.insert("commit".into(), json!(machine::commit()));
    all.insert("machine".into(), machine::describe());
    let mut failed = Vec::new();
    for part in PARTS {
        let mut command = Command::new(programs.join("examples").join(part));
        take(&mut all, &mut failed, part, super::object(&mut command));
    }
    take(&mut all, &mut failed, "bench-latency", latency(&programs, changes));
    for name in FIGURES.into_iter().filter(|name| !all.contains_key(*name)).collect::<Vec<_>>() {
        all.insert(name.into(), Value::Null);
    }
    all.insert("not_measured".into(), json!(failed));
    say(&serde_json::to_string_pretty(&Value::Object(all))?);
    Ok(())
}

fn take(
    all: &mut Map<String, Value>,
    failed: &mut Vec<String>,
    part: &str,
    result: anyhow::Result<Map<String, Value>>,
) {
    match result {
        Ok(mut figures) => {
            // The agent of `bench_node` is the one with the workloads that are promised.
            figures.retain(|name, _| part == "bench_node" || name != "agent_rss_mb");
            all.extend(figures);
        }
        Err(error) => failed.push(format!("{part}: {error:#}")),
    }
}

/// Under the shop's traffic.
fn latency(programs: &Path, changes: u32) -> anyhow::Result<Map<String, Value>> {
    let mut command = Command::new(programs.join("bulkhead-lab"));
    command.args(["bench-latency", "--under-load", "--changes", &changes.to_string()]);
    let mut figures = super::object(&mut command)?;
    for (name, quantile) in [("api_to_packet_p50_ms", "p50"), ("api_to_packet_p99_ms", "p99")] {
        let value = figures.get("api_to_packet_ms").and_then(|times| times.get(quantile)).cloned();
        figures.insert(name.into(), value.unwrap_or(Value::Null));
    }
    Ok(figures)
}
