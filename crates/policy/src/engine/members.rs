//! Endpoints and network sets: their labels, addresses and port names, kept in step with the facts.

use std::collections::BTreeSet;

use bulkhead_api::ObjectKey;
use bulkhead_types::{EndpointId, EndpointKind, Labels};
use ipnet::IpNet;

use super::{Engine, Work};
use crate::facts::NamedPort;
use crate::rule::DomainPattern;
use crate::select::{GroupId, GroupKind, MemberId};

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum MemberKey {
    Endpoint(EndpointId),
    NetworkSet(ObjectKey),
}

#[derive(Debug)]
pub struct Member {
    pub key: MemberKey,
    pub prefixes: Vec<IpNet>,
    pub ports: Vec<NamedPort>,
    /// Namespace and, of endpoints, service account: whose labels it inherits.
    namespace: String,
    account: Option<String>,
}

/// What the facts say about a member now.
struct Wanted {
    labels: Labels,
    prefixes: Vec<IpNet>,
    ports: Vec<NamedPort>,
    domains: Vec<DomainPattern>,
    namespace: String,
    account: Option<String>,
}

impl Engine {
    pub(super) fn sync_members(&mut self, members: BTreeSet<MemberId>) {
        for id in members {
            if let Some(member) = self.members.get(&id) {
                self.sync_member(member.key.clone());
            }
        }
    }

    pub(super) fn sync_member(&mut self, key: MemberKey) {
        match (self.wanted(&key), self.member_ids.get(&key).copied()) {
            (None, None) => {}
            (None, Some(id)) => self.remove_member(id),
            (Some(wanted), Some(id)) => {
                self.unlink(id);
                self.put_member(id, key, wanted);
            }
            (Some(wanted), None) => {
                let id = MemberId(self.next_member);
                self.next_member += 1;
                self.member_ids.insert(key.clone(), id);
                self.put_member(id, key, wanted);
            }
        }
    }

    fn wanted(&self, key: &MemberKey) -> Option<Wanted> {
        Some(match key {
            MemberKey::Endpoint(id) if id.kind == EndpointKind::Host => {
                let host = self.inventory.hosts.get(id)?;
                Wanted {
                    labels: self.inventory.hosts.labels_of(host),
                    prefixes: host.addresses.iter().copied().map(IpNet::from).collect(),
                    ports: host.ports.clone(),
                    domains: Vec::new(),
                    namespace: String::new(),
                    account: None,
                }
            }
            MemberKey::Endpoint(id) => {
                let endpoint = self.inventory.endpoints.get(id)?;
                Wanted {
                    labels: self.inventory.labels_of(endpoint),
                    prefixes: endpoint.addresses.iter().copied().map(IpNet::from).collect(),
                    ports: endpoint.ports.clone(),
                    domains: Vec::new(),
                    namespace: id.namespace.clone(),
                    account: Some(endpoint.service_account.clone()),
                }
            }
            MemberKey::NetworkSet(key) => {
                let set = self.inventory.network_sets.get(key)?;
                Wanted {
                    labels: self.inventory.labels_of_set(set),
                    prefixes: set.nets.clone(),
                    ports: Vec::new(),
                    domains: set.domains.clone(),
                    namespace: key.namespace.clone(),
                    account: None,
                }
            }
        })
    }

    fn put_member(&mut self, id: MemberId, key: MemberKey, wanted: Wanted) {
        let before = self.selectors.n_tests;
        let delta = self.selectors.put(id, wanted.labels);
        let n_selectors = self.selectors.n_tests - before;
        if n_selectors > 0 {
            self.log(|| Work::Matched { member: key.to_string(), n_selectors });
        }
        let old = self.members.remove(&id);
        let (old_prefixes, old_ports) =
            old.map(|old| (old.prefixes, old.ports)).unwrap_or_default();
        for prefix in wanted.prefixes.iter().filter(|prefix| !old_prefixes.contains(prefix)) {
            self.addresses.add_carrier(*prefix, id);
        }
        for prefix in old_prefixes.iter().filter(|prefix| !wanted.prefixes.contains(prefix)) {
            self.addresses.remove_carrier(*prefix, id);
        }
        // Names are filtered by selectors, so a change of matches may move them too.
        let regrouped = delta.each().any(|selector| self.groups.is_asked(selector))
            || wanted.ports != old_ports
            || (!wanted.ports.is_empty() && delta.each().next().is_some());
        if regrouped {
            for prefix in &wanted.prefixes {
                self.addresses.touch(*prefix);
            }
        }
        self.names.hold(id, wanted.domains);
        self.in_namespace.entry(wanted.namespace.clone()).or_default().insert(id);
        if let Some(account) = &wanted.account {
            let account = (wanted.namespace.clone(), account.clone());
            self.of_account.entry(account).or_default().insert(id);
        }
        for port in &wanted.ports {
            self.with_port.entry(port.name.clone()).or_default().insert(id);
        }
        let Wanted { prefixes, ports, namespace, account, .. } = wanted;
        self.members.insert(id, Member { key, prefixes, ports, namespace, account });
        self.dirty_members.insert(id);
    }

    fn remove_member(&mut self, id: MemberId) {
        self.unlink(id);
        let Some(member) = self.members.remove(&id) else { return };
        self.names.let_go(id);
        self.selectors.remove(id);
        for prefix in &member.prefixes {
            self.addresses.remove_carrier(*prefix, id);
        }
        self.member_ids.remove(&member.key);
        self.dirty_members.insert(id);
    }

    /// Takes the member out of the by-name indexes.
    fn unlink(&mut self, id: MemberId) {
        let Some(member) = self.members.get(&id) else { return };
        unlink_from(&mut self.in_namespace, &member.namespace, id);
        if let Some(account) = &member.account {
            unlink_from(&mut self.of_account, &(member.namespace.clone(), account.clone()), id);
        }
        for port in &member.ports {
            unlink_from(&mut self.with_port, &port.name, id);
        }
    }

    /// Every prefix that is in the group by itself, not by what covers it.
    pub(super) fn prefixes_of(&self, group: GroupId) -> Vec<IpNet> {
        let of_members = |members: &mut dyn Iterator<Item = MemberId>| -> Vec<IpNet> {
            members
                .filter_map(|id| self.members.get(&id))
                .flat_map(|member| member.prefixes.iter().copied())
                .collect()
        };
        match self.groups.kind(group) {
            None | Some(GroupKind::Atom { .. }) => Vec::new(),
            Some(GroupKind::Nets(nets)) => nets.to_vec(),
            Some(GroupKind::Service { .. } | GroupKind::Nodes(_)) => self.derived.prefixes(group),
            Some(GroupKind::Domains(_)) => Vec::new(),
            Some(GroupKind::Selector(selector)) => {
                of_members(&mut self.selectors.members(*selector))
            }
            Some(GroupKind::Name { name, .. }) => {
                of_members(&mut self.with_port.get(name).into_iter().flatten().copied())
            }
        }
    }
}

fn unlink_from<K: std::hash::Hash + Eq>(
    index: &mut std::collections::HashMap<K, BTreeSet<MemberId>>,
    key: &K,
    id: MemberId,
) {
    if let Some(members) = index.get_mut(key) {
        members.remove(&id);
        if members.is_empty() {
            index.remove(key);
        }
    }
}

impl std::fmt::Display for MemberKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            MemberKey::Endpoint(id) => id.fmt(f),
            MemberKey::NetworkSet(key) if key.namespace.is_empty() => f.write_str(&key.name),
            MemberKey::NetworkSet(key) => write!(f, "{}/{}", key.namespace, key.name),
        }
    }
}
