//! Where a measurement was taken: every bench's JSON carries it.

use std::process::Command;

use serde_json::{Value, json};

use crate::shell;

pub fn describe() -> Value {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default().trim().to_owned();
    let cpu = read("/proc/cpuinfo")
        .lines()
        .find_map(|line| {
            line.strip_prefix("model name")?.split_once(':').map(|(_, name)| name.trim().to_owned())
        })
        .unwrap_or_default();
    json!({
        "kernel": read("/proc/sys/kernel/osrelease"),
        "cpu": cpu,
        "cores": std::thread::available_parallelism().map_or(0, usize::from),
    })
}

/// The commit that was measured, with `+changes` where the work tree differs from it.
pub fn commit() -> String {
    let git = |arguments: &[&str]| {
        shell::output(Command::new("git").args(arguments).current_dir(shell::root()))
            .unwrap_or_default()
            .trim()
            .to_owned()
    };
    let changed = !git(&["status", "--porcelain", "--untracked-files=no"]).is_empty();
    format!(
        "{}{}",
        git(&["rev-parse", "--short=12", "HEAD"]),
        if changed { "+changes" } else { "" }
    )
}
