//! The plugin as a runtime sees it, with an agent that says what the test wants.
#![expect(clippy::unwrap_used, reason = "tests fail by panic")]

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::thread::JoinHandle;

use bulkhead_cni::local::{Answer, Request};
use bulkhead_cni::{Call, CniError, VERSIONS, run};
use bulkhead_types::EndpointId;
use serde_json::{Value, json};

struct Agent {
    folder: tempfile::TempDir,
    heard: JoinHandle<Option<Request>>,
}

/// Answers one caller.
fn mk_agent(answer: Answer) -> Agent {
    let folder = tempfile::tempdir().unwrap();
    let listener = UnixListener::bind(folder.path().join("agent.sock")).unwrap();
    let heard = std::thread::spawn(move || {
        let (stream, _) = listener.accept().ok()?;
        let mut line = String::new();
        BufReader::new(&stream).read_line(&mut line).ok()?;
        let mut said = serde_json::to_vec(&answer).ok()?;
        said.push(b'\n');
        (&stream).write_all(&said).ok()?;
        serde_json::from_str(&line).ok()
    });
    Agent { folder, heard }
}

impl Agent {
    fn socket(&self) -> PathBuf {
        self.folder.path().join("agent.sock")
    }
}

fn mk_call(command: &str) -> Call {
    Call {
        command: command.to_owned(),
        container: "c1".to_owned(),
        interface: "eth0".to_owned(),
        args: "IgnoreUnknown=1;K8S_POD_NAMESPACE=shop;K8S_POD_NAME=web".to_owned(),
    }
}

/// As the bridge plugin leaves it: a bridge, the host's end, the container's end.
fn mk_result() -> Value {
    json!({
        "cniVersion": "1.0.0",
        "interfaces": [
            {"name": "cni0", "mac": "02:00:00:00:00:01"},
            {"name": "veth1", "mac": "02:00:00:00:00:02"},
            {"name": "eth0", "mac": "02:00:00:00:00:03", "sandbox": "/run/netns/c1"},
        ],
        "ips": [{"address": "10.88.0.2/24", "gateway": "10.88.0.1", "interface": 2}],
        "routes": [{"dst": "0.0.0.0/0"}],
        "dns": {"nameservers": ["10.88.0.1"]},
    })
}

fn mk_config(version: &str, socket: &Path, result: Value) -> String {
    json!({
        "cniVersion": version, "name": "pods", "type": "bulkhead-cni", "socket": socket,
        "timeoutSeconds": 2.5, "prevResult": result,
    })
    .to_string()
}

fn add(answer: Answer, result: Value) -> (Result<Option<Value>, CniError>, Option<Request>) {
    let agent = mk_agent(answer);
    let said = run(&mk_call("ADD"), &mk_config("1.0.0", &agent.socket(), result));
    (said, agent.heard.join().unwrap())
}

#[test]
fn add_asks_for_the_pod_and_passes_the_result_on() {
    let (said, heard) = add(Answer::Done, mk_result());
    assert_eq!(said.unwrap(), Some(mk_result()));
    let Some(Request::Add { endpoint, host_interfaces, addresses, wait_ms, slot }) = heard else {
        panic!("{heard:?}")
    };
    assert_eq!(endpoint, Some(EndpointId::pod("shop", "web")));
    assert_eq!(host_interfaces, ["cni0", "veth1"]);
    assert_eq!(addresses, ["10.88.0.2".parse().unwrap()].into());
    assert_eq!((wait_ms, slot.container.as_str()), (2_500, "c1"));
}

#[test]
fn every_version_of_a_result_is_understood() {
    for version in VERSIONS {
        let agent = mk_agent(Answer::Done);
        let mut result = mk_result();
        result["ips"][0]["version"] = json!("4");
        let config = mk_config(version, &agent.socket(), result);
        let said = run(&mk_call("ADD"), &config).unwrap().unwrap();
        assert_eq!(said["cniVersion"], version);
    }
    let said = run(&mk_call("VERSION"), r#"{"cniVersion": "1.0.0"}"#).unwrap().unwrap();
    assert_eq!(said["supportedVersions"], json!(VERSIONS));
    let error = run(&mk_call("ADD"), r#"{"cniVersion": "9.9.9"}"#).unwrap_err();
    assert_eq!(error.code, 1, "{error}");
}

#[test]
fn what_the_agent_says_becomes_a_code_and_a_sentence() {
    let reason = || "something".to_owned();
    for (answer, code, sentence) in [
        (Answer::Late { waited_for: reason() }, 100, "waited 2.5 s for something"),
        (Answer::NotReady { reason: reason() }, 11, "something"),
        (Answer::Refused { reason: reason() }, 101, "something"),
    ] {
        let error = add(answer, mk_result()).0.unwrap_err();
        assert_eq!((error.code, error.message.as_str()), (code, sentence));
        let printed = error.to_json("1.0.0");
        assert_eq!((&printed["code"], &printed["msg"]), (&json!(code), &json!(sentence)));
    }
}

#[test]
fn a_call_that_makes_no_sense_says_why() {
    let nowhere = Path::new("/nonexistent/agent.sock");
    let error = |call: &Call, result| {
        let error = run(call, &mk_config("1.0.0", nowhere, result)).unwrap_err();
        (error.code, error.message)
    };
    let (code, message) = error(&mk_call("ADD"), Value::Null);
    assert!(code == 7 && message.contains("no `prevResult`"), "{message}");
    let (code, message) = error(&mk_call("ADD"), json!({"ips": []}));
    assert!(code == 7 && message.contains("no address for `eth0`"), "{message}");
    let (code, message) = error(&Call { container: String::new(), ..mk_call("ADD") }, mk_result());
    assert!(code == 4 && message.contains("CNI_CONTAINERID"), "{message}");
    let (code, message) = error(&mk_call("PLUG"), mk_result());
    assert!(code == 4 && message.contains("`PLUG`"), "{message}");
    let (code, message) = error(&mk_call("ADD"), mk_result());
    assert!(code == 11 && message.contains("/nonexistent/agent.sock"), "{message}");
    assert_eq!(run(&mk_call("ADD"), "{").unwrap_err().code, 6);
}

#[test]
fn a_container_can_always_end() {
    let nowhere = Path::new("/nonexistent/agent.sock");
    let config = mk_config("1.0.0", nowhere, Value::Null);
    for command in ["DEL", "GC"] {
        assert_eq!(run(&mk_call(command), &config), Ok(None), "{command}");
    }
    assert_eq!(run(&mk_call("STATUS"), &config).unwrap_err().code, 50);
}
