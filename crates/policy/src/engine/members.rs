//! Endpoints and network sets: their personas, addresses and port names, kept in step with the facts.

use bulkhead_api::ObjectKey;
use bulkhead_api::object::Kind;
use bulkhead_types::{EndpointId, EndpointKind, Labels};
use ipnet::IpNet;

use super::roster::{Interface, Prefixes, Record};
use super::{Engine, Work};
use crate::facts::{Described, Inventory, NamedPort};
use crate::select::{Delta, GroupId, GroupKind, Heir, MemberId, Origin, PersonaId, PersonaKey};

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum MemberKey {
    Endpoint(EndpointId),
    NetworkSet(ObjectKey),
}

fn interface_of(endpoint: &Described<'_>) -> Option<Box<Interface>> {
    let Described { interface, mac, .. } = *endpoint;
    let is_said = interface.is_some() || mac.is_some();
    is_said.then(|| Box::new(Interface { name: interface.map(Box::from), mac }))
}

impl Engine {
    pub(super) fn put_endpoint(&mut self, endpoint: &Described<'_>) {
        let Described { namespace, service_account: account, .. } = *endpoint;
        self.derived.touch_workloads(namespace, &self.inventory);
        let origin = Origin::of(endpoint.kind);
        let key = PersonaKey { origin, namespace, account, own: &endpoint.labels };
        let record = Record {
            name: endpoint.name.into(),
            prefixes: Prefixes::new(endpoint.addresses.iter().copied().map(IpNet::from)),
            ports: self.roster.port_list(&endpoint.ports),
            node: endpoint.node.map(|node| self.roster.word(node)),
            interface: interface_of(endpoint),
        };
        let known = self.roster.find(origin, namespace, endpoint.name, &self.selectors);
        self.put_member(known, &key, record);
    }

    pub(super) fn sync_network_set(&mut self, key: &ObjectKey) {
        let origin = match key.kind {
            Kind::NetworkSet => Origin::NetworkSet,
            _ => Origin::GlobalNetworkSet,
        };
        let known = self.roster.find(origin, &key.namespace, &key.name, &self.selectors);
        let Some(set) = self.inventory.network_sets.get(key).cloned() else {
            known.into_iter().for_each(|id| self.remove_member(id));
            return;
        };
        let own = pairs(&set.labels);
        let persona = PersonaKey { origin, namespace: &key.namespace, account: "", own: &own };
        let record = Record {
            name: key.name.as_str().into(),
            prefixes: Prefixes::new(set.nets.iter().copied()),
            ports: None,
            node: None,
            interface: None,
        };
        let id = self.put_member(known, &persona, record);
        self.names.hold(id, set.domains);
    }

    /// A host endpoint says all its labels itself, those that its profiles lend included.
    pub(super) fn sync_host(&mut self, id: &EndpointId) {
        let known = self.member(id);
        let Some(host) = self.inventory.hosts.get(id) else {
            known.into_iter().for_each(|id| self.remove_member(id));
            return;
        };
        let own = self.inventory.hosts.labels_of(host);
        let own = pairs(&own);
        let persona = PersonaKey { origin: Origin::Host, namespace: "", account: "", own: &own };
        let ports: Vec<_> = host.ports.iter().map(NamedPort::as_ref).collect();
        let record = Record {
            name: id.name.as_str().into(),
            prefixes: Prefixes::new(host.addresses.iter().copied().map(IpNet::from)),
            ports: self.roster.port_list(&ports),
            node: None,
            interface: None,
        };
        self.put_member(known, &persona, record);
    }

    fn put_member(
        &mut self,
        known: Option<MemberId>,
        key: &PersonaKey<'_>,
        record: Record,
    ) -> MemberId {
        let id = known.unwrap_or_else(|| self.roster.next());
        let before = self.selectors.n_tests;
        let inventory = &self.inventory;
        let inherit = |heir: &mut Heir<'_>| {
            inherit(inventory, key.origin, key.namespace, key.account, heir);
        };
        let delta = self.selectors.put(id, key, inherit);
        let n_tests = self.selectors.n_tests - before;
        self.put_record(id, record, &delta, n_tests);
        id
    }

    fn put_record(&mut self, id: MemberId, record: Record, delta: &Delta, n_tests: u64) {
        let old = self.roster.put(id, record, &self.selectors);
        self.log_matched(id, n_tests);
        let Some(record) = self.roster.get(id) else { return };
        let new_prefixes = record.prefixes.as_slice();
        let old_prefixes = old.as_ref().map_or(&[][..], |old| old.prefixes.as_slice());
        for prefix in new_prefixes.iter().filter(|prefix| !old_prefixes.contains(prefix)) {
            self.addresses.add_carrier(*prefix, id);
        }
        for prefix in old_prefixes.iter().filter(|prefix| !new_prefixes.contains(prefix)) {
            self.addresses.remove_carrier(*prefix, id);
        }
        let old_ports = old.as_ref().map_or(&[][..], Record::ports);
        if self.is_regrouped(delta, record.ports(), old_ports) {
            for prefix in new_prefixes {
                self.addresses.touch(*prefix);
            }
        }
        self.dirty_members.push(id);
    }

    /// Names are filtered by selectors, so a change of matches may move them too.
    fn is_regrouped(&self, delta: &Delta, ports: &[NamedPort], old_ports: &[NamedPort]) -> bool {
        ports != old_ports
            || (!ports.is_empty() && !delta.is_empty())
            || delta.each().any(|selector| self.groups.is_asked(selector))
    }

    pub(super) fn remove_endpoint(&mut self, id: &EndpointId) {
        self.derived.touch_workloads(&id.namespace, &self.inventory);
        if let Some(member) = self.member(id) {
            self.remove_member(member);
        }
    }

    fn remove_member(&mut self, id: MemberId) {
        // Later only what was placed is known by its name.
        self.watch_member(id);
        let Some(record) = self.roster.remove(id, &self.selectors) else { return };
        self.selectors.remove(id);
        self.names.let_go(id);
        for prefix in record.prefixes.as_slice() {
            self.addresses.remove_carrier(*prefix, id);
        }
        self.dirty_members.push(id);
    }

    /// The labels that everything in the namespace inherits may have changed, or, where an account is
    /// named, those that its endpoints inherit.
    pub(super) fn relabel(&mut self, namespace: &str, account: Option<&str>) {
        let homes = self.selectors.homes_in(namespace).to_vec();
        for id in homes {
            let Some(home) = self.selectors.home(id) else { continue };
            let inherits = account.is_none_or(|account| *home.account == *account);
            if !inherits || home.origin == Origin::Host {
                continue;
            }
            let (origin, account) = (home.origin, home.account.clone());
            let inventory = &self.inventory;
            let inherit =
                |heir: &mut Heir<'_>| inherit(inventory, origin, namespace, &account, heir);
            for (persona, n_tests, delta) in self.selectors.relabel(id, inherit) {
                self.regroup(persona, n_tests, &delta);
            }
        }
    }

    /// The matches of a persona moved because of what it inherits.
    fn regroup(&mut self, persona: PersonaId, n_tests: u64, delta: &Delta) {
        let first = self.selectors.members_of(persona).next();
        first.into_iter().for_each(|first| self.log_matched(first, n_tests));
        if delta.is_empty() {
            return;
        }
        for member in self.selectors.members_of(persona) {
            let Some(record) = self.roster.get(member) else { continue };
            if self.is_regrouped(delta, record.ports(), record.ports()) {
                for prefix in record.prefixes.as_slice() {
                    self.addresses.touch(*prefix);
                }
            }
            self.names.touch(member);
            self.dirty_members.push(member);
        }
    }

    fn log_matched(&mut self, id: MemberId, n_selectors: u64) {
        if n_selectors > 0
            && self.work.is_some()
            && let Some(key) = self.roster.key(id, &self.selectors)
        {
            self.log(|| Work::Matched { member: key.to_string(), n_selectors });
        }
    }

    pub(super) fn member(&self, id: &EndpointId) -> Option<MemberId> {
        self.roster.find(Origin::of(id.kind), &id.namespace, &id.name, &self.selectors)
    }

    /// Every prefix that is in the group by itself, not by what covers it.
    pub(super) fn prefixes_of(&self, group: GroupId) -> Vec<IpNet> {
        let of_members = |members: &mut dyn Iterator<Item = MemberId>| -> Vec<IpNet> {
            members
                .filter_map(|id| self.roster.get(id))
                .flat_map(|record| record.prefixes.as_slice().iter().copied())
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
            Some(GroupKind::Name { name, .. }) => of_members(&mut self.roster.with_port(name)),
        }
    }
}

/// What members of the origin inherit. A host endpoint says all its labels itself.
fn inherit(
    inventory: &Inventory,
    origin: Origin,
    namespace: &str,
    account: &str,
    heir: &mut Heir<'_>,
) {
    match origin {
        Origin::Pod | Origin::Workload => inventory.endpoints_inherit(namespace, account, heir),
        Origin::NetworkSet | Origin::GlobalNetworkSet => inventory.sets_inherit(namespace, heir),
        Origin::Host => {}
    }
}

fn pairs(labels: &Labels) -> Vec<(&str, &str)> {
    labels.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect()
}

impl MemberKey {
    pub fn of(origin: Origin, namespace: &str, name: &str) -> Self {
        let endpoint = |kind| {
            Self::Endpoint(EndpointId {
                kind,
                namespace: namespace.to_owned(),
                name: name.to_owned(),
            })
        };
        let set = |kind| {
            Self::NetworkSet(ObjectKey {
                kind,
                namespace: namespace.to_owned(),
                name: name.to_owned(),
            })
        };
        match origin {
            Origin::Pod => endpoint(EndpointKind::Pod),
            Origin::Workload => endpoint(EndpointKind::Workload),
            Origin::Host => endpoint(EndpointKind::Host),
            Origin::NetworkSet => set(Kind::NetworkSet),
            Origin::GlobalNetworkSet => set(Kind::GlobalNetworkSet),
        }
    }
}

impl Origin {
    fn of(kind: EndpointKind) -> Self {
        match kind {
            EndpointKind::Pod => Origin::Pod,
            EndpointKind::Workload => Origin::Workload,
            EndpointKind::Host => Origin::Host,
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
