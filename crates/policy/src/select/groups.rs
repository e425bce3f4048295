//! Groups: each distinct thing that some rule asks of an address, once.
//!
//! A named port is asked for as a *name* group, which has no members of its own; its *atoms* do, one
//! for each (protocol, number) that the name stands for somewhere. A rule that sees the name sees
//! all its atoms, also those yet to come.

mod derived;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, OnceLock};

use bulkhead_types::{Protocol, Selector};
use bulkhead_wire::id::content_hash;
use hashbrown::HashMap;
use ipnet::IpNet;
use rustc_hash::FxHashMap;

use super::selectors::{SelectorId, Selectors};
use crate::facts::NamedPort;
use crate::rule::{DomainPattern, ServiceRef};

/// Never used twice, so that a stale id can be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct GroupId(pub u32);

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum GroupKind {
    /// Addresses of the members that the selector matches.
    Selector(SelectorId),
    /// Addresses within one of the nets.
    Nets(Arc<[IpNet]>),
    /// What a port name stands for among the endpoints that the selector, if any, matches.
    Name { selector: Option<SelectorId>, name: String },
    /// Addresses behind the service; with ports, addresses and ports.
    Service { service: ServiceRef, with_ports: bool },
    /// Addresses of the nodes that match.
    Nodes(Selector),
    /// Addresses that were looked up under these names; only nodes know which.
    Domains(Arc<[DomainPattern]>),
    /// Addresses at which the name, or the service, stands for this port.
    Atom { name: GroupId, protocol: Protocol, port: u16 },
}

#[derive(Debug, Default)]
pub struct Groups {
    by_kind: HashMap<GroupKind, GroupId>,
    groups: FxHashMap<GroupId, Group>,
    /// Name groups by port name.
    by_name: HashMap<String, BTreeSet<GroupId>>,
    atoms: FxHashMap<GroupId, BTreeMap<(Protocol, u16), GroupId>>,
    /// Without uses; retired at the next [`Groups::retire`] unless used again before.
    idle: BTreeSet<GroupId>,
    next: u32,
}

#[derive(Debug)]
struct Group {
    kind: GroupKind,
    /// Same for the same meaning, in every process.
    content: Content,
    n_uses: usize,
}

#[derive(Debug)]
enum Content {
    Known(u64),
    /// Worked out when it is first needed: many groups are never told to any node.
    OfSelector(Selector, OnceLock<u64>),
}

impl Content {
    fn get(&self) -> u64 {
        match self {
            Content::Known(content) => *content,
            Content::OfSelector(selector, content) => *content.get_or_init(|| {
                content_hash([b"selector".as_slice(), selector.expr().to_string().as_bytes()])
            }),
        }
    }
}

impl Groups {
    /// Counts one more use. The second value says whether the group is new.
    pub fn acquire_selector(
        &mut self,
        selector: &Selector,
        selectors: &mut Selectors,
    ) -> (GroupId, bool) {
        let id = selectors.acquire(selector);
        let (group, is_new) = self.acquire(
            GroupKind::Selector(id),
            Content::OfSelector(selector.clone(), OnceLock::new()),
        );
        if !is_new {
            // The group itself holds one use of the selector.
            selectors.release(id);
        }
        (group, is_new)
    }

    pub fn acquire_nets(&mut self, nets: &Arc<[IpNet]>) -> (GroupId, bool) {
        let text: Vec<String> = nets.iter().map(IpNet::to_string).collect();
        let content = content_hash([b"nets".as_slice(), text.join(",").as_bytes()]);
        self.acquire(GroupKind::Nets(Arc::clone(nets)), Content::Known(content))
    }

    pub fn acquire_name(
        &mut self,
        selector: Option<&Selector>,
        name: &str,
        selectors: &mut Selectors,
    ) -> (GroupId, bool) {
        let id = selector.map(|selector| selectors.acquire(selector));
        let canonical = selector.map(Selector::canonical).unwrap_or_default();
        let content = content_hash([b"name".as_slice(), canonical.as_bytes(), name.as_bytes()]);
        let kind = GroupKind::Name { selector: id, name: name.to_owned() };
        let (group, is_new) = self.acquire(kind, Content::Known(content));
        if is_new {
            self.by_name.entry(name.to_owned()).or_default().insert(group);
        } else if let Some(id) = id {
            selectors.release(id);
        }
        (group, is_new)
    }

    fn acquire(&mut self, kind: GroupKind, content: Content) -> (GroupId, bool) {
        if let Some(&id) = self.by_kind.get(&kind) {
            if let Some(group) = self.groups.get_mut(&id) {
                group.n_uses += 1;
            }
            self.idle.remove(&id);
            return (id, false);
        }
        let id = GroupId(self.next);
        self.next += 1;
        self.by_kind.insert(kind.clone(), id);
        self.groups.insert(id, Group { kind, content, n_uses: 1 });
        (id, true)
    }

    pub fn release(&mut self, id: GroupId) {
        if let Some(group) = self.groups.get_mut(&id) {
            group.n_uses -= 1;
            if group.n_uses == 0 {
                self.idle.insert(id);
            }
        }
    }

    /// Unused groups, which the next [`Groups::retire`] takes out of use.
    pub fn idle(&self) -> impl Iterator<Item = GroupId> + '_ {
        self.idle.iter().copied()
    }

    /// Takes every unused group, with its atoms, out of use: no address belongs to it from now on.
    /// What it was can still be asked until [`Groups::forget`].
    pub fn retire(&mut self, selectors: &mut Selectors) -> Vec<GroupId> {
        let retired: Vec<GroupId> = std::mem::take(&mut self.idle).into_iter().collect();
        for &id in &retired {
            let Some(group) = self.groups.get(&id) else { continue };
            self.by_kind.remove(&group.kind);
            match &group.kind {
                GroupKind::Selector(selector) => selectors.release(*selector),
                GroupKind::Name { selector, name } => {
                    if let Some(names) = self.by_name.get_mut(name) {
                        names.remove(&id);
                        if names.is_empty() {
                            self.by_name.remove(name);
                        }
                    }
                    if let Some(selector) = selector {
                        selectors.release(*selector);
                    }
                }
                _ => {}
            }
            for atom in self.atoms.get(&id).into_iter().flat_map(BTreeMap::values) {
                if let Some(atom) = self.groups.get(atom) {
                    self.by_kind.remove(&atom.kind);
                }
            }
        }
        retired
    }

    /// Forgets retired groups for good.
    pub fn forget(&mut self, retired: &[GroupId]) {
        for id in retired {
            self.groups.remove(id);
            for atom in self.atoms.remove(id).into_iter().flat_map(BTreeMap::into_values) {
                self.groups.remove(&atom);
            }
        }
    }

    /// Whether nothing is held.
    pub fn is_idle(&self) -> bool {
        self.groups.is_empty() && self.by_kind.is_empty() && self.atoms.is_empty()
    }

    pub fn kind(&self, id: GroupId) -> Option<&GroupKind> {
        self.groups.get(&id).map(|group| &group.kind)
    }

    pub fn content(&self, id: GroupId) -> u64 {
        self.groups.get(&id).map_or(0, |group| group.content.get())
    }

    /// Under which group a rule asks for this one: an atom is asked for by its name.
    pub fn seen_as(&self, id: GroupId) -> GroupId {
        match self.kind(id) {
            Some(GroupKind::Atom { name, .. }) => *name,
            _ => id,
        }
    }

    /// The (protocol, number) of an atom of the name.
    pub fn port_of(&self, id: GroupId, of_name: GroupId) -> Option<(Protocol, u16)> {
        match self.kind(id) {
            Some(GroupKind::Atom { name, protocol, port }) if *name == of_name => {
                Some((*protocol, *port))
            }
            _ => None,
        }
    }

    /// The groups that an address is in because of a member with these matches (sorted) and ports,
    /// unsorted. Makes the atoms that the ports need.
    pub fn of_member(&mut self, matches: &[SelectorId], ports: &[NamedPort]) -> Vec<GroupId> {
        let mut groups: Vec<GroupId> = matches
            .iter()
            .filter_map(|id| self.by_kind.get(&GroupKind::Selector(*id)).copied())
            .collect();
        for port in ports {
            let names: Vec<GroupId> =
                self.by_name.get(&port.name).into_iter().flatten().copied().collect();
            for name in names {
                let Some(GroupKind::Name { selector, .. }) = self.kind(name) else { continue };
                if selector.is_none_or(|selector| matches.binary_search(&selector).is_ok()) {
                    groups.push(self.atom(name, port.protocol, port.port));
                }
            }
        }
        groups
    }

    /// Whether some rule asks for the selector.
    pub fn is_asked(&self, selector: SelectorId) -> bool {
        self.by_kind.contains_key(&GroupKind::Selector(selector))
    }
}
