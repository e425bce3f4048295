//! `bulkhead-lab` as people use it: the demo, `run`, and what is left when it is killed.
#![expect(clippy::unwrap_used, reason = "tests fail by panic")]

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use bulkhead_lab::claim::Claim;
use bulkhead_lab::netns;
use bulkhead_lab::process::Programs;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
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

#[test]
fn eval_and_packets_agree_with_what_the_shop_expects() {
    eval_and_packets_agree("ebpf");
}

#[test]
fn eval_and_packets_agree_on_nftables() {
    eval_and_packets_agree("nftables");
}

/// `examples/shop/expect.jsonl` says of each probe what must come of it; the offline engine and the
/// network must both say so.
fn eval_and_packets_agree(dataplane: &str) {
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
        .args(["run", "-f", "examples/shop", "--probes", "-", "--dataplane", dataplane])
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
        assert_eq!(answer.get("verdict"), Some(&verdict), "{probe}: {answer}");
        let connects = Value::from(verdict == "allow");
        assert_eq!(answer.get("connected"), Some(&connects), "{probe}: {answer}");
    }
}

/// Starts the demo and waits until it is up; gives the prefix of its namespaces too.
fn start_demo() -> (Child, String) {
    let mut demo = lab().arg("demo").stdout(Stdio::piped()).spawn().unwrap();
    let mut prefix = None;
    for line in BufReader::new(demo.stdout.take().unwrap()).lines() {
        let line = line.unwrap();
        if let Some((_, rest)) = line.split_once("ip netns exec ") {
            let id = rest.strip_prefix("bhl-").unwrap().split('-').next().unwrap();
            prefix = Some(format!("bhl-{id}"));
        }
        if line.contains("Ctrl-C ends it") {
            break;
        }
    }
    let prefix = prefix.unwrap();
    assert!(!left(&prefix).is_empty(), "nothing is there: this test tests nothing");
    (demo, prefix)
}

#[test]
fn a_signal_leaves_the_machine_as_it_was() {
    let (mut demo, prefix) = start_demo();
    kill(Pid::from_raw(demo.id() as i32), Signal::SIGTERM).unwrap();
    demo.wait().unwrap();
    assert_eq!(left(&prefix), Vec::<String>::new());
}

#[test]
fn the_next_start_removes_what_a_killed_lab_left() {
    let (mut demo, prefix) = start_demo();
    demo.kill().unwrap();
    demo.wait().unwrap();
    // another test's lab may be sweeping at this moment
    let until = Instant::now() + Duration::from_secs(20);
    loop {
        drop(Claim::take().unwrap());
        let left = left(&prefix);
        if left.is_empty() {
            break;
        }
        assert!(Instant::now() < until, "left: {left:?}");
    }
}

/// Namespaces, processes, pins and data of the lab with this prefix.
fn left(prefix: &str) -> Vec<String> {
    let mut left = netns::list(prefix);
    let entries = std::fs::read_dir("/proc").unwrap().flatten();
    left.extend(
        entries
            .filter_map(|entry| std::fs::read_to_string(entry.path().join("cmdline")).ok())
            .filter(|line| line.contains(prefix)),
    );
    for folder in [PathBuf::from("/sys/fs/bpf"), std::env::temp_dir()] {
        let path = folder.join(prefix);
        left.extend(path.exists().then(|| path.display().to_string()));
    }
    left
}
