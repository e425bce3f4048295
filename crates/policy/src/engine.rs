//! The incremental compiler: events in, changes out. The only mutable thing of this crate.
//!
//! ```text
//! Upsert/Delete ─▶ facts, rules ─▶ selectors ─▶ groups ─▶ classes ─┐
//!                        │                                         ├─▶ per node: tables, delta
//!                        └──────▶ policies of an endpoint ─▶ programs ─┘
//! ```
//!
//! [`Engine::apply`] takes events in and only marks what they touch; [`Engine::take_changes`] does
//! the work, once for any number of events.
//!
//! Invariant: after `take_changes`, the tables are those that a fresh engine would make of the same
//! objects (revisions aside), whatever the events were and in whatever order they came.

mod derived;
mod expiry;
mod flush;
mod held;
mod hosts;
mod judge;
mod members;
mod names;
mod nodes;
mod policies;
mod programs;
mod roster;
mod staged;
mod view;
mod work;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use bulkhead_api::{Object, ObjectKey};
use bulkhead_types::{EndpointId, PolicyRef, Revision};
use bulkhead_wire::{NodeProgram, ProgramDelta};
use ipnet::IpNet;
use rustc_hash::FxHashMap;

use crate::facts::{Described, Endpoint, Inventory, Touched};
use crate::lower::{self, Diagnostic, Notes};
use crate::place::Places;
use crate::resolve::Lists;
use crate::rule::Tier;
use crate::select::{Addresses, Groups, MemberId, Selectors};
use derived::Derived;
use expiry::Expiry;
use flush::Placed;
use held::Policies;
use hosts::HostState;
pub use names::NameIndex;
use nodes::Nodes;
use programs::Programs;
use roster::Roster;
use staged::StagedPolicies;
pub use view::Watched;
pub use work::Work;

/// One change of the objects.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// A new object, or a new version of one.
    Upsert(Object),
    /// Also for objects that the engine never saw.
    Delete(ObjectKey),
}

/// What events since the last time came to.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Changes {
    /// The newest revision of any node; unchanged where no node is concerned.
    pub revision: Revision,
    /// Concerned nodes only. See [`Engine::program`] for the whole.
    pub nodes: BTreeMap<String, Arc<ProgramDelta>>,
    /// Nodes that have neither an object nor an endpoint any more.
    pub removed_nodes: Vec<String>,
    /// Policies that came to a node or left one; see [`Engine::nodes_of`].
    pub policies: BTreeSet<PolicyRef>,
    /// Objects of which something else is to be said than before; an empty list: nothing any more.
    pub diagnostics: BTreeMap<ObjectKey, Vec<Diagnostic>>,
}

#[derive(Debug, Default)]
pub struct Engine {
    revision: Revision,
    inventory: Inventory,
    tiers: BTreeMap<String, Tier>,
    diagnostics: BTreeMap<ObjectKey, Vec<Diagnostic>>,

    roster: Roster,

    policies: Policies,
    expiry: Expiry,
    staged: StagedPolicies,

    selectors: Selectors,
    groups: Groups,
    derived: Derived,
    names: NameIndex,
    addresses: Addresses,
    lists: Lists,
    programs: Programs,
    hosts: HostState,
    places: Places,
    nodes: Nodes,

    /// `None`: every node has a program.
    served: Option<BTreeSet<String>>,

    /// Endpoints that must be judged anew.
    dirty_members: Vec<MemberId>,
    placed: FxHashMap<MemberId, Placed>,
    changes: Changes,
    work: Option<Vec<Work>>,
    watched: Option<Watched>,
}

impl Engine {
    pub fn new() -> Self {
        Self::after(Revision::default())
    }

    /// An engine whose first program is newer than `revision`. Nodes refuse older programs, so after
    /// a restart begin where the last process cannot have come to.
    pub fn after(revision: Revision) -> Self {
        let tiers = Tier::built_in().map(|tier| (tier.name.clone(), tier)).into();
        Self { revision, tiers, ..Self::default() }
    }

    /// An engine that makes the programs of some nodes only. Endpoints of other nodes are known as
    /// peers and cost no more than that.
    pub fn serving<N: Into<String>>(nodes: impl IntoIterator<Item = N>) -> Self {
        Self { served: Some(nodes.into_iter().map(Into::into).collect()), ..Self::new() }
    }

    fn serves(&self, node: &str) -> bool {
        self.served.as_ref().is_none_or(|served| served.contains(node))
    }

    pub fn apply(&mut self, event: Event) {
        match event {
            Event::Upsert(object) => self.upsert(&object),
            Event::Delete(key) => self.delete(&key),
        }
    }

    /// The whole program of a node as of the last [`Engine::take_changes`]. Copied when first asked
    /// for after a change; whoever follows along should apply deltas instead.
    pub fn program(&mut self, node: &str) -> Option<Arc<NodeProgram>> {
        let node = self.nodes.find(node)?;
        let state = &mut self.nodes.get_mut(node)?.state;
        state.is_published().then(|| state.program())
    }

    /// In no particular order.
    pub fn nodes(&self) -> impl Iterator<Item = &str> {
        self.nodes.told()
    }

    /// The nodes on which the policy judges some endpoint, by name.
    pub fn nodes_of(&self, policy: &PolicyRef) -> impl Iterator<Item = &str> {
        let nodes = self.places.nodes_of(policy).filter_map(|node| self.nodes.get(node));
        let mut names: Vec<&str> = nodes.map(|node| &*node.name).collect();
        names.sort_unstable();
        names.into_iter()
    }

    pub fn diagnostics(&self, object: &ObjectKey) -> &[Diagnostic] {
        self.diagnostics.get(object).map_or(&[], Vec::as_slice)
    }

    pub fn endpoint(&self, id: &EndpointId) -> Option<Endpoint> {
        self.roster.endpoint(self.member(id)?, &self.selectors)
    }

    /// The endpoint that has the address; the first by id where several claim it.
    pub fn endpoint_at(&self, address: IpAddr) -> Option<Endpoint> {
        let carriers = self.addresses.carriers(&IpNet::from(address));
        let endpoints = carriers.filter_map(|id| self.roster.endpoint(id, &self.selectors));
        endpoints.min_by(|a, b| a.id.cmp(&b.id))
    }

    /// From now on keeps a list of what is recomputed; for tests.
    pub fn record_work(&mut self) {
        self.work = Some(Vec::new());
    }

    /// What was recomputed since the last time.
    pub fn take_work(&mut self) -> Vec<Work> {
        self.work.as_mut().map(std::mem::take).unwrap_or_default()
    }

    /// Whether the engine holds nothing but what an empty one holds.
    pub fn is_idle(&self) -> bool {
        self.roster.is_idle()
            && self.policies.is_empty()
            && self.selectors.is_idle()
            && self.expiry.is_idle()
            && self.staged.is_idle()
            && self.groups.is_idle()
            && self.derived.is_idle()
            && self.names.is_idle()
            && self.addresses.is_idle()
            && self.lists.is_idle()
            && self.programs.is_idle()
            && self.hosts.is_idle()
            && self.places.is_idle()
            && self.nodes.is_empty()
            && self.placed.is_empty()
    }

    fn upsert(&mut self, object: &Object) {
        if let Object::Pod(_) | Object::Workload(_) = object {
            return self.upsert_endpoint(object);
        }
        let (touched, mut said) = self.inventory.upsert(object);
        self.sync(touched);
        match lower::policy(object) {
            Some((policy, more)) => {
                said.extend(more);
                said.extend(self.admit(policy));
            }
            // Staged to say nothing; it may have said something before.
            None => self.remove_policies_of(&object.key()),
        }
        if let Some((tier, more)) = lower::tier(object) {
            said.extend(more);
            self.put_tier(tier);
        }
        if let Object::HostEndpoint(_) = object {
            // Profiles have a part in it, so the facts keep it.
            return;
        }
        self.say_of(object, said);
    }

    fn upsert_endpoint(&mut self, object: &Object) {
        let mut notes = Notes::default();
        match Described::read(object, &mut notes) {
            Some(endpoint) => self.put_endpoint(&endpoint),
            None => {
                let touched = self.inventory.remove(&object.key());
                self.sync(touched);
            }
        }
        self.say_of(object, notes.about(object));
    }

    fn delete(&mut self, key: &ObjectKey) {
        let touched = self.inventory.remove(key);
        self.sync(touched);
        self.remove_policies_of(key);
        if key.kind == bulkhead_api::object::Kind::Tier {
            self.remove_tier(&key.name);
        }
        self.say(key.clone(), Vec::new());
    }

    fn remove_policies_of(&mut self, key: &ObjectKey) {
        if let Some(policy) = key.policy() {
            self.remove_policy(&policy);
        }
    }

    fn sync(&mut self, touched: Touched) {
        match touched {
            Touched::Nothing => {}
            Touched::Endpoint(id) => self.remove_endpoint(&id),
            Touched::NetworkSet(key) => self.sync_network_set(&key),
            Touched::Namespace(name) => self.relabel(&name, None),
            Touched::ServiceAccount(namespace, name) => self.relabel(&namespace, Some(&name)),
            Touched::Services(services) => {
                services.iter().for_each(|service| self.derived.touch_service(service));
            }
            Touched::Hosts(touched) => self.sync_hosts(touched),
        }
    }

    /// As [`Engine::say`], and costs nothing where nothing is said of anything.
    fn say_of(&mut self, object: &Object, said: Vec<Diagnostic>) {
        if !said.is_empty() || !self.diagnostics.is_empty() {
            self.say(object.key(), said);
        }
    }

    fn say(&mut self, object: ObjectKey, said: Vec<Diagnostic>) {
        if self.diagnostics(&object) == said {
            return;
        }
        if said.is_empty() {
            self.diagnostics.remove(&object);
        } else {
            self.diagnostics.insert(object.clone(), said.clone());
        }
        self.changes.diagnostics.insert(object, said);
    }
}
