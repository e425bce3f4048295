//! The units under `deploy/systemd` are what systemd understands, and name flags that the agent has.
#![expect(clippy::unwrap_used, reason = "tests fail by panic")]

use std::path::{Path, PathBuf};
use std::process::Command;

use bulkhead_agent::config::RawConfig;
use clap::CommandFactory;

const UNITS: [&str; 2] = ["bulkhead-agent.service", "bulkhead-boot-gate.service"];

fn read(unit: &str) -> String {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../deploy/systemd");
    std::fs::read_to_string(folder.join(unit)).unwrap()
}

#[test]
fn units_start_the_agent_with_flags_that_it_has() {
    let command = RawConfig::command();
    for unit in UNITS {
        let text = read(unit);
        let line = text.lines().find(|line| line.starts_with("ExecStart=")).unwrap();
        let flags: Vec<&str> = line.split(' ').filter_map(|word| word.strip_prefix("--")).collect();
        assert!(!flags.is_empty(), "{line}");
        for flag in flags {
            let is_known = command.get_arguments().any(|known| known.get_long() == Some(flag));
            assert!(is_known, "{unit} starts the agent with --{flag}");
        }
    }
}

#[test]
fn systemd_finds_no_fault_with_the_units() {
    if !Path::new("/usr/bin/systemd-analyze").exists() {
        eprintln!("not tried: there is no systemd-analyze on this machine");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    for unit in UNITS {
        // What it starts has to be there for the check; which program it is does not matter.
        let text = read(unit).replace("/usr/bin/bulkhead-agent", "/bin/true");
        std::fs::write(folder.path().join(unit), text).unwrap();
    }
    for unit in UNITS {
        let output = Command::new("systemd-analyze")
            .args(["verify", "--man=no"])
            .arg(folder.path().join(unit))
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        let faults: Vec<&str> = said.lines().filter(|line| line.contains(unit)).collect();
        assert!(faults.is_empty(), "{unit}: {said}");
    }
}
