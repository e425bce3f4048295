//! All endpoints and network sets, each in as few bytes as it takes: most of a large world's memory
//! is here. What many share (namespaces, labels, ports, nodes) is held once and pointed to.
//!
//! INVARIANT(roster): a member has a record here exactly as long as it has a persona in `select`,
//! which knows its namespace and labels.

use std::sync::Arc;

use bulkhead_types::{EndpointId, Mac};
use hashbrown::{Equivalent, HashMap, HashSet};
use ipnet::IpNet;

use super::members::MemberKey;
use crate::facts::{Endpoint, NamedPort, Word, Words};
use crate::select::{Finder, Ids, MemberId, Origin, Selectors};

#[derive(Debug)]
pub struct Record {
    pub name: Box<str>,
    pub prefixes: Prefixes,
    pub ports: Option<Arc<[NamedPort]>>,
    pub node: Option<Word>,
    pub interface: Option<Box<Interface>>,
}

/// What the object says of its interface. Few do, so it takes one pointer.
#[derive(Debug)]
pub struct Interface {
    /// On the host's side.
    pub name: Option<Box<str>>,
    pub mac: Option<Mac>,
}

/// Nearly everybody has one.
#[derive(Debug, PartialEq, Eq)]
pub enum Prefixes {
    One(IpNet),
    Many(Box<[IpNet]>),
}

#[derive(Debug, Default)]
pub struct Roster {
    records: Vec<Option<Record>>,
    free: Vec<MemberId>,
    /// Left in this round: not to be used again before the round is over.
    left: Vec<MemberId>,
    by_key: Finder<MemberId>,
    with_port: HashMap<String, Ids>,
    port_lists: HashSet<Arc<[NamedPort]>>,
    n_port_lists_swept: usize,
    words: Words,
}

impl Prefixes {
    pub fn new(prefixes: impl ExactSizeIterator<Item = IpNet>) -> Self {
        let mut prefixes = prefixes;
        match (prefixes.len(), prefixes.next()) {
            (1, Some(one)) => Self::One(one),
            (_, first) => Self::Many(first.into_iter().chain(prefixes).collect()),
        }
    }

    pub fn as_slice(&self) -> &[IpNet] {
        match self {
            Self::One(one) => std::slice::from_ref(one),
            Self::Many(many) => many,
        }
    }
}

impl Record {
    pub fn interface(&self) -> Option<String> {
        self.interface.as_ref()?.name.as_ref().map(|name| name.to_string())
    }

    pub fn mac(&self) -> Option<Mac> {
        self.interface.as_ref()?.mac
    }

    pub fn ports(&self) -> &[NamedPort] {
        self.ports.as_deref().unwrap_or_default()
    }
}

impl Roster {
    pub fn get(&self, id: MemberId) -> Option<&Record> {
        self.records.get(id.0 as usize)?.as_ref()
    }

    pub fn find(
        &self,
        origin: Origin,
        namespace: &str,
        name: &str,
        selectors: &Selectors,
    ) -> Option<MemberId> {
        let is_same = |id: MemberId| {
            self.get(id).is_some_and(|record| *record.name == *name)
                && selectors
                    .home_of(id)
                    .is_some_and(|home| home.origin == origin && *home.namespace == *namespace)
        };
        self.by_key.find(&(origin, namespace, name), is_same)
    }

    pub fn ids(&self) -> impl Iterator<Item = MemberId> {
        let all = (0u32..).map(MemberId).zip(&self.records);
        all.filter(|(_, record)| record.is_some()).map(|(id, _)| id)
    }

    /// The id of the next member that is put in.
    pub fn next(&mut self) -> MemberId {
        self.free.pop().unwrap_or_else(|| {
            self.records.push(None);
            MemberId((self.records.len() - 1) as u32)
        })
    }

    /// Puts in a new record, or takes the place of the old, which is given. The member's persona must
    /// be known already.
    pub fn put(&mut self, id: MemberId, record: Record, selectors: &Selectors) -> Option<Record> {
        for port in record.ports() {
            if !self.with_port.contains_key(&port.name) {
                self.with_port.insert(port.name.clone(), Ids::default());
            }
            if let Some(members) = self.with_port.get_mut(&port.name) {
                members.insert(id.0);
            }
        }
        let slot = self.records.get_mut(id.0 as usize)?;
        let old_record = slot.replace(record);
        if let Some(old) = &old_record {
            let new = self.get(id).map_or(&[][..], Record::ports);
            let gone = old.ports().iter().filter(|port| new.iter().all(|p| p.name != port.name));
            let gone: Vec<NamedPort> = gone.cloned().collect();
            self.unlink_ports(id, &gone);
            return old_record;
        }
        let record = self.records.get(id.0 as usize).and_then(Option::as_ref);
        if let Some((record, home)) = record.zip(selectors.home_of(id)) {
            self.by_key.insert(&(home.origin, &*home.namespace, &*record.name), id);
        }
        None
    }

    /// To be called before the member loses its persona.
    pub fn remove(&mut self, id: MemberId, selectors: &Selectors) -> Option<Record> {
        let record = self.records.get_mut(id.0 as usize)?.take()?;
        if let Some(home) = selectors.home_of(id) {
            self.by_key.remove(&(home.origin, &*home.namespace, &*record.name), id);
        }
        self.unlink_ports(id, record.ports());
        self.left.push(id);
        Some(record)
    }

    fn unlink_ports(&mut self, id: MemberId, ports: &[NamedPort]) {
        for port in ports {
            let Some(members) = self.with_port.get_mut(&port.name) else { continue };
            members.remove(id.0);
            if members.is_empty() {
                self.with_port.remove(&port.name);
            }
        }
    }

    pub fn with_port(&self, name: &str) -> impl Iterator<Item = MemberId> + '_ {
        self.with_port.get(name).into_iter().flat_map(Ids::iter).map(MemberId)
    }

    pub fn word(&mut self, text: &str) -> Word {
        self.words.intern(text)
    }

    /// Equal lists share memory.
    pub fn port_list(&mut self, ports: &[NamedPort<&str>]) -> Option<Arc<[NamedPort]>> {
        if ports.is_empty() {
            return None;
        }
        if let Some(list) = self.port_lists.get(&Written(ports)) {
            return Some(Arc::clone(list));
        }
        let list: Arc<[NamedPort]> = ports.iter().map(NamedPort::to_owned).collect();
        self.port_lists.insert(Arc::clone(&list));
        Some(list)
    }

    pub fn is_idle(&self) -> bool {
        self.by_key.is_empty() && self.with_port.is_empty()
    }

    /// After a round: ids may be used again, and what nobody shares any more is forgotten.
    pub fn sweep(&mut self) {
        self.free.append(&mut self.left);
        self.words.sweep();
        if self.port_lists.len() > 2 * self.n_port_lists_swept + 1024 {
            self.port_lists.retain(|list| Arc::strong_count(list) > 1);
            self.n_port_lists_swept = self.port_lists.len();
        }
    }

    pub fn key(&self, id: MemberId, selectors: &Selectors) -> Option<MemberKey> {
        let home = selectors.home_of(id)?;
        Some(MemberKey::of(home.origin, &home.namespace, &self.get(id)?.name))
    }

    /// The workload as its object described it; `None` also for a host endpoint.
    pub fn endpoint(&self, id: MemberId, selectors: &Selectors) -> Option<Endpoint> {
        let (record, home) = (self.get(id)?, selectors.home_of(id)?);
        let key = self.key(id, selectors)?;
        let MemberKey::Endpoint(endpoint) = key else { return None };
        if home.origin == Origin::Host {
            return None;
        }
        Some(Endpoint {
            id: endpoint,
            labels: selectors.own_labels(id),
            service_account: home.account.to_string(),
            node: record.node.as_deref().map(str::to_owned),
            addresses: record.prefixes.as_slice().iter().map(IpNet::addr).collect(),
            ports: record.ports().to_vec(),
            interface: record.interface(),
            mac: record.mac(),
        })
    }

    pub fn endpoint_id(&self, id: MemberId, selectors: &Selectors) -> Option<EndpointId> {
        match self.key(id, selectors)? {
            MemberKey::Endpoint(id) => Some(id),
            MemberKey::NetworkSet(_) => None,
        }
    }
}

/// A list of ports in the words of its object, to be looked up among those that are held.
#[derive(Hash)]
struct Written<'a>(&'a [NamedPort<&'a str>]);

impl Equivalent<Arc<[NamedPort]>> for Written<'_> {
    fn equivalent(&self, held: &Arc<[NamedPort]>) -> bool {
        self.0.iter().copied().eq(held.iter().map(NamedPort::as_ref))
    }
}
