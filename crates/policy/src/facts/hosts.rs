//! All that is known about hosts, by key.
//!
//! Invariant: `automatic` is what `controllers` makes of the nodes there are, and nothing else.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use bulkhead_api::Object;
use bulkhead_api::ObjectKey;
use bulkhead_api::object::Kind;
use bulkhead_types::host::default_failsafe;
use bulkhead_types::{Direction, EndpointId, FailsafePort, Labels, ToHost};

use super::NodeFacts;
use super::host::{AutoHosts, ByHost, DEFAULT_ALLOW, HostEndpoint};
use super::profile::Profile;
use super::settings::Settings;
use crate::lower::{Diagnostic, Notes};

#[derive(Clone, Debug, Default)]
pub struct Hosts {
    written: ByHost,
    automatic: ByHost,
    /// The automatic ones of each node.
    made: BTreeMap<String, Vec<EndpointId>>,
    controllers: Option<AutoHosts>,
    profiles: BTreeMap<String, Profile>,
    settings: BTreeMap<String, Settings>,
    /// What reading the written ones had to say.
    said: BTreeMap<EndpointId, Vec<Diagnostic>>,
}

/// What a changed object may move.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TouchedHosts {
    pub endpoints: BTreeSet<EndpointId>,
    pub nodes: BTreeSet<String>,
    /// Settings of every node.
    pub all_nodes: bool,
    /// The change is that of a node's object.
    pub by_node: bool,
    /// A profile that came, changed or went.
    pub profile: Option<String>,
}

type Nodes = BTreeMap<String, NodeFacts>;

/// The objects of these names are the ones that are read.
const DEFAULT: &str = "default";
const NODE_PREFIX: &str = "node.";

impl Hosts {
    pub fn get(&self, id: &EndpointId) -> Option<&HostEndpoint> {
        self.written.get(id).or_else(|| self.automatic.get(id))
    }

    /// Every host endpoint: the written ones by id, then the automatic ones by id.
    pub fn iter(&self) -> impl Iterator<Item = &HostEndpoint> {
        let is_alone = |(id, _): &(&EndpointId, &HostEndpoint)| !self.written.contains_key(*id);
        let automatic = self.automatic.iter().filter(is_alone).map(|(_, host)| host);
        self.written.values().chain(automatic)
    }

    pub fn profile(&self, name: &str) -> Option<&Profile> {
        self.profiles.get(name)
    }

    /// Everything that a selector sees of a host endpoint: its own labels, then those that its
    /// profiles lend, the first listed first.
    pub fn labels_of(&self, host: &HostEndpoint) -> Labels {
        let mut labels = host.labels.clone();
        for profile in host.profiles.iter().filter_map(|name| self.profiles.get(name)) {
            for (key, value) in &profile.labels {
                labels.entry(key.clone()).or_insert_with(|| value.clone());
            }
        }
        labels
    }

    pub fn failsafe(&self, node: &str, direction: Direction) -> Vec<FailsafePort> {
        let settings = self.settings_of(node);
        let written = match direction {
            Direction::Ingress => settings.inbound,
            Direction::Egress => settings.outbound,
        };
        written.unwrap_or_else(|| default_failsafe(direction))
    }

    pub fn to_host(&self, node: &str) -> ToHost {
        self.settings_of(node).to_host.unwrap_or_default()
    }

    fn settings_of(&self, node: &str) -> Settings {
        let common = self.settings.get(DEFAULT).cloned().unwrap_or_default();
        match self.settings.get(&format!("{NODE_PREFIX}{node}")) {
            Some(own) => own.clone().or(&common),
            None => common,
        }
    }

    /// Every address that a host endpoint gives its node, with the node.
    pub fn addresses(&self) -> impl Iterator<Item = (IpAddr, &str)> {
        self.iter()
            .filter(|host| !host.node.is_empty())
            .flat_map(|host| host.addresses.iter().map(|address| (*address, host.node.as_str())))
    }

    fn reads(kind: Kind) -> bool {
        matches!(
            kind,
            Kind::HostEndpoint
                | Kind::Node
                | Kind::KubeControllersConfiguration
                | Kind::Profile
                | Kind::FelixConfiguration
        )
    }

    /// `None` for kinds that say nothing about hosts.
    pub fn upsert(
        &mut self,
        object: &Object,
        nodes: &Nodes,
        notes: &mut Notes,
    ) -> Option<TouchedHosts> {
        if !Self::reads(object.kind()) {
            return None;
        }
        let name = object.metadata().name.clone().unwrap_or_default();
        Some(match object {
            Object::HostEndpoint(written) => {
                let mut own = Notes::default();
                let host = HostEndpoint::new(written, &mut own);
                let id = host.id.clone();
                self.said.insert(id.clone(), own.about(object));
                let nodes = self.node_of(&id).into_iter().chain([host.node.clone()]).collect();
                self.written.insert(id.clone(), host);
                TouchedHosts { endpoints: [id].into(), nodes, ..TouchedHosts::default() }
            }
            Object::Node(_) => TouchedHosts { by_node: true, ..self.remake([&name], nodes) },
            Object::KubeControllersConfiguration(written) => {
                if name != DEFAULT {
                    notes.warning("metadata.name", "only `default` is read");
                    return Some(TouchedHosts::default());
                }
                self.controllers = AutoHosts::new(written, notes);
                self.remake(nodes.keys(), nodes)
            }
            Object::Profile(written) => {
                let profile = Profile::new(written, notes);
                if name == DEFAULT_ALLOW {
                    notes.warning("spec", "is built in, allows both ways and cannot be changed");
                    return Some(TouchedHosts::default());
                }
                self.profiles.insert(name.clone(), profile);
                self.touch_profile(&name)
            }
            Object::FelixConfiguration(written) => {
                self.settings.insert(name.clone(), Settings::new(written, notes));
                self.touch_settings(&name)
            }
            _ => return None,
        })
    }

    pub fn remove(&mut self, key: &ObjectKey, nodes: &Nodes) -> Option<TouchedHosts> {
        let name = &key.name;
        Some(match key.kind {
            Kind::HostEndpoint => {
                let id = EndpointId::host(name.clone());
                let nodes = self.node_of(&id).into_iter().collect();
                self.written.remove(&id);
                self.said.remove(&id);
                TouchedHosts { endpoints: [id].into(), nodes, ..TouchedHosts::default() }
            }
            Kind::Node => TouchedHosts { by_node: true, ..self.remake([name], nodes) },
            Kind::KubeControllersConfiguration if name == DEFAULT => {
                self.controllers = None;
                self.remake(nodes.keys(), nodes)
            }
            Kind::Profile if name != DEFAULT_ALLOW => {
                self.profiles.remove(name);
                self.touch_profile(name)
            }
            Kind::FelixConfiguration => {
                self.settings.remove(name);
                self.touch_settings(name)
            }
            _ => return None,
        })
    }

    /// What there is to say about a written host endpoint; depends on other objects too.
    pub fn diagnostics(&self, id: &EndpointId) -> Vec<Diagnostic> {
        let Some(host) = self.written.get(id) else { return Vec::new() };
        let key =
            ObjectKey { kind: Kind::HostEndpoint, namespace: String::new(), name: id.name.clone() };
        let mut notes = Notes::default();
        for (position, name) in host.profiles.iter().enumerate() {
            if name != DEFAULT_ALLOW && !self.profiles.contains_key(name) {
                let effect = "what no tier and no profile before it decides is denied";
                let message = format!("there is no profile `{name}`");
                notes.reading(effect, |n| n.error(format!("spec.profiles[{position}]"), message));
            }
        }
        if self.automatic.contains_key(id) {
            let message = "takes the place of the automatic host endpoint of the same name";
            notes.warning("metadata.name", message);
        }
        self.said.get(id).into_iter().flatten().cloned().chain(notes.about_key(&key)).collect()
    }

    /// The host endpoints that were written.
    pub fn written(&self) -> impl Iterator<Item = &EndpointId> {
        self.written.keys()
    }

    fn node_of(&self, id: &EndpointId) -> Option<String> {
        self.get(id).map(|host| host.node.clone())
    }

    fn remake<'a>(
        &mut self,
        names: impl IntoIterator<Item = &'a String>,
        nodes: &Nodes,
    ) -> TouchedHosts {
        let mut touched = TouchedHosts::default();
        for name in names {
            for id in self.made.remove(name).into_iter().flatten() {
                self.automatic.remove(&id);
                touched.endpoints.insert(id);
            }
            touched.nodes.insert(name.clone());
        }
        for name in &touched.nodes {
            let Some(node) = nodes.get(name) else { continue };
            for host in self.controllers.iter().flat_map(|auto| auto.of(name, node)) {
                touched.endpoints.insert(host.id.clone());
                self.made.entry(name.clone()).or_default().push(host.id.clone());
                self.automatic.insert(host.id.clone(), host);
            }
        }
        touched
    }

    fn touch_profile(&self, name: &str) -> TouchedHosts {
        let lists = |host: &&HostEndpoint| host.profiles.iter().any(|profile| profile == name);
        TouchedHosts {
            endpoints: self.iter().filter(lists).map(|host| host.id.clone()).collect(),
            profile: Some(name.to_owned()),
            ..TouchedHosts::default()
        }
    }

    fn touch_settings(&self, name: &str) -> TouchedHosts {
        let node = name.strip_prefix(NODE_PREFIX);
        let concerned = |host: &&HostEndpoint| node.is_none_or(|node| host.node == node);
        if node.is_none() && name != DEFAULT {
            return TouchedHosts::default();
        }
        TouchedHosts {
            endpoints: self.iter().filter(concerned).map(|host| host.id.clone()).collect(),
            nodes: node.map(str::to_owned).into_iter().collect(),
            all_nodes: node.is_none(),
            ..TouchedHosts::default()
        }
    }
}
