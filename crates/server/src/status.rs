//! The status writer: tells in each policy's and node's status how far enforcement has come.
//!
//! It writes like any client, so `kubectl get -w` shows what it writes. News are gathered for a
//! moment, so that a burst of changes is one write for each object. INVARIANT(status-is-output):
//! nothing that is written here is ever an input to a program.

pub mod conditions;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bulkhead_api::ObjectKey;
use bulkhead_apimachinery::{kinds, meta};
use bulkhead_store::{Key, Store};
use futures::StreamExt;
use jiff::Timestamp;

use self::conditions::{Moment, Progress};
use crate::objects::Objects;
use crate::registry::{NodeFacts, Presence, Registry, State};
use crate::shutdown::Shutdown;
use crate::upstream::Upstream;

/// News are gathered for so long.
const DEBOUNCE: Duration = Duration::from_millis(150);
/// Silence is news too: a node is lost when nothing happens.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Writes on their way at a time; they share one commit.
const WRITES_MAX: usize = 64;

pub struct StatusWriter {
    sink: StatusSink,
    registry: Arc<Registry>,
    server_start: Instant,
    /// Of the sink, when what is remembered below was written.
    epoch: u64,
    /// What was written last, so that what did not move is not even read.
    policies: BTreeMap<ObjectKey, Written>,
    nodes: BTreeMap<String, (NodeFacts, Presence)>,
}

/// Where statuses are written.
pub enum StatusSink {
    Own(Objects),
    Upstream(Upstream),
}

impl StatusSink {
    /// Moves when objects may be others than those that were written to.
    fn epoch(&self) -> u64 {
        match self {
            StatusSink::Own(_) => 0,
            StatusSink::Upstream(upstream) => upstream.epoch(),
        }
    }

    /// Of a node's conditions the one that is ours. In a cluster `Ready` is its kubelet's.
    fn node_condition(&self) -> &'static str {
        match self {
            StatusSink::Own(_) => "Ready",
            StatusSink::Upstream(_) => "BulkheadReady",
        }
    }

    fn uid(&self, key: &ObjectKey) -> Option<String> {
        let key = store_key(key);
        let stored = match self {
            StatusSink::Own(objects) => objects.store().get(&key),
            StatusSink::Upstream(upstream) => upstream.mirror().get(&key),
        };
        stored.map(|stored| meta::text(&stored.value, "uid").to_owned())
    }

    async fn update(
        &self,
        key: &Key,
        edit: impl Fn(&mut serde_json::Value) + Send + Sync,
    ) -> anyhow::Result<()> {
        match self {
            StatusSink::Own(objects) => {
                objects
                    .update_status(key, edit)
                    .await
                    .map_err(|status| anyhow::anyhow!("{status}"))?;
            }
            StatusSink::Upstream(upstream) => upstream.update_status(key, edit).await?,
        }
        Ok(())
    }
}

/// What the status of one policy says.
struct Written {
    progress: Progress,
    generation: i64,
    /// Of the object: another one of the same name says nothing yet.
    uid: Option<String>,
}

enum Task {
    Policy(ObjectKey, Progress, i64),
    Node(String, Box<NodeFacts>, Presence),
}

impl StatusWriter {
    pub fn new(sink: StatusSink, registry: Arc<Registry>, server_start: Instant) -> Self {
        let (policies, nodes) = (BTreeMap::new(), BTreeMap::new());
        Self { sink, registry, server_start, epoch: 0, policies, nodes }
    }

    pub async fn run(mut self, shutdown: Shutdown) -> anyhow::Result<()> {
        loop {
            tokio::select! {
                () = shutdown.wait() => return Ok(()),
                () = self.registry.moved() => tokio::time::sleep(DEBOUNCE).await,
                () = tokio::time::sleep(LOOK_EVERY) => {}
            }
            let moment = Moment {
                now: Instant::now(),
                clock: Timestamp::now(),
                server_start: self.server_start,
            };
            let state = self.registry.snapshot();
            self.write(&state, &moment).await;
        }
    }

    async fn write(&mut self, state: &State, moment: &Moment) {
        let epoch = self.sink.epoch();
        if epoch != self.epoch {
            // Objects of the same name may be others now.
            self.policies.clear();
            self.nodes.clear();
            self.epoch = epoch;
        }
        self.policies.retain(|key, _| state.policies.contains_key(key));
        self.nodes.retain(|name, _| state.nodes.contains_key(name));
        let tasks = self.tasks(state, moment);
        let sink = &self.sink;
        let written: Vec<Option<Task>> = futures::stream::iter(tasks)
            .map(|task| async move { put(sink, &task, moment).await.then_some(task) })
            .buffer_unordered(WRITES_MAX)
            .collect()
            .await;
        for task in written.into_iter().flatten() {
            match task {
                Task::Policy(key, progress, generation) => {
                    let uid = self.sink.uid(&key);
                    self.policies.insert(key, Written { progress, generation, uid });
                }
                Task::Node(name, facts, presence) => {
                    self.nodes.insert(name, (*facts, presence));
                }
            }
        }
    }

    /// What differs from what was written last.
    fn tasks(&self, state: &State, moment: &Moment) -> Vec<Task> {
        let policies = state.policies.iter().filter_map(|(key, placement)| {
            let progress = conditions::progress(placement, &state.nodes, moment)?;
            let is_written = self.policies.get(key).is_some_and(|written| {
                written.progress.says_the_same(&progress)
                    && written.generation == placement.generation
                    && written.uid == self.sink.uid(key)
            });
            (!is_written).then(|| Task::Policy(key.clone(), progress, placement.generation))
        });
        let nodes = state.nodes.iter().filter_map(|(name, facts)| {
            let presence = facts.presence(moment.server_start, moment.now);
            let is_written = self
                .nodes
                .get(name)
                .is_some_and(|(written, was)| *was == presence && says_the_same(written, facts));
            (!is_written).then(|| Task::Node(name.clone(), Box::new(facts.clone()), presence))
        });
        policies.chain(nodes).collect()
    }
}

impl Progress {
    /// `since_ns` moves with every later program; that is no news of this policy.
    fn says_the_same(&self, other: &Progress) -> bool {
        Progress { since_ns: other.since_ns, ..self.clone() } == *other
    }
}

/// Revisions and times move all the time; they are told by `…/enforcement`, not by objects.
fn says_the_same(written: &NodeFacts, facts: &NodeFacts) -> bool {
    let counts = |facts: &NodeFacts| {
        let status = &facts.status;
        let has_suppressed = status.log_events_suppressed > 0;
        (status.n_attached, status.n_waiting, status.flows_lost, has_suppressed)
    };
    written.refused == facts.refused
        && written.status.drift == facts.status.drift
        && counts(written) == counts(facts)
}

fn store_key(key: &ObjectKey) -> Key {
    let resource = kinds::by_id(key.kind).qualified_plural();
    Key::new(resource, key.namespace.clone(), key.name.clone())
}

/// Whether the object now says it, or is gone.
async fn put(sink: &StatusSink, task: &Task, moment: &Moment) -> bool {
    let (key, written) = match task {
        Task::Policy(key, progress, generation) => {
            let key = store_key(key);
            let change = |status: &mut serde_json::Value| {
                conditions::write_policy(status, progress, *generation, moment);
            };
            let written = sink.update(&key, change).await;
            (key, written)
        }
        Task::Node(name, facts, _) => {
            let key = Key::new("nodes", "", name.clone());
            let change = |status: &mut serde_json::Value| {
                conditions::write_node(status, sink.node_condition(), facts, moment);
            };
            let written = sink.update(&key, change).await;
            (key, written)
        }
    };
    match written {
        Ok(_) => true,
        Err(error) => {
            tracing::warn!(%key, %error, "a status cannot be written; it is tried again");
            false
        }
    }
}
