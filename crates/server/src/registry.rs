//! What is known of nodes and policies right now: the one table that the controller, the sessions and
//! the status writer share.
//!
//! Each fact has one writer: the controller says what is wanted, a node's session what it enforces.
//! Held in memory only: after a restart the nodes tell again.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bulkhead_api::ObjectKey;
use bulkhead_api::enforcement::{Enforcement, NodeEnforcement};
use bulkhead_types::Revision;
use bulkhead_wire::{Ack, FromNode, Hello, Nack, NodeStatus};
use tokio::sync::Notify;

/// A node that has not been heard of for so long is lost. Its kernel goes on enforcing.
pub const NODE_LOST_AFTER: Duration = Duration::from_secs(10);

#[derive(Debug, Default)]
pub struct Registry {
    state: Mutex<State>,
    moved: Notify,
}

#[derive(Clone, Debug, Default)]
pub struct State {
    /// Every write up to here is in the wanted programs.
    pub resource_version: u64,
    pub nodes: BTreeMap<String, NodeFacts>,
    pub policies: BTreeMap<ObjectKey, Placement>,
    sessions: u64,
}

/// One node.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct NodeFacts {
    /// The newest program made for it.
    pub wanted: Revision,
    pub enforced: Revision,
    pub enforced_at_ns: u64,
    /// A later program that its kernel did not take, and why.
    pub refused: Option<(Revision, String)>,
    pub status: NodeStatus,
    /// The open session, if there is one.
    pub session: Option<u64>,
    /// In this life of the server; unset when the node has not come yet.
    pub heard: Option<Instant>,
}

/// Where one policy is to be enforced, and from which revision of each node on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Placement {
    pub required: BTreeMap<String, Revision>,
    pub generation: i64,
    /// Why it cannot be enforced as written; it is enforced as far as it can be understood.
    pub errors: Vec<String>,
    /// Its rules are new: whatever a node enforced of it before does not count.
    pub is_rewritten: bool,
    pub standing: Standing,
}

/// Whether a policy is to be enforced at all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Standing {
    #[default]
    InForce,
    /// It says what an enforced policy is to become; no packet meets it.
    Staged,
    /// It has ceased to apply; the words say when.
    Expired(String),
}

/// How a node is seen at some moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presence {
    /// Has not come since this server started, and might still.
    Expected,
    Here,
    Lost,
}

impl NodeFacts {
    pub fn presence(&self, server_start: Instant, now: Instant) -> Presence {
        let since = self.heard.unwrap_or(server_start);
        match (self.session, self.heard) {
            (Some(_), _) => Presence::Here,
            _ if now.saturating_duration_since(since) >= NODE_LOST_AFTER => Presence::Lost,
            (None, Some(_)) => Presence::Here,
            (None, None) => Presence::Expected,
        }
    }
}

/// What the controller found.
#[derive(Debug, Default)]
pub struct Compiled {
    pub resource_version: u64,
    pub wanted: Vec<(String, Revision)>,
    pub removed: Vec<String>,
    /// Policies that are new, moved or gone (`None`).
    pub policies: Vec<(ObjectKey, Option<Placement>)>,
}

impl Registry {
    /// Wakes when anything has moved since the last time.
    pub async fn moved(&self) {
        self.moved.notified().await;
    }

    pub fn snapshot(&self) -> State {
        self.lock().clone()
    }

    pub fn compiled(&self, compiled: Compiled) {
        let mut state = self.lock();
        for (node, revision) in compiled.wanted {
            state.nodes.entry(node).or_default().wanted = revision;
        }
        for (key, placement) in compiled.policies {
            match placement {
                Some(placement) => state.place(key, placement),
                None => drop(state.policies.remove(&key)),
            }
        }
        for node in compiled.removed {
            // One with a session is still a node that has to be told.
            if state.nodes.get(&node).is_some_and(|facts| facts.session.is_none()) {
                state.nodes.remove(&node);
            }
        }
        state.resource_version = compiled.resource_version;
        drop(state);
        self.moved.notify_one();
    }

    /// Opens a session; an older one of the same node is no longer the node's.
    pub fn open(&self, node: &str, hello: &Hello, now: Instant) -> u64 {
        let mut state = self.lock();
        state.sessions += 1;
        let session = state.sessions;
        let facts = state.nodes.entry(node.to_owned()).or_default();
        facts.session = Some(session);
        facts.heard = Some(now);
        facts.enforced = hello.enforces;
        facts.refused = None;
        drop(state);
        self.moved.notify_one();
        session
    }

    pub fn close(&self, node: &str, session: u64) {
        let mut state = self.lock();
        if let Some(facts) = state.nodes.get_mut(node)
            && facts.session == Some(session)
        {
            facts.session = None;
        }
        drop(state);
        self.moved.notify_one();
    }

    /// Takes in a word of the node's; false when the session is not the node's any more.
    pub fn hear(&self, node: &str, session: u64, word: &FromNode, now: Instant) -> bool {
        let mut state = self.lock();
        let Some(facts) = state.nodes.get_mut(node).filter(|n| n.session == Some(session)) else {
            return false;
        };
        facts.heard = Some(now);
        let before = facts.clone();
        match word {
            FromNode::Ack(ack) => facts.acknowledged(ack),
            FromNode::Nack(nack) => facts.refused(nack),
            FromNode::Status(status) => facts.status.clone_from(status),
            FromNode::Hello(_) | FromNode::WantSnapshot { .. } | FromNode::Surroundings(_) => {}
        }
        let is_news = *facts != before;
        drop(state);
        if is_news {
            self.moved.notify_one();
        }
        true
    }

    /// The answer of `GET …/enforcement`: one look, so its parts belong together.
    pub fn enforcement(&self) -> Enforcement {
        let state = self.lock();
        let node = |(name, facts): (&String, &NodeFacts)| NodeEnforcement {
            node: name.clone(),
            connected: facts.session.is_some(),
            wanted: facts.wanted.0,
            enforced: facts.enforced.0,
            waiting: facts.status.waiting.iter().map(ToString::to_string).collect(),
            problems: facts.problems(),
        };
        Enforcement {
            resource_version: state.resource_version,
            nodes: state.nodes.iter().map(node).collect(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn place(&mut self, key: ObjectKey, mut placement: Placement) {
        if let Some(before) = self.policies.get(&key).filter(|_| !placement.is_rewritten) {
            for (node, required) in &mut placement.required {
                if let Some(revision) = before.required.get(node) {
                    *required = *revision;
                }
            }
        }
        self.policies.insert(key, placement);
    }
}

impl NodeFacts {
    fn acknowledged(&mut self, ack: &Ack) {
        self.enforced = ack.revision;
        self.enforced_at_ns = ack.at_ns;
        if self.refused.as_ref().is_some_and(|(revision, _)| *revision <= ack.revision) {
            self.refused = None;
        }
    }

    fn refused(&mut self, nack: &Nack) {
        self.refused = Some((nack.revision, nack.reason.clone()));
    }

    /// What keeps the kernel from the wanted program, in sentences without repetition.
    pub fn problems(&self) -> Vec<String> {
        let refused = self
            .refused
            .iter()
            .map(|(revision, reason)| format!("program {revision} is refused: {reason}"));
        let problems: BTreeSet<String> = refused.chain(self.status.drift.iter().cloned()).collect();
        problems.into_iter().collect()
    }
}
