//! A world under enforcement: namespaces, a server, an agent a node, and probes.
//!
//! A lab is built once and reused: apply a set of policies, wait, probe, delete them, next set.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use bulkhead_api::Object;
use bulkhead_api::enforcement::Enforcement;
use bulkhead_api::object::Kind;
use futures::stream::{self, StreamExt, TryStreamExt};
use kube::Client;

use crate::claim::Claim;
use crate::control::{self, Agent, Server};
use crate::net::Net;
use crate::objects;
use crate::probe::{Outcome, Patience, Probe};
use crate::process::Programs;
use crate::world::World;

/// How long a change may take to be enforced everywhere before that is an error.
pub const ENFORCE_PATIENCE: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(2);
/// Objects written at the same time.
const PARALLEL: usize = 16;

/// A running world. Everything in it ends and goes when it is dropped.
pub struct Lab {
    pub patience: Patience,
    client: Client,
    agents: Vec<Agent>,
    server: Server,
    /// Serves the nodes, and takes its objects from `server`.
    follower: Option<(Server, Client)>,
    net: Arc<Net>,
    programs: Programs,
    claim: Arc<Claim>,
    nodes: Vec<String>,
    /// The newest resourceVersion that this lab's writes were answered with.
    written: AtomicU64,
}

impl Lab {
    /// Brings up a world: namespaces with listeners, the server, the agents, and all its objects.
    /// `objects` must have their addresses (see `api::addressing`).
    pub async fn up(objects: &[Object]) -> Result<Self> {
        Self::up_with(Programs::find()?, objects).await
    }

    /// Like [`Lab::up`], with these programs.
    pub async fn up_with(programs: Programs, objects: &[Object]) -> Result<Self> {
        let lab = Self::start_with(programs, objects, false).await?;
        lab.net.listen().await?;
        lab.apply(objects).await?;
        lab.wait_enforced().await?;
        Ok(lab)
    }

    /// Like [`Lab::up`], but nothing listens and no object is written yet.
    pub async fn bare(objects: &[Object]) -> Result<Self> {
        Self::start(objects, false).await
    }

    /// Like [`Lab::up`] with two servers: objects are written to one as to a cluster's API server; the
    /// other follows it and serves the nodes. When objects are in force is not waited for.
    pub async fn clustered(objects: &[Object]) -> Result<Self> {
        let lab = Self::start(objects, true).await?;
        lab.net.listen().await?;
        lab.apply(objects).await?;
        Ok(lab)
    }

    pub(crate) async fn start(objects: &[Object], is_clustered: bool) -> Result<Self> {
        Self::start_with(Programs::find()?, objects, is_clustered).await
    }

    async fn start_with(
        programs: Programs,
        objects: &[Object],
        is_clustered: bool,
    ) -> Result<Self> {
        let objects = with_nodes(objects);
        let world = World::from_objects(&objects)?;
        let claim = Arc::new(Claim::take()?);
        let started = Server::start(&claim, &programs);
        let (net, server) = tokio::join!(Net::up(Arc::clone(&claim), &world), started);
        let (net, server) = (Arc::new(net?), server?);
        let client = server.client().await?;
        let follower = match is_clustered {
            false => None,
            true => {
                let kubeconfig = server.kubeconfig().to_string_lossy().into_owned();
                let more = vec!["--kubeconfig".to_owned(), kubeconfig];
                let follower = Server::start_as("follower", &claim, &programs, more).await?;
                let client = follower.client().await?;
                Some((follower, client))
            }
        };
        let (of_nodes, its_client) =
            follower.as_ref().map_or((&server, &client), |(server, client)| (server, client));
        let mut agents = Vec::new();
        for node in &world.nodes {
            let netns = net.node(node).await?;
            let at = (node.as_str(), &netns);
            agents.push(Agent::start(&claim, &programs, of_nodes, its_client, at).await?);
        }
        let (written, nodes) = (AtomicU64::new(0), world.nodes);
        let patience = Patience::default();
        Ok(Self {
            patience,
            client,
            agents,
            server,
            follower,
            net,
            programs,
            claim,
            nodes,
            written,
        })
    }

    pub fn client(&self) -> &Client {
        &self.client
    }

    pub fn kubeconfig(&self) -> PathBuf {
        self.server.kubeconfig()
    }

    pub fn net(&self) -> &Arc<Net> {
        &self.net
    }

    pub fn claim(&self) -> &Arc<Claim> {
        &self.claim
    }

    pub fn programs(&self) -> &Programs {
        &self.programs
    }

    pub fn server(&mut self) -> &mut Server {
        &mut self.server
    }

    /// The server that follows the other one, in a clustered lab.
    pub fn follower(&mut self) -> Option<&mut Server> {
        self.follower.as_mut().map(|(server, _)| server)
    }

    pub fn agents(&mut self) -> &mut [Agent] {
        &mut self.agents
    }

    /// Writes objects like `kubectl apply`, and pods' addresses like a kubelet. Namespaces that they
    /// live in are made. Objects that are there already are changed to what is given.
    pub async fn apply(&self, objects: &[Object]) -> Result<()> {
        let objects = with_nodes(objects);
        for name in namespaces_left_out(&objects) {
            let version = control::create_namespace(&self.client, &name).await?;
            self.written.fetch_max(version, Ordering::SeqCst);
        }
        for rank in 0..=4 {
            let of_rank = objects.iter().filter(|object| objects::rank(object.kind()) == rank);
            stream::iter(of_rank)
                .map(|object| async move {
                    let version = control::apply(&self.client, object).await?;
                    self.written.fetch_max(version, Ordering::SeqCst);
                    anyhow::Ok(())
                })
                .buffer_unordered(PARALLEL)
                .try_collect::<()>()
                .await?;
        }
        Ok(())
    }

    /// Deletes objects; those that are gone already do not matter.
    pub async fn delete(&self, objects: &[Object]) -> Result<()> {
        for rank in (0..=4).rev() {
            let of_rank = objects.iter().filter(|object| objects::rank(object.kind()) == rank);
            stream::iter(of_rank)
                .map(|object| control::delete(&self.client, object))
                .buffer_unordered(PARALLEL)
                .try_collect::<()>()
                .await?;
        }
        let version = control::newest_version(&self.client).await?;
        self.written.fetch_max(version, Ordering::SeqCst);
        Ok(())
    }

    /// Returns when everything written so far is in force on all nodes; in a clustered lab, when
    /// everything is that the follower has heard: its revisions are its own.
    pub async fn wait_enforced(&self) -> Result<()> {
        let version = self.written.load(Ordering::SeqCst);
        let until = Instant::now() + ENFORCE_PATIENCE;
        loop {
            let now = self.enforcement().await?;
            if now.has_reached(version, &self.nodes) && none_waits(&now) {
                return Ok(());
            }
            self.check()?;
            if Instant::now() > until {
                bail!(
                    "resourceVersion {version} is not enforced after {ENFORCE_PATIENCE:?}: {}",
                    serde_json::to_string(&now)?
                );
            }
            tokio::time::sleep(POLL).await;
        }
    }

    /// After the server's state was set back: what was written meanwhile never was.
    pub async fn forget_written(&self) -> Result<()> {
        let version = control::newest_version(&self.client).await?;
        self.written.store(version, Ordering::SeqCst);
        Ok(())
    }

    /// How far enforcement is now.
    pub async fn enforcement(&self) -> Result<Enforcement> {
        let client = self.follower.as_ref().map_or(&self.client, |(_, client)| client);
        control::enforcement(client).await
    }

    /// What the API serves at a path.
    pub async fn get(&self, path: &str) -> Result<serde_json::Value> {
        let request = hyper::Request::get(path).body(Vec::new())?;
        self.client.request(request).await.with_context(|| format!("cannot get `{path}`"))
    }

    /// Tries connections; see [`Net::probe`].
    pub async fn probe(&self, probes: &[Probe]) -> Result<Vec<Outcome>> {
        self.net.probe(probes, &self.patience).await
    }

    /// Whether one connection comes about.
    pub async fn connects(&self, probe: &Probe) -> Result<bool> {
        let outcomes = self.probe(std::slice::from_ref(probe)).await?;
        Ok(outcomes.iter().all(|outcome| outcome.connected))
    }

    /// An error if one of the programs has ended by itself.
    pub fn check(&self) -> Result<()> {
        self.server.process().check()?;
        self.agents.iter().try_for_each(|agent| agent.process().check())
    }
}

fn none_waits(enforcement: &Enforcement) -> bool {
    enforcement.nodes.iter().all(|node| node.waiting.is_empty())
}

/// The objects with a node for each endpoint that names none.
pub fn with_nodes(objects: &[Object]) -> Vec<Object> {
    let unset = |node: &Option<String>| node.as_deref().unwrap_or_default().is_empty();
    let mut objects = objects.to_vec();
    for object in &mut objects {
        match object {
            Object::Pod(pod) => {
                let spec = pod.spec.get_or_insert_default();
                if unset(&spec.node_name) {
                    spec.node_name = Some(crate::world::DEFAULT_NODE.to_owned());
                }
            }
            Object::Workload(workload) if unset(&workload.spec.node_name) => {
                workload.spec.node_name = Some(crate::world::DEFAULT_NODE.to_owned());
            }
            _ => {}
        }
    }
    objects
}

/// Namespaces that objects live in without bringing them along.
fn namespaces_left_out(objects: &[Object]) -> BTreeSet<String> {
    let of_kind = |object: &&Object| object.kind() == Kind::Namespace;
    let declared: BTreeSet<String> =
        objects.iter().filter(of_kind).map(|object| object.key().name).collect();
    let used = objects.iter().map(|object| object.key().namespace);
    used.filter(|name| !name.is_empty() && !declared.contains(name)).collect()
}
