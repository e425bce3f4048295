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
use bulkhead_apimachinery::kinds;
use bulkhead_store::Key;
use futures::StreamExt;
use jiff::Timestamp;

use self::conditions::{Moment, Progress};
use crate::objects::Objects;
use crate::registry::{NodeFacts, Presence, Registry, State};
use crate::shutdown::Shutdown;

/// News are gathered for so long.
const DEBOUNCE: Duration = Duration::from_millis(150);
/// Silence is news too: a node is lost when nothing happens.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Writes on their way at a time; they share one commit.
const WRITES_MAX: usize = 64;

pub struct StatusWriter {
    objects: Objects,
    registry: Arc<Registry>,
    server_start: Instant,
    /// What was written last, so that what did not move is not even read.
    policies: BTreeMap<ObjectKey, (Progress, i64)>,
    nodes: BTreeMap<String, (NodeFacts, Presence)>,
}

enum Task {
    Policy(ObjectKey, Progress, i64),
    Node(String, Box<NodeFacts>, Presence),
}

impl StatusWriter {
    pub fn new(objects: Objects, registry: Arc<Registry>, server_start: Instant) -> Self {
        Self { objects, registry, server_start, policies: BTreeMap::new(), nodes: BTreeMap::new() }
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
        self.policies.retain(|key, _| state.policies.contains_key(key));
        self.nodes.retain(|name, _| state.nodes.contains_key(name));
        let tasks = self.tasks(state, moment);
        let objects = &self.objects;
        let written: Vec<Option<Task>> = futures::stream::iter(tasks)
            .map(|task| async move { put(objects, &task, moment).await.then_some(task) })
            .buffer_unordered(WRITES_MAX)
            .collect()
            .await;
        for task in written.into_iter().flatten() {
            match task {
                Task::Policy(key, progress, generation) => {
                    self.policies.insert(key, (progress, generation));
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
            let is_written = self.policies.get(key).is_some_and(|(written, generation)| {
                written.says_the_same(&progress) && *generation == placement.generation
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
        (facts.status.n_attached, facts.status.n_waiting, facts.status.flows_lost)
    };
    written.refused == facts.refused
        && written.status.drift == facts.status.drift
        && counts(written) == counts(facts)
}

/// Whether the object now says it, or is gone.
async fn put(objects: &Objects, task: &Task, moment: &Moment) -> bool {
    let (key, written) = match task {
        Task::Policy(key, progress, generation) => {
            let resource = kinds::by_id(key.kind).qualified_plural();
            let key = Key::new(resource, key.namespace.clone(), key.name.clone());
            let change = |status: &mut serde_json::Value| {
                conditions::write_policy(status, progress, *generation, moment);
            };
            let written = objects.update_status(&key, change).await;
            (key, written)
        }
        Task::Node(name, facts, _) => {
            let key = Key::new("nodes", "", name.clone());
            let change = |status: &mut serde_json::Value| {
                conditions::write_node(status, facts, moment);
            };
            let written = objects.update_status(&key, change).await;
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
