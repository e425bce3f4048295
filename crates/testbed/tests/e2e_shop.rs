//! `bulkhead-lab` as people use it: the demo, `run`, and what is left when it is killed.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "tests fail by panic")]

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use bulkhead_lab::claim::Claim;
use bulkhead_lab::netns;
use bulkhead_lab::process::Programs;
use serde_json::Value;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

fn lab() -> Command {
    let programs = Programs::find().unwrap();
    let mut command = Command::new(programs.server.with_file_name("bulkhead-lab"));
    command.current_dir(root());
    command
}

#[test]
fn the_demo_ends_by_itself_with_everything_as_it_must_be() {
    let output = lab().args(["demo", "--for", "8"]).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}\n{errors}");
    for expected in [
        "13 workloads on 2 nodes",
        "100.00 % answered",
        "by platform: GlobalNetworkPolicy platform.guard-data, ingress rule 0",
        "by application: end of the tier",
        "by default: NetworkPolicy ops/nothing-leaves, egress rule 0",
        "all as it must be",
    ] {
        assert!(text.contains(expected), "`{expected}` is missing in:\n{text}\n{errors}");
    }
}

/// `examples/shop/expect.jsonl` says of each probe what must come of it; the offline engine and the
/// network must both say so.
#[test]
fn eval_and_packets_agree_with_what_the_shop_expects() {
    let expected = std::fs::read_to_string(root().join("examples/shop/expect.jsonl")).unwrap();
    let mut expected: Vec<Value> =
        expected.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let mut probes = String::new();
    let verdicts: Vec<Value> = expected
        .iter_mut()
        .map(|probe| probe.as_object_mut().unwrap().remove("expect").unwrap())
        .collect();
    for probe in &expected {
        probes.push_str(&format!("{probe}\n"));
    }
    let mut child = lab()
        .args(["run", "-f", "examples/shop", "--probes", "-", "--dataplane", "ebpf"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), probes.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    let lines = String::from_utf8(output.stdout).unwrap();
    let answers: Vec<Value> =
        lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(answers.len(), expected.len());
    for ((probe, verdict), answer) in expected.iter().zip(verdicts).zip(answers) {
        assert_eq!(answer["verdict"], verdict, "{probe}: {answer}");
        assert_eq!(answer["connected"], Value::from(verdict == "allow"), "{probe}: {answer}");
    }
}

#[test]
fn nftables_is_refused_clearly() {
    let output = lab()
        .args(["run", "-f", "examples/shop", "--probes", "-", "--dataplane", "nftables"])
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert!(!output.status.success());
    assert!(String::from_utf8_lossy(&output.stderr).contains("not there yet"));
}

#[test]
fn the_next_start_removes_what_a_killed_lab_left() {
    let mut demo = lab().arg("demo").stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(demo.stdout.take().unwrap()).lines();
    let mut prefix = None;
    for line in lines.by_ref() {
        let line = line.unwrap();
        if let Some((_, rest)) = line.split_once("ip netns exec ") {
            let id = rest.strip_prefix("bhl-").unwrap().split('-').next().unwrap();
            prefix = Some(format!("bhl-{id}-"));
        }
        if line.contains("Ctrl-C ends it") {
            break;
        }
    }
    let prefix = prefix.expect("the demo says how to enter a namespace");
    demo.kill().unwrap();
    demo.wait().unwrap();
    assert!(!netns::list(&prefix).is_empty(), "nothing was left: this test tests nothing");
    // another test's lab may have swept already or be doing so
    let until = Instant::now() + Duration::from_secs(20);
    loop {
        drop(Claim::take().unwrap());
        let left = (netns::list(&prefix), processes(prefix.trim_end_matches('-')));
        if left == (Vec::new(), Vec::new()) {
            break;
        }
        assert!(Instant::now() < until, "left: {left:?}");
    }
    let pins = Path::new("/sys/fs/bpf").join(prefix.trim_end_matches('-'));
    assert!(!pins.exists(), "{} is left", pins.display());
}

/// Command lines that speak of the lab with this prefix.
fn processes(prefix: &str) -> Vec<String> {
    let entries = std::fs::read_dir("/proc").unwrap().flatten();
    entries
        .filter_map(|entry| std::fs::read_to_string(entry.path().join("cmdline")).ok())
        .filter(|line| line.contains(prefix))
        .collect()
}
