//! The policy engine as the controller drives it: objects in, steps and placements out.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Instant;

use bulkhead_api::{Object, ObjectKey};
use bulkhead_apimachinery::foreign;
use bulkhead_policy::engine::Event;
use bulkhead_policy::reach::Open;
use bulkhead_policy::rule::Moment;
use bulkhead_policy::{Engine, Severity, lower};
use bulkhead_types::{PolicyRef, Revision};
use bulkhead_wire::ProgramDelta;
use jiff::Timestamp;

use super::held::Held;
use super::owners::Owners;
use super::reachability::{ReachQuestion, Reachability};
use crate::registry::Standing;

#[derive(Debug)]
pub struct Compiler {
    engine: Engine,
    /// Policies that are there, with their generation.
    generations: BTreeMap<PolicyRef, i64>,
    /// Policies that were written since the last time.
    written: BTreeSet<PolicyRef>,
    /// What another API server let in and we do not understand, by policy.
    foreign: BTreeMap<PolicyRef, Vec<String>>,
    /// When policies end, for those that do.
    expiries: BTreeMap<PolicyRef, Moment>,
    owners: Owners,
    reachability: Reachability,
}

/// What compiling has led to.
#[derive(Debug, Default)]
pub struct Output {
    /// One step for each node whose program moved.
    pub steps: BTreeMap<String, Arc<ProgramDelta>>,
    /// Nodes that are not there any more.
    pub removed: Vec<String>,
    /// Policies that were written, came to a node or left one; `None`: deleted.
    pub policies: Vec<(ObjectKey, Option<Placed>)>,
}

/// Where a policy is enforced.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Placed {
    pub nodes: Vec<String>,
    pub generation: i64,
    /// What could not be understood, and was read as denying.
    pub errors: Vec<String>,
    /// Whether its rules are new, so that no node can have enforced them before.
    pub is_rewritten: bool,
    pub standing: Standing,
}

impl Compiler {
    /// Revisions begin above `revision`.
    pub fn after(revision: Revision) -> Self {
        Self {
            engine: Engine::after(revision),
            generations: BTreeMap::new(),
            written: BTreeSet::new(),
            foreign: BTreeMap::new(),
            expiries: BTreeMap::new(),
            owners: Owners::default(),
            reachability: Reachability::default(),
        }
    }

    pub fn upsert(&mut self, object: Object) {
        if let Some(policy) = object.key().policy() {
            let generation = object.metadata().generation.unwrap_or_default();
            self.generations.insert(policy.clone(), generation);
            let foreign = foreign::not_understood(object.metadata().annotations.as_ref());
            match foreign.is_empty() {
                true => self.foreign.remove(&policy),
                false => self.foreign.insert(policy.clone(), foreign),
            };
            match lower::expires(&object) {
                Some(moment) => self.expiries.insert(policy.clone(), moment),
                None => self.expiries.remove(&policy),
            };
            self.written.insert(policy);
        }
        self.owners.put(&object);
        self.reachability.upsert(&object);
        self.engine.apply(Event::Upsert(object));
    }

    pub fn delete(&mut self, key: ObjectKey) {
        if let Some(policy) = key.policy() {
            self.generations.remove(&policy);
            self.foreign.remove(&policy);
            self.expiries.remove(&policy);
            self.written.insert(policy);
        }
        self.owners.remove(&key);
        self.reachability.delete(&key);
        self.engine.apply(Event::Delete(key));
    }

    /// When a policy is the next to expire.
    pub fn next_expiry(&self) -> Option<Moment> {
        self.engine.next_expiry()
    }

    /// Lets what is asked about reachability follow the last compile; `reached` is what it holds.
    pub fn follow(&mut self, reached: u64, now: Instant) {
        self.reachability.follow(&mut self.engine, &self.owners, reached, now);
    }

    /// `held` is what was compiled last.
    pub fn answer(&mut self, question: ReachQuestion, held: &Held, now: Instant) {
        self.reachability.answer(question, &mut self.engine, &self.owners, held, now);
    }

    /// Waits for what questions about reachability wait for; for ever where there is none.
    pub async fn made(&mut self) -> Option<Open> {
        self.reachability.made().await
    }

    /// Takes in what [`Compiler::made`] gave.
    pub fn take(&mut self, made: Option<Open>, held: &Held) {
        self.reachability.take(made, &self.engine, &self.owners, held);
    }

    pub fn compile(&mut self, now: Moment) -> Output {
        self.engine.advance(now);
        let changes = self.engine.take_changes();
        self.reachability.compile(now);
        let mut policies = std::mem::take(&mut self.written);
        let written = policies.clone();
        policies.extend(changes.policies);
        policies.extend(changes.diagnostics.keys().filter_map(ObjectKey::policy));
        let policies = policies
            .into_iter()
            .map(|policy| {
                (ObjectKey::from(&policy), self.placed(&policy, written.contains(&policy), now))
            })
            .collect();
        Output { steps: changes.nodes, removed: changes.removed_nodes, policies }
    }

    fn placed(&self, policy: &PolicyRef, is_rewritten: bool, now: Moment) -> Option<Placed> {
        let generation = *self.generations.get(policy)?;
        let said = self.engine.diagnostics(&ObjectKey::from(policy)).iter();
        let errors = said
            .filter(|diagnostic| diagnostic.severity == Severity::Error)
            .map(ToString::to_string);
        let foreign = self.foreign.get(policy).into_iter().flatten().cloned();
        let errors = foreign.chain(errors).collect();
        let nodes = self.engine.nodes_of(policy).map(str::to_owned).collect();
        let expired = self.expiries.get(policy).copied().filter(|moment| *moment <= now);
        let standing = match (policy.kind.enforced_twin(), expired) {
            (_, Some(moment)) => Standing::Expired(shown(moment)),
            (Some(_), None) => Standing::Staged,
            (None, None) => Standing::InForce,
        };
        Some(Placed { nodes, generation, errors, is_rewritten, standing })
    }
}

fn shown(Moment(nanoseconds): Moment) -> String {
    Timestamp::from_nanosecond(nanoseconds).map(|at| at.to_string()).unwrap_or_default()
}
