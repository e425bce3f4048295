//! A rule that locks its own host out, with the agent on the host itself and the server elsewhere: the
//! change takes itself back, and the host hears of it.

use std::path::Path;
use std::process::{Command, Output};
use std::sync::Arc;

use bulkhead_lab::claim::Claim;
use bulkhead_lab::process::{Process, Programs};

use crate::node;

const SERVER: &str = "192.0.2.9:6444";
const SERVICE: (&str, &str) = ("192.0.2.1", "8080");

/// No policy selects it and no profile is its: it closes the host both ways, but for fail-safe ports.
const CLOSED: &str = "
apiVersion: projectcalico.org/v3
kind: HostEndpoint
metadata: {name: n1, annotations: {bulkhead.dev/confirm-within: 5s}}
spec: {node: n1, interfaceName: '*'}
";

/// A host and the place where its server is, each with processes of its own.
struct Scene {
    claim: Arc<Claim>,
    processes: Vec<Process>,
}

impl Scene {
    fn new() -> Self {
        let claim = Arc::new(Claim::take().unwrap());
        let (host, outside) = (claim.netns("host"), claim.netns("outside"));
        let line = format!(
            "ip netns add {host}; ip netns add {outside}
             ip -n {host} link set lo up; ip -n {outside} link set lo up
             ip -n {host} link add up0 type veth peer name up0 netns {outside}
             ip -n {host} addr add 192.0.2.1/24 dev up0; ip -n {host} link set up0 up
             ip -n {outside} addr add 192.0.2.9/24 dev up0; ip -n {outside} link set up0 up"
        );
        let made = Command::new("sh").args(["-ec", &line]).output().unwrap();
        assert!(made.status.success(), "{}", node::text(&made));
        Self { claim, processes: Vec::new() }
    }

    fn start(&mut self, at: &str, program: &Path, args: &[&str]) {
        let netns = format!("--net=/run/netns/{}", self.claim.netns(at));
        let line = [&netns, "--", &program.to_string_lossy()];
        let args: Vec<String> = line.iter().chain(args).map(|word| (*word).to_owned()).collect();
        let name = format!("{at}-{}", self.processes.len());
        let process = Process::start(&self.claim, &name, Path::new("nsenter"), &args);
        self.processes.push(process.unwrap());
    }

    /// Runs a program where the server is, with something to read.
    fn run(&self, program: &Path, args: &[&str], input: &str) -> Output {
        let data = self.claim.data_folder();
        let mut command = Command::new("nsenter");
        command.arg(format!("--net=/run/netns/{}", self.claim.netns("outside"))).arg("--");
        command.arg(program).args(args).env("HOME", &data);
        command.env("KUBECONFIG", data.join("server/admin.kubeconfig"));
        node::feed(command, input)
    }

    fn kubectl(&self, args: &[&str], input: &str) -> Output {
        self.run(Path::new("kubectl"), args, input)
    }

    fn is_served(&self) -> bool {
        let (host, port) = SERVICE;
        let said = self.run(Path::new("busybox"), &["nc", "-w", "1", host, port], "");
        node::text(&said).contains("hello")
    }
}

#[test]
fn a_host_that_was_locked_out_hears_that_the_change_is_taken_back() {
    let mut scene = Scene::new();
    let programs = Programs::find().unwrap();
    let (data, pins) = (scene.claim.data_folder(), scene.claim.pin_folder());
    let folder = |name: &str| data.join(name).to_string_lossy().into_owned();
    let server = ["--listen", "0.0.0.0:6443", "--node-listen", "0.0.0.0:6444"];
    let server_data = folder("server");
    let server = [&["--data-dir", &server_data][..], &server].concat();
    scene.start("outside", &programs.server, &server);
    node::until("the server", || scene.kubectl(&["get", "--raw", "/readyz"], "").status.success());
    let token = scene.run(&programs.cli, &["node", "token", "n1"], "");
    let token = String::from_utf8_lossy(&token.stdout).trim().to_owned();
    let (state, pins) = (folder("agent"), pins.join("n1").to_string_lossy().into_owned());
    let agent = ["--node", "n1", "--server", SERVER, "--token", &token];
    let agent = [&agent[..], &["--state-dir", &state, "--pin-dir", &pins]].concat();
    scene.start("host", &programs.agent, &agent);
    let service = ["nc", "-ll", "-p", SERVICE.1, "-e", "/bin/busybox", "echo", "hello"];
    scene.start("host", Path::new("busybox"), &service);
    let ready = ["wait", "--for=condition=Ready", "node/n1", "--timeout=1s"];
    node::until("the node", || scene.kubectl(&ready, "").status.success());
    node::until("the service", || scene.is_served());

    let applied = scene.kubectl(&["apply", "-f", "-"], CLOSED);
    assert!(applied.status.success(), "{}", node::text(&applied));
    node::until("the lock", || !scene.is_served());
    node::until("the change to be taken back on the host", || scene.is_served());
    let gone = scene.kubectl(&["get", "hostendpoint", "n1"], "");
    assert!(!gone.status.success() && node::text(&gone).contains("not found"));
}
