//! Services and nodes that rules ask for: their addresses, kept in step with the facts.
//!
//! Invariant: between rounds every address is in exactly the groups that the facts of the last round
//! give it; nothing is held of a service that no rule asks for.

use std::collections::{BTreeMap, BTreeSet};

use hashbrown::HashMap;
use ipnet::IpNet;

use super::Engine;
use crate::facts::{Backends, Endpoint, Inventory};
use crate::rule::ServiceRef;
use crate::select::{GroupId, GroupKind};

type Entries = BTreeSet<(IpNet, GroupId)>;

#[derive(Debug, Default)]
pub struct Derived {
    services: BTreeMap<ServiceRef, BTreeSet<GroupId>>,
    nodes: BTreeSet<GroupId>,
    /// Addresses with the group that they are in: the asked one, or one of its atoms.
    entries: HashMap<GroupId, Entries>,
    dirty: BTreeSet<GroupId>,
}

impl Derived {
    pub fn is_idle(&self) -> bool {
        self.services.is_empty()
            && self.nodes.is_empty()
            && self.entries.is_empty()
            && self.dirty.is_empty()
    }

    pub fn begin(&mut self, group: GroupId, kind: &GroupKind) {
        match kind {
            GroupKind::Service { service, .. } => {
                self.services.entry(service.clone()).or_default().insert(group);
            }
            GroupKind::Nodes(_) => {
                self.nodes.insert(group);
            }
            _ => return,
        }
        self.dirty.insert(group);
    }

    /// Gives the addresses that are to be taken out of the group.
    pub fn end(&mut self, group: GroupId, kind: &GroupKind) -> Entries {
        if let GroupKind::Service { service, .. } = kind
            && let Some(groups) = self.services.get_mut(service)
        {
            groups.remove(&group);
            if groups.is_empty() {
                self.services.remove(service);
            }
        }
        self.nodes.remove(&group);
        self.dirty.remove(&group);
        self.entries.remove(&group).unwrap_or_default()
    }

    pub fn touch_service(&mut self, service: &ServiceRef) {
        self.dirty.extend(self.services.get(service).into_iter().flatten());
    }

    pub fn touch_nodes(&mut self) {
        self.dirty.extend(&self.nodes);
    }

    /// Services of the namespace that find their workloads by themselves may have lost or won one.
    pub fn touch_workloads(&mut self, namespace: &str, inventory: &Inventory) {
        if self.services.is_empty() {
            return;
        }
        let first = ServiceRef { namespace: namespace.to_owned(), name: String::new() };
        let of_namespace =
            self.services.range(first..).take_while(|(service, _)| service.namespace == namespace);
        for (service, groups) in of_namespace {
            if inventory.services.follows_workloads(service) {
                self.dirty.extend(groups);
            }
        }
    }

    pub fn prefixes(&self, group: GroupId) -> Vec<IpNet> {
        self.entries.get(&group).into_iter().flatten().map(|(prefix, _)| *prefix).collect()
    }
}

impl Engine {
    /// Puts addresses into the groups of services and nodes, and takes them out.
    pub(super) fn settle_derived(&mut self) {
        for group in std::mem::take(&mut self.derived.dirty) {
            let wanted = self.wanted(group);
            let held = self.derived.entries.remove(&group).unwrap_or_default();
            for (prefix, group) in held.difference(&wanted) {
                self.addresses.remove_net(*prefix, *group);
            }
            for (prefix, group) in wanted.difference(&held) {
                self.addresses.add_net(*prefix, *group);
            }
            if !wanted.is_empty() {
                self.derived.entries.insert(group, wanted);
            }
        }
    }

    fn wanted(&mut self, group: GroupId) -> Entries {
        match self.groups.kind(group).cloned() {
            Some(GroupKind::Service { service, with_ports: false }) => {
                let addresses = self.backends(&service).addresses.into_iter();
                addresses.map(|address| (IpNet::from(address), group)).collect()
            }
            Some(GroupKind::Service { service, with_ports: true }) => {
                let ports = self.backends(&service).ports.into_iter();
                ports
                    .map(|(address, protocol, port)| {
                        (IpNet::from(address), self.groups.atom(group, protocol, port))
                    })
                    .collect()
            }
            Some(GroupKind::Nodes(selector)) => self
                .inventory
                .nodes
                .values()
                .filter(|node| selector.matches(&node.labels))
                .flat_map(|node| &node.addresses)
                .map(|address| (IpNet::from(*address), group))
                .collect(),
            _ => Entries::new(),
        }
    }

    /// What stands behind a service; nothing behind an unknown one.
    fn backends(&self, service: &ServiceRef) -> Backends {
        let services = &self.inventory.services;
        if !services.follows_workloads(service) {
            return services.backends(service, std::iter::empty());
        }
        let homes = self.selectors.homes_in(&service.namespace).iter();
        let personas = homes.flat_map(|home| self.selectors.at_home(*home));
        let members = personas.flat_map(|persona| self.selectors.members_of(persona));
        let workloads: Vec<Endpoint> =
            members.filter_map(|id| self.roster.endpoint(id, &self.selectors)).collect();
        services.backends(service, workloads.iter())
    }
}
