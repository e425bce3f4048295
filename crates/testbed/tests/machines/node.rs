//! The node that machines run on: a lab with one agent, and commands in its network namespace.

use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use bulkhead_api::Object;
use bulkhead_api::manifest::Manifests;
use bulkhead_lab::Lab;

/// As written: nobody assigns addresses.
pub fn objects(text: &str) -> Vec<Object> {
    let mut manifests = Manifests::default();
    manifests.add("objects.yaml", text);
    assert!(!manifests.has_errors(), "{:?}", manifests.diagnostics);
    manifests.into_objects()
}

/// A lab with a node whose agent is there, and nothing on it.
pub async fn start() -> Lab {
    let lab = Lab::bare(&[]).await.unwrap();
    lab.wait_enforced().await.unwrap();
    until("the agent's socket", || agent_folder(&lab).join("agent.sock").exists());
    lab
}

/// Waits for what comes without being asked for.
pub fn until(what: &str, mut is: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(30);
    while !is() {
        assert!(Instant::now() < end, "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

pub fn netns(lab: &Lab) -> PathBuf {
    PathBuf::from("/run/netns").join(lab.claim().netns("node1"))
}

/// The state folder of the node's agent.
pub fn agent_folder(lab: &Lab) -> PathBuf {
    lab.claim().data_folder().join(format!("agent-{}", lab.claim().netns("node1")))
}

/// A command in the node's network namespace.
pub fn command(lab: &Lab, program: &str) -> Command {
    let mut command = Command::new("nsenter");
    command.arg(format!("--net={}", netns(lab).display())).arg("--").arg(program);
    command
}

pub fn text(output: &Output) -> String {
    let (out, err) = (&output.stdout, &output.stderr);
    format!("{}{}", String::from_utf8_lossy(out), String::from_utf8_lossy(err))
}

/// Runs a command with something to read.
pub fn feed(mut command: Command, input: &str) -> Output {
    use std::io::Write;
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}
