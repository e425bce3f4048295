//! The objects, as the oracle holds them.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use bulkhead_api::Object;
use bulkhead_types::{
    Direction, EndpointId, HostStage, Labels, NO_NAMES, Names, Packet, PolicyRef,
};
use ipnet::IpNet;

use super::trace::Trace;
use crate::facts::{Backends, Endpoint, Inventory, NamedPort, NetworkSet, NodeFacts};
use crate::lower::{self, Diagnostic};
use crate::rule::{DomainPattern, Moment, Policy, ServiceRef, Staged, Tier};

/// Everything that was declared, lowered once and otherwise untouched.
#[derive(Clone, Debug, Default)]
pub struct World {
    pub(super) inventory: Inventory,
    tiers: BTreeMap<String, Tier>,
    /// Staged ones too, whichever the reading.
    policies: Vec<Policy>,
    reading: Reading,
    diagnostics: Vec<Diagnostic>,
    carriers: Vec<Carrier>,
    /// Which workload has an address; the first by id.
    owner_of: BTreeMap<IpAddr, EndpointId>,
    /// Which node has an address of its own.
    pub(super) node_of: BTreeMap<IpAddr, String>,
}

/// Which policies count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Reading {
    /// Those that are enforced.
    #[default]
    Enforced,
    /// Those that would be enforced once every staged action was taken.
    Staged,
}

/// What gives labels, and names of ports, to addresses.
#[derive(Clone, Debug)]
pub(super) struct Carrier {
    pub labels: Labels,
    nets: Vec<IpNet>,
    domains: Vec<DomainPattern>,
    pub ports: Vec<NamedPort>,
}

/// Both ends of one connection. An end is `None` where no endpoint has the address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Judgement {
    pub egress: Option<Trace>,
    pub ingress: Option<Trace>,
}

impl World {
    /// Of objects with the same key, the last one counts.
    pub fn from_objects<'a>(objects: impl IntoIterator<Item = &'a Object>) -> Self {
        let by_key: BTreeMap<_, _> = objects.into_iter().map(|o| (o.key(), o)).collect();
        let mut world = Self::default();
        world.tiers.extend(Tier::built_in().map(|tier| (tier.name.clone(), tier)));
        for object in by_key.into_values() {
            let (_, found) = world.inventory.upsert(object);
            world.diagnostics.extend(found);
            if let Some((policy, found)) = lower::policy(object) {
                world.policies.push(policy);
                world.diagnostics.extend(found);
            }
            if let Some((tier, found)) = lower::tier(object) {
                world.tiers.insert(tier.name.clone(), tier);
                world.diagnostics.extend(found);
            }
        }
        let lost = world.policies.iter().filter(|policy| !world.tiers.contains_key(&policy.tier));
        world.diagnostics.extend(lost.map(lower::without_tier));
        let inventory = &world.inventory;
        for host in inventory.hosts.written() {
            world.diagnostics.extend(inventory.hosts.diagnostics(host));
        }
        for (id, endpoint) in &inventory.endpoints {
            for address in &endpoint.addresses {
                world.owner_of.entry(*address).or_insert_with(|| id.clone());
            }
        }
        for (name, node) in &inventory.nodes {
            for address in &node.addresses {
                world.node_of.entry(*address).or_insert_with(|| name.clone());
            }
        }
        for (address, node) in inventory.hosts.addresses() {
            world.node_of.entry(address).or_insert_with(|| node.to_owned());
        }
        world.carriers.extend(inventory.hosts.iter().map(|host| Carrier {
            labels: inventory.hosts.labels_of(host),
            nets: host.addresses.iter().copied().map(IpNet::from).collect(),
            domains: Vec::new(),
            ports: host.ports.clone(),
        }));
        world.carriers.extend(inventory.endpoints.values().map(|endpoint| Carrier {
            labels: inventory.labels_of(endpoint),
            nets: endpoint.addresses.iter().copied().map(IpNet::from).collect(),
            domains: Vec::new(),
            ports: endpoint.ports.clone(),
        }));
        world.carriers.extend(inventory.network_sets.values().map(|set| Carrier {
            labels: inventory.labels_of_set(set),
            nets: set.nets.clone(),
            domains: set.domains.clone(),
            ports: Vec::new(),
        }));
        world
    }

    /// The world as it is at the given moment: expired policies are gone, and it is said. A world
    /// that was told no moment knows no end of any policy.
    #[must_use]
    pub fn at(mut self, now: Moment) -> Self {
        let expired = self.policies.iter().filter(|policy| policy.is_expired(now));
        self.diagnostics.extend(expired.map(lower::expired));
        self.policies.retain(|policy| !policy.is_expired(now));
        self
    }

    /// The same world in the staged reading: a staged policy replaces the enforced one of its name,
    /// or removes it.
    #[must_use]
    pub fn staged(&self) -> Self {
        Self { reading: Reading::Staged, ..self.clone() }
    }

    pub fn reading(&self) -> Reading {
        self.reading
    }

    /// What lowering had to say, object by object.
    pub fn diagnostics(&self) -> &[Diagnostic] {
        &self.diagnostics
    }

    pub fn endpoints(&self) -> impl Iterator<Item = &Endpoint> {
        self.inventory.endpoints.values()
    }

    pub fn endpoint(&self, id: &EndpointId) -> Option<&Endpoint> {
        self.inventory.endpoints.get(id)
    }

    /// The endpoint that judges packets from or to the address; the first by id where several claim it.
    pub fn endpoint_at(&self, address: IpAddr) -> Option<&Endpoint> {
        self.endpoint(self.owner_of.get(&address)?)
    }

    /// Whether some address is known to be a node's own, or some host endpoint is there.
    pub fn knows_hosts(&self) -> bool {
        !self.node_of.is_empty() || self.hosts().next().is_some()
    }

    /// Every label that selectors see of an endpoint.
    pub fn labels_of(&self, endpoint: &Endpoint) -> Labels {
        self.inventory.labels_of(endpoint)
    }

    /// As [`World::labels_of`], of a network set.
    pub fn labels_of_set(&self, set: &NetworkSet) -> Labels {
        self.inventory.labels_of_set(set)
    }

    /// Every tier that exists, the built-in ones too.
    pub fn tiers(&self) -> impl Iterator<Item = &Tier> {
        self.tiers.values()
    }

    /// Every policy, whether it counts or not.
    pub fn policies(&self) -> &[Policy] {
        &self.policies
    }

    /// The policies that count in this reading.
    pub fn policies_in_force(&self) -> impl Iterator<Item = &Policy> {
        let replaced: BTreeSet<PolicyRef> = match self.reading {
            Reading::Enforced => BTreeSet::new(),
            Reading::Staged => self.policies.iter().filter_map(Policy::twin).collect(),
        };
        self.policies.iter().filter(move |policy| match self.reading {
            Reading::Enforced => policy.staged.is_none(),
            Reading::Staged => {
                policy.staged != Some(Staged::Delete) && !replaced.contains(&policy.id)
            }
        })
    }

    /// What stands behind a service.
    pub fn backends(&self, service: &ServiceRef) -> Backends {
        self.inventory.backends(service)
    }

    pub fn network_sets(&self) -> impl Iterator<Item = &NetworkSet> {
        self.inventory.network_sets.values()
    }

    pub fn nodes(&self) -> impl Iterator<Item = &NodeFacts> {
        self.inventory.nodes.values()
    }

    /// Judges a connection at the source's egress and at the destination's ingress. It passes where
    /// every end that exists allows it.
    pub fn judge(&self, packet: &Packet) -> Judgement {
        self.judge_named(packet, &NO_NAMES)
    }

    /// As [`World::judge`], where the source looked the destination up under `names`.
    pub fn judge_named(&self, packet: &Packet, names: &Names) -> Judgement {
        let at = |address, direction| {
            self.endpoint_at(address).map(|e| self.trace_named(&e.id, direction, packet, names))
        };
        Judgement {
            egress: at(packet.src, Direction::Egress),
            ingress: at(packet.dst, Direction::Ingress),
        }
    }

    /// The tiers that have a policy for this endpoint and direction, in order, with these policies.
    pub fn stack(&self, endpoint: &Endpoint, direction: Direction) -> Vec<(Tier, Vec<&Policy>)> {
        self.stack_of(&self.inventory.labels_of(endpoint), direction, HostStage::Normal)
    }

    /// As [`World::stack`], of whatever has these labels, at a stage.
    pub(super) fn stack_of(
        &self,
        labels: &Labels,
        direction: Direction,
        stage: HostStage,
    ) -> Vec<(Tier, Vec<&Policy>)> {
        let mut by_tier: BTreeMap<&str, Vec<&Policy>> = BTreeMap::new();
        for policy in self.policies_in_force() {
            let is_asked = policy.stage.is_asked_at(stage) && policy.rules(direction).is_some();
            if is_asked && policy.subject.matches(labels) {
                by_tier.entry(&policy.tier).or_default().push(policy);
            }
        }
        let mut stack: Vec<(Tier, Vec<&Policy>)> = Vec::new();
        for (name, mut policies) in by_tier {
            policies.sort_by(|a, b| a.precedence(b));
            let tier = self.tiers.get(name).cloned().unwrap_or_else(|| Tier::missing(name));
            stack.push((tier, policies));
        }
        let is_missing = |tier: &Tier| !self.tiers.contains_key(&tier.name);
        stack.sort_by(|(a, _), (b, _)| {
            let position = |t: &Tier| (is_missing(t), t.order, t.name.clone());
            position(a).cmp(&position(b))
        });
        stack
    }

    /// What has the address, by its number or by one of the names under which it was looked up.
    pub(super) fn carriers_of<'a>(
        &'a self,
        address: IpAddr,
        names: &'a Names,
    ) -> impl Iterator<Item = &'a Carrier> {
        self.carriers.iter().filter(move |c| {
            c.nets.iter().any(|net| net.contains(&address))
                || c.domains.iter().any(|pattern| pattern.is_for(names))
        })
    }
}

impl Judgement {
    /// Whether every end that exists allows.
    pub fn is_allowed(&self) -> bool {
        let allows = |trace: &Trace| trace.verdict.decision == bulkhead_types::Decision::Allow;
        self.egress.iter().chain(&self.ingress).all(allows)
    }
}
