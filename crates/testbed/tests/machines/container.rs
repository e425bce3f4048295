//! A container as a runtime makes one: a namespace, the plugins of a chain one after the other, then
//! runc with a root of busybox.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use bulkhead_lab::Lab;
use serde_json::{Value, json};

use crate::node;

/// Where Debian puts the stock plugins.
const PLUGINS: &str = "/usr/lib/cni";
const BUSYBOX: &str = "/bin/busybox";

/// The network that a container is put into.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Network {
    /// All on one bridge of the node.
    Bridge,
    /// Each on a pair of its own, with a route.
    PointToPoint,
}

/// One container with its namespace; ended and removed when dropped.
pub struct Container<'a> {
    lab: &'a Lab,
    pub id: String,
    args: String,
    network: Network,
    pub result: Value,
}

impl Network {
    fn plugin(self, lab: &Lab) -> Value {
        let (name, kind, subnet) = match self {
            Network::Bridge => ("shop", "bridge", "10.88.0.0/24"),
            Network::PointToPoint => ("pairs", "ptp", "10.89.0.0/24"),
        };
        let leases = lab.claim().data_folder().join("leases");
        json!({
            "cniVersion": "1.0.0", "name": name, "type": kind, "bridge": "cni0", "isGateway": true,
            "ipam": {
                "type": "host-local", "subnet": subnet, "dataDir": leases,
                "routes": [{"dst": "0.0.0.0/0"}],
            },
        })
    }
}

impl<'a> Container<'a> {
    /// With a namespace and nothing in it. `who`: `CNI_ARGS` beyond the usual.
    pub fn new(lab: &'a Lab, name: &str, who: &str, network: Network) -> Self {
        let id = lab.claim().netns(name);
        assert!(Command::new("ip").args(["netns", "add", &id]).status().unwrap().success());
        let args = format!("IgnoreUnknown=1;{who}");
        Self { lab, id, args, network, result: Value::Null }
    }

    pub fn pod(lab: &'a Lab, name: &str, network: Network) -> Self {
        let who = format!("K8S_POD_NAMESPACE=shop;K8S_POD_NAME={name}");
        Self::new(lab, name, &who, network)
    }

    fn folder(&self) -> PathBuf {
        self.lab.claim().data_folder().join(&self.id)
    }

    /// One call of one plugin; what it printed, and whether it succeeded.
    pub fn call(&self, command: &str, plugin: &Path, config: &Value) -> (bool, Value) {
        let mut process = node::command(self.lab, &plugin.to_string_lossy());
        process
            .env("CNI_COMMAND", command)
            .env("CNI_CONTAINERID", &self.id)
            .env("CNI_NETNS", format!("/run/netns/{}", self.id))
            .env("CNI_IFNAME", "eth0")
            .env("CNI_PATH", PLUGINS)
            .env("CNI_ARGS", &self.args);
        let output = node::feed(process, &config.to_string());
        let said = serde_json::from_slice(&output.stdout).unwrap_or(Value::Null);
        (output.status.success(), said)
    }

    /// One call of ours, as the second in the chain.
    pub fn ours(&self, command: &str, version: &str, wait_s: f64) -> (bool, Value) {
        let config = json!({
            "cniVersion": version, "name": "shop", "type": "bulkhead-cni",
            "socket": node::agent_folder(self.lab).join("agent.sock"),
            "timeoutSeconds": wait_s, "prevResult": self.result,
        });
        let plugin = self.lab.programs().cli.with_file_name("bulkhead-cni");
        self.call(command, &plugin, &config)
    }

    /// The first plugin of the chain: makes the interface.
    pub fn connect(&mut self) {
        let config = self.network.plugin(self.lab);
        let kind = config["type"].as_str().unwrap().to_owned();
        let (is_made, result) = self.call("ADD", &Path::new(PLUGINS).join(kind), &config);
        assert!(is_made, "{result}");
        self.result = result;
    }

    /// The whole chain. The container may be started when this returns.
    pub fn add(&mut self) {
        self.connect();
        let (is_added, result) = self.ours("ADD", "1.0.0", 10.0);
        let log = |name: &str| {
            let path = self.lab.claim().data_folder().join(name);
            std::fs::read_to_string(path).unwrap_or_default()
        };
        assert!(is_added, "{result}\n{}\n{}", log("server.log"), log("agent-lab-1.log"));
        assert_eq!(result, self.result, "a result is passed on as it came");
    }

    pub fn address(&self) -> String {
        let cidr = self.result["ips"][0]["address"].as_str().unwrap_or_default();
        cidr.split('/').next().unwrap_or_default().to_owned()
    }

    /// The link address inside.
    pub fn mac(&self) -> String {
        let interfaces = self.result["interfaces"].as_array().cloned().unwrap_or_default();
        let inside = interfaces.iter().find(|interface| interface["name"] == "eth0");
        inside.and_then(|inside| inside["mac"].as_str()).unwrap_or_default().to_owned()
    }

    /// Runs a shell line as the container's first process.
    fn runc(&self, line: &str, is_detached: bool) -> Command {
        let bundle = self.folder().join(if is_detached { "service" } else { "task" });
        let bin = bundle.join("rootfs/bin");
        std::fs::create_dir_all(&bin).unwrap();
        std::fs::create_dir_all(bundle.join("rootfs/proc")).unwrap();
        std::fs::copy(BUSYBOX, bin.join("busybox"))
            .expect("a static busybox (Debian package busybox-static)");
        let capabilities = ["CAP_NET_ADMIN", "CAP_NET_RAW", "CAP_NET_BIND_SERVICE"];
        let spaces = ["pid", "mount", "ipc", "uts"].map(|kind| json!({"type": kind}));
        let network = json!({"type": "network", "path": format!("/run/netns/{}", self.id)});
        let spaces: Vec<Value> = spaces.into_iter().chain([network]).collect();
        let config = json!({
            "ociVersion": "1.0.2",
            "process": {
                "user": {"uid": 0, "gid": 0}, "cwd": "/", "env": ["PATH=/bin"],
                "args": ["/bin/busybox", "sh", "-ec", line],
                "capabilities": {
                    "bounding": capabilities, "effective": capabilities, "permitted": capabilities,
                },
            },
            "root": {"path": "rootfs"},
            "mounts": [{"destination": "/proc", "type": "proc", "source": "proc"}],
            "linux": {"namespaces": spaces},
        });
        std::fs::write(bundle.join("config.json"), config.to_string()).unwrap();
        let mut command = Command::new("runc");
        command.arg("--root").arg(self.lab.claim().data_folder().join("runc")).arg("run");
        if is_detached {
            command.arg("--detach").arg("--pid-file").arg(self.folder().join("pid"));
        }
        command.arg("--bundle").arg(&bundle);
        command.arg(format!("{}-{}", self.id, if is_detached { "service" } else { "task" }));
        command
    }

    /// Starts a service that goes on.
    pub fn serve(&self, line: &str) {
        let mut command = self.runc(line, true);
        let quiet = std::process::Stdio::null;
        let status = command.stdin(quiet()).stdout(quiet()).stderr(quiet()).status();
        assert!(status.expect("runc (Debian package runc)").success());
    }

    /// Runs a line to its end.
    pub fn run(&self, line: &str) -> Output {
        self.runc(line, false).output().expect("runc (Debian package runc)")
    }

    /// Whether a TCP server at `host:port` answers with its line; the first packet decides, there is no
    /// second attempt.
    pub fn reaches(&self, host: &str, port: u16) -> bool {
        let line = format!("busybox nc -w 1 {host} {port} </dev/null");
        String::from_utf8_lossy(&self.run(&line).stdout).contains("hello")
    }
}

/// A shell line that answers `hello` on TCP ports.
pub fn hello(ports: &[u16]) -> String {
    let servers =
        ports.iter().map(|port| format!("busybox nc -ll -p {port} -e /bin/busybox echo hello & "));
    format!("busybox ip link set lo up; {}wait", servers.collect::<String>())
}

impl Drop for Container<'_> {
    fn drop(&mut self) {
        let root = self.lab.claim().data_folder().join("runc");
        for kind in ["service", "task"] {
            let id = format!("{}-{kind}", self.id);
            let mut delete = Command::new("runc");
            delete.arg("--root").arg(&root).args(["delete", "--force", &id]);
            let _ = delete.output();
        }
        let _ = Command::new("ip").args(["netns", "del", &self.id]).output();
    }
}
