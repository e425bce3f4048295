//! The controller: the store's history in, one program for each node out.
//!
//! One task owns the compiled model. It reads the store once, then follows it; what is pending is
//! taken together, compiled once and published. Nothing here waits for a node: a program is put where
//! the node's session finds it.
//!
//! Revisions begin at the store's own revision and rise by at most one with each write of the store, so
//! they stay below it and never go back over a restart, without being kept anywhere. Where a node has
//! seen a higher one all the same (its server was restored from a backup), its next program is numbered
//! above that.

mod clock;
pub mod compiler;
pub mod directory;
pub mod given;
pub mod held;
pub mod owners;
pub mod publish;
pub mod reachability;
mod twin;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use bulkhead_api::reach::{ReachChanges, ReachReport};
use bulkhead_api::{Object, ObjectKey};
use bulkhead_apimachinery::kinds;
use bulkhead_store::{Event, Key, ListRequest, ResourceVersion, Scope, Store, Stored};
use bulkhead_types::Revision;
use tokio::sync::{mpsc, oneshot, watch};

use self::compiler::{Compiler, Placed};
use self::directory::Directory;
use self::given::{Given, GivenOut};
use self::held::Held;
use self::publish::{Outlet, Published};
use self::reachability::{ReachQuestion, ReachRefused};
use crate::registry::{Compiled, Placement, Registry};
use crate::shutdown::Shutdown;

/// Answers about the whole model that wait at a time; more wait in line.
const QUESTIONS_QUEUED_MAX: usize = 16;
/// A clock that was set is noticed after this long at the latest.
const CLOCK_READ_EVERY: Duration = Duration::from_secs(10);
/// Sessions that wait for their program at a time; more wait in line.
const ASKS_QUEUED_MAX: usize = 256;

/// A session's question: where do I find the program of this node?
struct Ask {
    node: String,
    /// The node's next program, if it is another one, must be numbered above this.
    seen: Revision,
    digest: u64,
    answer: oneshot::Sender<watch::Receiver<Published>>,
}

/// How sessions reach the controller; cheap to clone.
#[derive(Clone)]
pub struct Programs {
    asks: mpsc::Sender<Ask>,
    questions: mpsc::Sender<ReachQuestion>,
    given: mpsc::Sender<(String, GivenOut)>,
}

#[derive(Debug, thiserror::Error)]
#[error("the controller has ended")]
pub struct ControllerGone;

impl Programs {
    /// The programs of a node, the present one first. A node without workloads has an empty one.
    pub async fn subscribe(
        &self,
        node: &str,
        seen: Revision,
        digest: u64,
    ) -> Result<watch::Receiver<Published>, ControllerGone> {
        let (answer, answered) = oneshot::channel();
        let ask = Ask { node: node.to_owned(), seen, digest, answer };
        self.asks.send(ask).await.map_err(|_| ControllerGone)?;
        answered.await.map_err(|_| ControllerGone)
    }

    /// Addresses that a node's container runtime has given out, all that there are now.
    pub async fn given(&self, node: &str, given: GivenOut) -> Result<(), ControllerGone> {
        self.given.send((node.to_owned(), given)).await.map_err(|_| ControllerGone)
    }

    /// The connections of these workloads, or of all where none is named.
    pub async fn reach(
        &self,
        workloads: BTreeSet<String>,
    ) -> Result<Result<ReachReport, ReachRefused>, ControllerGone> {
        let (answer, answered) = oneshot::channel();
        let question = ReachQuestion::Connections(workloads, answer);
        self.questions.send(question).await.map_err(|_| ControllerGone)?;
        answered.await.map_err(|_| ControllerGone)
    }

    /// What writes after this resourceVersion altered.
    pub async fn reach_changes(&self, since: u64) -> Result<ReachChanges, ControllerGone> {
        let (answer, answered) = oneshot::channel();
        let question = ReachQuestion::Changes(since, answer);
        self.questions.send(question).await.map_err(|_| ControllerGone)?;
        answered.await.map_err(|_| ControllerGone)
    }
}

pub struct Controller {
    store: Arc<dyn Store>,
    compiler: Compiler,
    outlets: BTreeMap<String, Outlet>,
    registry: Arc<Registry>,
    directory: Arc<Directory>,
    asks: mpsc::Receiver<Ask>,
    questions: mpsc::Receiver<ReachQuestion>,
    told: mpsc::Receiver<(String, GivenOut)>,
    given: Given,
    /// Everything up to here is compiled.
    reached: ResourceVersion,
}

impl Controller {
    pub fn new(
        store: Arc<dyn Store>,
        registry: Arc<Registry>,
        directory: Arc<Directory>,
    ) -> (Self, Programs) {
        let (ask, asks) = mpsc::channel(ASKS_QUEUED_MAX);
        let (question, questions) = mpsc::channel(QUESTIONS_QUEUED_MAX);
        let (given, told) = mpsc::channel(ASKS_QUEUED_MAX);
        let controller = Self {
            compiler: Compiler::after(Revision(store.revision().0)),
            reached: ResourceVersion(0),
            outlets: BTreeMap::new(),
            store,
            registry,
            directory,
            asks,
            questions,
            told,
            given: Given::default(),
        };
        (controller, Programs { asks: ask, questions: question, given })
    }

    /// Follows the store until shutdown.
    pub async fn run(mut self, shutdown: Shutdown) -> anyhow::Result<()> {
        self.read_all()?;
        let mut changes = self
            .store
            .watch(self.reached, Scope::Everything)
            .context("the store cannot be followed")?;
        loop {
            let until_expiry = self.until_expiry();
            tokio::select! {
                biased;
                () = shutdown.wait() => return Ok(()),
                events = changes.next() => match events {
                    // The store hands out what is pending as one list: that is the batch.
                    Some(Ok(events)) => {
                        let now = Instant::now();
                        for event in &events {
                            self.take_event(event, now);
                        }
                        self.publish(changes.seen());
                    }
                    Some(Err(expired)) => {
                        return Err(expired).context("the controller fell behind the store");
                    }
                    None => return Ok(()),
                },
                Some(ask) = self.asks.recv() => self.answer(ask),
                Some((node, given)) = self.told.recv() => self.take_given(node, given),
                () = tokio::time::sleep(until_expiry) => {
                    if self.until_expiry().is_zero() {
                        self.publish(self.reached);
                    }
                }
                Some(question) = self.questions.recv() => {
                    let held = Held::new(Arc::clone(&self.store), self.reached);
                    self.compiler.answer(question, &held, Instant::now());
                }
                made = self.compiler.made() => {
                    let held = Held::new(Arc::clone(&self.store), self.reached);
                    self.compiler.take(made, &held);
                }
            }
        }
    }

    /// How long until a policy expires, or until the clock is to be read again.
    fn until_expiry(&self) -> Duration {
        let Some(expiry) = self.compiler.next_expiry() else { return CLOCK_READ_EVERY };
        let left = expiry.0.saturating_sub(clock::now().0);
        let left = u64::try_from(left.max(0)).unwrap_or(u64::MAX);
        Duration::from_nanos(left).min(CLOCK_READ_EVERY)
    }

    fn read_all(&mut self) -> anyhow::Result<()> {
        let page = self.store.list(&ListRequest::all(Scope::Everything))?;
        let now = Instant::now();
        for stored in &page.items {
            self.take_state(stored, now);
        }
        self.publish(page.revision);
        tracing::info!(objects = page.items.len(), revision = %page.revision, "compiled");
        Ok(())
    }

    fn take_event(&mut self, event: &Event, now: Instant) {
        match (&event.old, &event.new) {
            (Some(old), Some(new)) if says_the_same(old, new) => {}
            (_, Some(new)) => self.take_state(new, now),
            (_, None) => {
                let Some(key) = object_key(&event.key) else { return };
                self.directory.remove(&key, now);
                self.compiler.delete(key);
            }
        }
    }

    /// What has not come by the watch yet comes by it again.
    fn take_given(&mut self, node: String, given: GivenOut) {
        let keys = self.given.replace(node, given);
        let now = Instant::now();
        let known: Vec<_> = keys.iter().filter_map(|key| self.store.get(key)).collect();
        for stored in known {
            self.take_state(&stored, now);
        }
        if !keys.is_empty() {
            self.publish(self.reached);
        }
    }

    fn take_state(&mut self, stored: &Stored, now: Instant) {
        if object_key(&stored.key).is_none() {
            return;
        }
        match Object::from_value(stored.value.clone()) {
            Ok(mut object) => {
                self.given.lend(&mut object, &self.directory);
                self.directory.upsert(&object, now);
                self.compiler.upsert(object);
            }
            // The front door lets nothing malformed in; an older version's data may be.
            Err(error) => {
                tracing::error!(key = %stored.key, %error, "an object is not understood");
            }
        }
    }

    fn publish(&mut self, reached: ResourceVersion) {
        self.reached = reached;
        let output = self.compiler.compile(clock::now());
        for (node, step) in &output.steps {
            self.outlets.entry(node.clone()).or_default().publish(Arc::clone(step));
        }
        for node in &output.removed {
            self.outlets.entry(node.clone()).or_default().empty();
        }
        let moved = output.steps.keys().chain(&output.removed);
        let wanted = moved.map(|node| (node.clone(), self.wanted(node))).collect();
        let place = |placed: Placed| Placement {
            required: placed.nodes.iter().map(|node| (node.clone(), self.wanted(node))).collect(),
            generation: placed.generation,
            errors: placed.errors,
            is_rewritten: placed.is_rewritten,
            standing: placed.standing,
        };
        let policies =
            output.policies.into_iter().map(|(key, placed)| (key, placed.map(place))).collect();
        self.compiler.follow(reached.0, Instant::now());
        self.registry.compiled(Compiled {
            resource_version: reached.0,
            wanted,
            removed: output.removed,
            policies,
        });
    }

    fn wanted(&self, node: &str) -> Revision {
        self.outlets.get(node).map_or(Revision(0), Outlet::revision)
    }

    fn answer(&mut self, ask: Ask) {
        let outlet = self.outlets.entry(ask.node.clone()).or_default();
        if outlet.revision() == Revision(0) {
            outlet.renumber(Revision(self.reached.0.max(1)));
        }
        let receiver = outlet.subscribe();
        let revision = outlet.revision();
        // The digest is worth its time only where two servers may have used one number.
        let is_overtaken = ask.seen > revision
            || (ask.seen == revision && ask.digest != receiver.borrow().program().digest());
        if is_overtaken {
            outlet.renumber(ask.seen.next());
        }
        let wanted = outlet.revision();
        self.registry.compiled(Compiled {
            resource_version: self.reached.0,
            wanted: vec![(ask.node, wanted)],
            ..Compiled::default()
        });
        // A session that has gone meanwhile needs no answer.
        drop(ask.answer.send(receiver));
    }
}

/// Whether two states differ only in what no program is made of: bookkeeping, and the status of
/// everything but pods and the addresses of nodes.
fn says_the_same(old: &Stored, new: &Stored) -> bool {
    const METADATA: [&str; 5] = [
        "/metadata/labels",
        "/metadata/generation",
        "/metadata/annotations",
        "/metadata/ownerReferences",
        // Of nodes; all else in their status is bookkeeping.
        "/status/addresses",
    ];
    let (before, after) = (&old.value, &new.value);
    let is_same = |pointer: &&str| before.pointer(pointer) == after.pointer(pointer);
    let is_said =
        |name: &str| name != "metadata" && (name != "status" || new.key.resource == "pods");
    let (Some(old), Some(now)) = (old.value.as_object(), new.value.as_object()) else {
        return false;
    };
    let mut names = old.keys().chain(now.keys()).filter(|name| is_said(name));
    METADATA.iter().all(is_same) && names.all(|name| old.get(name) == now.get(name))
}

/// `None` for what is no object of a policy, such as join tokens.
fn object_key(key: &Key) -> Option<ObjectKey> {
    let resource = kinds::all().iter().find(|r| r.qualified_plural() == key.resource)?;
    Some(ObjectKey { kind: resource.id, namespace: key.namespace.clone(), name: key.name.clone() })
}

#[cfg(test)]
mod tests;
