//! The latest program of each node, as the last steps that led to it.
//!
//! The engine gives steps; whole programs are only put together for a node that comes without one.

use std::collections::VecDeque;
use std::sync::Arc;

use bulkhead_types::Revision;
use bulkhead_wire::{Hello, NodeProgram, ProgramDelta, ToNode};
use tokio::sync::watch;

/// Steps a node may be behind and still get deltas.
pub const STEPS_KEPT_MAX: usize = 256;

/// INVARIANT(steps-chain): the first step applies to `base`, each other to what the one before leads
/// to. Cheap to clone: everything in it is shared.
#[derive(Clone, Debug, Default)]
pub struct Published {
    base: Arc<NodeProgram>,
    steps: VecDeque<Arc<ProgramDelta>>,
}

/// One node's channel.
#[derive(Debug)]
pub struct Outlet(watch::Sender<Published>);

impl Default for Outlet {
    fn default() -> Self {
        Self(watch::channel(Published::default()).0)
    }
}

impl Outlet {
    pub fn subscribe(&self) -> watch::Receiver<Published> {
        self.0.subscribe()
    }

    pub fn revision(&self) -> Revision {
        self.0.borrow().revision()
    }

    /// The step follows on from the content that is published; its numbers are set right here where
    /// this node's have been raised above the engine's.
    pub fn publish(&self, step: Arc<ProgramDelta>) {
        self.0.send_modify(|published| {
            let revision = published.revision();
            let step = if step.base == revision && step.revision > revision {
                step
            } else {
                let mut step = Arc::unwrap_or_clone(step);
                step.base = revision;
                step.revision = step.revision.max(revision.next());
                Arc::new(step)
            };
            published.push(step);
        });
    }

    /// The same content under a higher number.
    pub fn renumber(&self, revision: Revision) {
        self.publish(Arc::new(renumbering(self.revision(), revision)));
    }

    /// No endpoints, no rules: every interface of the node passes nothing.
    pub fn empty(&self) {
        self.0.send_modify(|published| {
            let revision = published.revision().next();
            published.base = Arc::new(NodeProgram { revision, ..NodeProgram::default() });
            published.steps.clear();
        });
    }
}

/// A delta that moves nothing but the number.
fn renumbering(base: Revision, revision: Revision) -> ProgramDelta {
    ProgramDelta { base, revision, ..ProgramDelta::default() }
}

impl Published {
    pub fn revision(&self) -> Revision {
        self.steps.back().map_or(self.base.revision, |step| step.revision)
    }

    fn push(&mut self, step: Arc<ProgramDelta>) {
        self.steps.push_back(step);
        if self.steps.len() > STEPS_KEPT_MAX
            && let Some(oldest) = self.steps.pop_front()
        {
            // Copies the tables only if a session is sending them at this moment.
            apply(&oldest, Arc::make_mut(&mut self.base));
        }
    }

    /// The whole program.
    pub fn program(&self) -> Arc<NodeProgram> {
        if self.steps.is_empty() {
            return Arc::clone(&self.base);
        }
        let mut program = NodeProgram::clone(&self.base);
        for step in &self.steps {
            apply(step, &mut program);
        }
        Arc::new(program)
    }

    /// What brings a node from `sent` here: steps where they are known, else the whole program.
    pub fn since(&self, sent: Option<Revision>) -> Vec<ToNode> {
        if sent == Some(self.revision()) {
            return Vec::new();
        }
        let first = self.steps.iter().position(|step| Some(step.base) == sent);
        match first {
            Some(first) => {
                self.steps.iter().skip(first).map(|step| ToNode::Delta(Arc::clone(step))).collect()
            }
            None => vec![ToNode::Program(self.program())],
        }
    }

    /// What a node that comes has to hear first.
    pub fn greet(&self, hello: &Hello, life: u64) -> Vec<ToNode> {
        if hello.holds == Revision(0) {
            return self.since(None);
        }
        // Only in one life of the server does one revision have one content for certain.
        if hello.life == life {
            return self.since(Some(hello.holds));
        }
        if hello.digest != self.program().digest() {
            return self.since(None);
        }
        if hello.holds == self.revision() {
            return Vec::new();
        }
        vec![ToNode::Delta(Arc::new(renumbering(hello.holds, self.revision())))]
    }
}

/// By INVARIANT(steps-chain) the base fits.
fn apply(step: &ProgramDelta, program: &mut NodeProgram) {
    if let Err(error) = step.apply(program) {
        tracing::error!(%error, "steps do not chain: this is a bug of the controller");
    }
}

#[cfg(test)]
mod tests;
