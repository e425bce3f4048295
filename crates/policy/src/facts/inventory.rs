//! All facts, by key.

use std::collections::{BTreeMap, BTreeSet};

use bulkhead_api::object::Kind;
use bulkhead_api::{Object, ObjectKey};
use bulkhead_types::{EndpointId, EndpointKind, Labels};

use super::{
    Backends, Described, Endpoint, Hosts, KUBERNETES_NAME, NAME, NAMESPACE, NAMESPACE_PREFIX,
    NetworkSet, NodeFacts, ORCHESTRATOR, SERVICE_ACCOUNT, SERVICE_ACCOUNT_PREFIX, Services,
    TouchedHosts,
};
use crate::lower::{Diagnostic, Notes};
use crate::rule::ServiceRef;

#[derive(Clone, Debug, Default)]
pub struct Inventory {
    namespaces: BTreeMap<String, Labels>,
    service_accounts: BTreeMap<(String, String), Labels>,
    pub endpoints: BTreeMap<EndpointId, Endpoint>,
    pub network_sets: BTreeMap<ObjectKey, NetworkSet>,
    pub nodes: BTreeMap<String, NodeFacts>,
    pub services: Services,
    pub hosts: Hosts,
}

/// What a changed object may move.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Touched {
    /// No fact.
    Nothing,
    Endpoint(EndpointId),
    NetworkSet(ObjectKey),
    /// The labels that everything in the namespace inherits.
    Namespace(String),
    /// The labels that the account's endpoints inherit: namespace, name.
    ServiceAccount(String, String),
    /// What stands behind these services.
    Services(BTreeSet<ServiceRef>),
    /// Host endpoints and what they depend on; the node, if the object is one.
    Hosts(TouchedHosts),
}

impl Inventory {
    /// Takes in an object of a kind that is a fact; other kinds touch nothing.
    pub fn upsert(&mut self, object: &Object) -> (Touched, Vec<Diagnostic>) {
        let key = object.key();
        let mut notes = Notes::default();
        let labels = || object.metadata().labels.clone().unwrap_or_default();
        if let Object::Node(node) = object {
            self.nodes.insert(key.name.clone(), NodeFacts::new(node, &mut notes));
        }
        if let Some(touched) = self.hosts.upsert(object, &self.nodes, &mut notes) {
            return (Touched::Hosts(touched), notes.about(object));
        }
        let touched = match object {
            Object::Namespace(_) => {
                self.namespaces.insert(key.name.clone(), labels());
                Touched::Namespace(key.name)
            }
            Object::ServiceAccount(_) => {
                self.service_accounts.insert((key.namespace.clone(), key.name.clone()), labels());
                Touched::ServiceAccount(key.namespace, key.name)
            }
            Object::Service(service) => {
                Touched::Services([self.services.put(service, &key, &mut notes)].into())
            }
            Object::EndpointSlice(slice) => {
                Touched::Services(self.services.put_slice(slice, &key, &mut notes))
            }
            Object::Pod(_) | Object::Workload(_) => match Described::read(object, &mut notes) {
                Some(endpoint) => self.put_endpoint(endpoint.to_endpoint()),
                None => self.remove(&key),
            },
            Object::NetworkSet(set) => self.put_set(NetworkSet::new(
                key,
                set.metadata.labels.as_ref(),
                &set.spec,
                &mut notes,
            )),
            Object::GlobalNetworkSet(set) => self.put_set(NetworkSet::new(
                key,
                set.metadata.labels.as_ref(),
                &set.spec,
                &mut notes,
            )),
            _ => Touched::Nothing,
        };
        (touched, notes.about(object))
    }

    pub fn remove(&mut self, key: &ObjectKey) -> Touched {
        if key.kind == Kind::Node {
            self.nodes.remove(&key.name);
        }
        if let Some(touched) = self.hosts.remove(key, &self.nodes) {
            return Touched::Hosts(touched);
        }
        let ObjectKey { kind, namespace, name } = key.clone();
        match kind {
            Kind::Namespace => {
                self.namespaces.remove(&name);
                Touched::Namespace(name)
            }
            Kind::ServiceAccount => {
                self.service_accounts.remove(&(namespace.clone(), name.clone()));
                Touched::ServiceAccount(namespace, name)
            }
            Kind::Service => Touched::Services([self.services.remove(key)].into()),
            Kind::EndpointSlice => Touched::Services(self.services.remove_slice(key)),
            Kind::Pod | Kind::Workload => {
                let kind = match kind {
                    Kind::Pod => EndpointKind::Pod,
                    _ => EndpointKind::Workload,
                };
                let id = EndpointId { kind, namespace, name };
                self.endpoints.remove(&id);
                Touched::Endpoint(id)
            }
            Kind::NetworkSet | Kind::GlobalNetworkSet => {
                self.network_sets.remove(key);
                Touched::NetworkSet(key.clone())
            }
            _ => Touched::Nothing,
        }
    }

    fn put_endpoint(&mut self, endpoint: Endpoint) -> Touched {
        let id = endpoint.id.clone();
        self.endpoints.insert(id.clone(), endpoint);
        Touched::Endpoint(id)
    }

    fn put_set(&mut self, set: NetworkSet) -> Touched {
        let key = set.key.clone();
        self.network_sets.insert(key.clone(), set);
        Touched::NetworkSet(key)
    }

    /// What stands behind a service; nothing behind an unknown one.
    pub fn backends(&self, id: &ServiceRef) -> Backends {
        let of_kind = |first: EndpointId| {
            let (kind, namespace) = (first.kind, first.namespace.clone());
            let from_there = self.endpoints.range(first..);
            from_there
                .take_while(move |(id, _)| id.kind == kind && id.namespace == namespace)
                .map(|(_, endpoint)| endpoint)
        };
        let pods = of_kind(EndpointId::pod(&id.namespace, ""));
        let workloads = pods.chain(of_kind(EndpointId::workload(&id.namespace, "")));
        self.services.backends(id, workloads)
    }

    /// Everything that a selector sees of an endpoint: its own labels, and what it inherits.
    pub fn labels_of(&self, endpoint: &Endpoint) -> Labels {
        let mut labels = endpoint.labels.clone();
        let mut insert = |key: &str, value: &str| {
            labels.insert(key.to_owned(), value.to_owned());
        };
        self.endpoints_inherit(&endpoint.id.namespace, &endpoint.service_account, &mut insert);
        labels
    }

    /// As [`Inventory::labels_of`], of a network set.
    pub fn labels_of_set(&self, set: &NetworkSet) -> Labels {
        let mut labels = set.labels.clone();
        self.sets_inherit(&set.key.namespace, &mut |key, value| {
            labels.insert(key.to_owned(), value.to_owned());
        });
        labels
    }

    /// Where the endpoints of an account belong, and the labels of both; each key once.
    pub fn endpoints_inherit(
        &self,
        namespace: &str,
        account: &str,
        give: &mut dyn FnMut(&str, &str),
    ) {
        give(SERVICE_ACCOUNT, account);
        give(ORCHESTRATOR, "k8s");
        self.namespace_gives(namespace, give);
        let of_account = self.service_accounts.get(&(namespace.to_owned(), account.to_owned()));
        lend(of_account, SERVICE_ACCOUNT_PREFIX, &[NAME], account, give);
    }

    /// A namespaced set belongs to its namespace; a global one to none.
    pub fn sets_inherit(&self, namespace: &str, give: &mut dyn FnMut(&str, &str)) {
        if !namespace.is_empty() {
            self.namespace_gives(namespace, give);
        }
    }

    fn namespace_gives(&self, namespace: &str, give: &mut dyn FnMut(&str, &str)) {
        give(NAMESPACE, namespace);
        let of_namespace = self.namespaces.get(namespace);
        lend(of_namespace, NAMESPACE_PREFIX, &[NAME, KUBERNETES_NAME], namespace, give);
    }
}

/// The labels of a namespace or account under its prefix. One that nobody declared still has its
/// name, and one that says another name is not believed.
fn lend(
    labels: Option<&Labels>,
    prefix: &str,
    names: &[&str],
    name: &str,
    give: &mut dyn FnMut(&str, &str),
) {
    let mut key = prefix.to_owned();
    let mut give = |suffix: &str, value: &str| {
        key.truncate(prefix.len());
        key.push_str(suffix);
        give(&key, value);
    };
    let declared = labels.into_iter().flatten().filter(|(key, _)| !names.contains(&key.as_str()));
    declared.for_each(|(key, value)| give(key, value));
    names.iter().for_each(|key| give(key, name));
}
