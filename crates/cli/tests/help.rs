//! The reference shows what the program prints. `BULKHEAD_BLESS=1` writes the blocks anew.
#![expect(clippy::unwrap_used, reason = "tests fail by panic")]

use std::path::Path;
use std::process::Command;

fn help(command: &str) -> String {
    let arguments = command.strip_prefix("$ bulkhead").unwrap().split_whitespace();
    let program = env!("CARGO_BIN_EXE_bulkhead");
    let output = Command::new(program).args(arguments).env("COLUMNS", "100").output().unwrap();
    assert!(output.status.success(), "{command}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn the_reference_shows_the_help_texts() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/reference/cli.md");
    let page = std::fs::read_to_string(&path).unwrap();
    let mut fresh = String::new();
    let mut n_blocks = 0;
    let mut is_skipping = false;
    for line in page.lines() {
        if line == "```" {
            is_skipping = false;
        }
        if is_skipping {
            continue;
        }
        fresh.push_str(line);
        fresh.push('\n');
        if line.starts_with("$ bulkhead") {
            let printed = help(line);
            let trimmed: Vec<&str> = printed.trim_end().lines().map(str::trim_end).collect();
            fresh.push_str(&trimmed.join("\n"));
            fresh.push('\n');
            is_skipping = true;
            n_blocks += 1;
        }
    }
    assert!(n_blocks >= 6, "{n_blocks}");
    if std::env::var_os("BULKHEAD_BLESS").is_some() {
        std::fs::write(&path, fresh).unwrap();
        return;
    }
    assert!(page == fresh, "the help has changed: run this test with BULKHEAD_BLESS=1");
}
