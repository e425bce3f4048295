//! The control plane of a lab: one server and one agent a node, started like a user would.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use bulkhead_api::Object;
use bulkhead_api::enforcement::{self, Enforcement};
use k8s_openapi::api::core::v1::Namespace;
use kube::Client;
use kube::api::{Api, DeleteParams, DynamicObject, ListParams, Patch, PatchParams, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::claim::Claim;
use crate::netns::NetNs;
use crate::objects;
use crate::process::{Process, Programs};

/// How long a program may take to be ready.
const START_PATIENCE: Duration = Duration::from_secs(20);
const POLL: Duration = Duration::from_millis(10);

/// Who writes the objects, in `managedFields`.
const MANAGER: &str = "bulkhead-lab";

#[derive(Debug)]
pub struct Server {
    process: Process,
    /// `None` while the server is down.
    addresses: (String, String),
    data: PathBuf,
    claim: Arc<Claim>,
    program: PathBuf,
    name: String,
    more: Vec<String>,
}

impl Server {
    pub async fn start(claim: &Arc<Claim>, programs: &Programs) -> Result<Self> {
        Self::start_as("server", claim, programs, Vec::new()).await
    }

    /// With a name of its own, which its data folder and its log bear, and with more arguments.
    pub async fn start_as(
        name: &str,
        claim: &Arc<Claim>,
        programs: &Programs,
        more: Vec<String>,
    ) -> Result<Self> {
        let (name, data) = (name.to_owned(), claim.data_folder().join(name));
        let any = "127.0.0.1:0".to_owned();
        let program = programs.server.clone();
        let process = spawn_server((claim, &name), &program, &data, (&any, &any), &more)?;
        let addresses = ready(&data, &process).await?;
        Ok(Self { process, addresses, data, claim: Arc::clone(claim), program, name, more })
    }

    pub fn data_folder(&self) -> &std::path::Path {
        &self.data
    }

    /// Address of the API and of the node service.
    pub fn addresses(&self) -> (&str, &str) {
        (&self.addresses.0, &self.addresses.1)
    }

    pub fn kubeconfig(&self) -> PathBuf {
        self.data.join("admin.kubeconfig")
    }

    pub fn process(&self) -> &Process {
        &self.process
    }

    pub async fn client(&self) -> Result<Client> {
        let kubeconfig = Kubeconfig::read_from(self.kubeconfig())?;
        let options = KubeConfigOptions::default();
        let config = kube::Config::from_custom_kubeconfig(kubeconfig, &options).await?;
        Ok(Client::try_from(config)?)
    }

    pub async fn kill(&mut self) -> Result<()> {
        self.process.stop(Signal::SIGKILL).await
    }

    /// Where it keeps its objects and keys.
    pub fn data(&self) -> &std::path::Path {
        &self.data
    }

    /// Starts again on the same ports and data.
    pub async fn restart(&mut self) -> Result<()> {
        std::fs::remove_file(self.data.join("ready.json")).ok();
        let (api, nodes) = (self.addresses.0.as_str(), self.addresses.1.as_str());
        let who = (&self.claim, self.name.as_str());
        self.process = spawn_server(who, &self.program, &self.data, (api, nodes), &self.more)?;
        self.addresses = ready(&self.data, &self.process).await?;
        Ok(())
    }
}

fn spawn_server(
    (claim, name): (&Arc<Claim>, &str),
    program: &std::path::Path,
    data: &std::path::Path,
    (api, nodes): (&str, &str),
    more: &[String],
) -> Result<Process> {
    let data = data.to_string_lossy().into_owned();
    let args = ["--data-dir", &data, "--listen", api, "--node-listen", nodes].map(str::to_owned);
    let args: Vec<String> = args.into_iter().chain(more.iter().cloned()).collect();
    Process::start(claim, name, program, &args)
}

/// Waits until the server says where it serves.
async fn ready(data: &std::path::Path, process: &Process) -> Result<(String, String)> {
    let until = Instant::now() + START_PATIENCE;
    let path = data.join("ready.json");
    loop {
        let text = std::fs::read_to_string(&path).unwrap_or_default();
        let ready: Option<Value> = serde_json::from_str(&text).ok();
        let address = |name: &str| Some(ready.as_ref()?.get(name)?.as_str()?.to_owned());
        if let (Some(api), Some(nodes)) = (address("api"), address("nodes")) {
            return Ok((api, nodes));
        }
        process.check()?;
        if Instant::now() > until {
            bail!(
                "the server is not ready after {START_PATIENCE:?}: `{}`",
                process.log().display()
            );
        }
        tokio::time::sleep(POLL).await;
    }
}

#[derive(Debug)]
pub struct Agent {
    process: Process,
    claim: Arc<Claim>,
    program: PathBuf,
    name: String,
    node: String,
    args: Vec<String>,
    environment: Vec<(String, String)>,
    state: PathBuf,
    pins: PathBuf,
}

impl Agent {
    /// Starts the agent of a node with a fresh join token.
    pub async fn start(
        claim: &Arc<Claim>,
        programs: &Programs,
        server: &Server,
        client: &Client,
        (node, netns): (&str, &NetNs),
    ) -> Result<Self> {
        let token = join_token(client, node).await?;
        let folder = |kind: &str| claim.data_folder().join(format!("{kind}-{}", netns.name));
        let pins = claim.pin_folder().join(&netns.name);
        let state = folder("agent");
        let token_file = folder("token");
        std::fs::write(&token_file, token)?;
        let args = [
            ("--node", node.to_owned()),
            ("--server", server.addresses().1.to_owned()),
            ("--token-file", token_file.to_string_lossy().into_owned()),
            ("--state-dir", state.to_string_lossy().into_owned()),
            ("--netns", netns.path().to_string_lossy().into_owned()),
            ("--interface-prefix", "bhl".to_owned()),
            ("--pin-dir", pins.to_string_lossy().into_owned()),
            ("--backend", programs.backend.clone()),
        ];
        let args: Vec<String> =
            args.into_iter().flat_map(|(flag, value)| [flag.to_owned(), value]).collect();
        let name = format!("agent-{node}");
        let process = Process::start(claim, &name, &programs.agent, &args)?;
        let (claim, program, node) = (Arc::clone(claim), programs.agent.clone(), node.to_owned());
        let environment = Vec::new();
        Ok(Self { process, claim, program, name, node, args, environment, state, pins })
    }

    pub fn node(&self) -> &str {
        &self.node
    }

    pub fn process(&self) -> &Process {
        &self.process
    }

    pub async fn kill(&mut self) -> Result<()> {
        self.process.stop(Signal::SIGKILL).await
    }

    /// Asks it to end, and waits for that.
    pub async fn end(&mut self) -> Result<()> {
        self.process.stop(Signal::SIGTERM).await
    }

    /// Where it keeps its identity and its program.
    pub fn state(&self) -> &std::path::Path {
        &self.state
    }

    /// Where its kernel objects are pinned.
    pub fn pins(&self) -> &std::path::Path {
        &self.pins
    }

    /// A variable that it has from its next start on.
    pub fn set_variable(&mut self, name: &str, value: String) {
        self.environment.retain(|(known, _)| known != name);
        self.environment.push((name.to_owned(), value));
    }

    /// A flag that it has from its next start on.
    pub fn set_flag(&mut self, flag: &str, value: String) {
        if let Some(at) = self.args.iter().position(|known| known == flag) {
            self.args.drain(at..at + 2);
        }
        self.args.extend([flag.to_owned(), value]);
    }

    /// Starts again on the same state, without a new token's help.
    pub fn restart(&mut self) -> Result<()> {
        self.restart_within(&[])
    }

    /// The same inside another program, which is given the agent's command line.
    pub fn restart_within(&mut self, wrapper: &[String]) -> Result<()> {
        let own = self.program.to_string_lossy().into_owned();
        let mut line = wrapper.iter().cloned().chain([own]).chain(self.args.iter().cloned());
        let program = PathBuf::from(line.next().unwrap_or_default());
        let args: Vec<String> = line.collect();
        let (claim, environment) = (&self.claim, &self.environment);
        self.process = Process::start_in(claim, &self.name, &program, &args, environment)?;
        Ok(())
    }
}

async fn join_token(client: &Client, node: &str) -> Result<String> {
    let body = json!({
        "apiVersion": "bulkhead.dev/v1", "kind": "JoinToken",
        "spec": {"node": node, "ttlSeconds": 600},
    });
    let request = hyper::Request::post("/apis/bulkhead.dev/v1/jointokens")
        .header("content-type", "application/json")
        .body(body.to_string().into_bytes())?;
    let answer: Value = client
        .request(request)
        .await
        .with_context(|| format!("cannot get a join token for node `{node}`"))?;
    let token = answer.pointer("/status/token").and_then(Value::as_str);
    Ok(token.context("the answer has no `status.token`")?.to_owned())
}

/// Writes one object with its status; gives the resourceVersion that it has then.
pub async fn apply(client: &Client, object: &Object) -> Result<u64> {
    let failed = || format!("cannot write {:?}", object.key());
    let api = api_for(client, object);
    let wanted = objects::dynamic(object)?;
    let name = wanted.metadata.name.clone().unwrap_or_default();
    let params = PatchParams::apply(MANAGER).force();
    let mut written =
        api.patch(&name, &params, &Patch::Apply(&wanted)).await.with_context(failed)?;
    if let Some(status) = objects::status(object)? {
        let patch = Patch::Merge(json!({"status": status}));
        let params = PatchParams::default();
        written = api.patch_status(&name, &params, &patch).await.with_context(failed)?;
    }
    version(written.metadata.resource_version.as_deref())
}

/// Makes a namespace where there is none; one that is there stays as it is.
pub async fn create_namespace(client: &Client, name: &str) -> Result<u64> {
    let api: Api<Namespace> = Api::all(client.clone());
    let mut namespace = Namespace::default();
    namespace.metadata.name = Some(name.to_owned());
    match api.create(&PostParams::default(), &namespace).await {
        Ok(made) => version(made.metadata.resource_version.as_deref()),
        Err(kube::Error::Api(status)) if status.code == 409 => Ok(0),
        Err(error) => Err(error).with_context(|| format!("cannot make the namespace `{name}`")),
    }
}

/// Deletes one object, if it is there.
pub async fn delete(client: &Client, object: &Object) -> Result<()> {
    let name = object.metadata().name.clone().unwrap_or_default();
    match api_for(client, object).delete(&name, &DeleteParams::default()).await {
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
        deleted => {
            deleted.with_context(|| format!("cannot delete {:?}", object.key()))?;
            Ok(())
        }
    }
}

/// The resourceVersion of the store now: answers to deletions do not tell theirs.
pub async fn newest_version(client: &Client) -> Result<u64> {
    let api: Api<Namespace> = Api::all(client.clone());
    let list = api.list(&ListParams::default().limit(1)).await?;
    version(list.metadata.resource_version.as_deref())
}

pub async fn enforcement(client: &Client) -> Result<Enforcement> {
    let request = hyper::Request::get(enforcement::PATH).body(Vec::new())?;
    client.request(request).await.context("cannot ask how far enforcement has come")
}

fn api_for(client: &Client, object: &Object) -> Api<DynamicObject> {
    let resource = objects::resource(object.kind());
    if object.kind().is_namespaced() {
        Api::namespaced_with(client.clone(), &object.key().namespace, &resource)
    } else {
        Api::all_with(client.clone(), &resource)
    }
}

fn version(text: Option<&str>) -> Result<u64> {
    let text = text.unwrap_or_default();
    text.parse().with_context(|| format!("the resourceVersion `{text}` is no number"))
}
