//! Who is meant by a name: the ends of connections as people and files write them.
//!
//! | written | meant |
//! |---|---|
//! | `shop/web`, `web` | the Pod or Workload, or the pods of the owner called so; without a slash in `default` |
//! | `shop/web[Deployment]` | the pods of that owner |
//! | `host/NAME` | a host endpoint |
//! | `svc:shop/web` | what stands behind the Service's port; destinations only |
//! | `10.0.0.1`, `fd00::1` | an address, which is the workload's that has it |
//! | `api.example.com` | an address outside that was looked up under this name; destinations only |
//! | `a.example.com,b.example.org` | one that was looked up under all of these; one of them may be its address |
//!
//! Invariant: a name that means nobody is an error with the nearest known name, never an address.

mod connection;
mod error;

use std::cell::Cell;
use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;

use bulkhead_api::Object;
use bulkhead_api::manifest::nearest;
use bulkhead_api::owner::Owner;
use bulkhead_api::service::{PortWish, Services};
use bulkhead_policy::World;
use bulkhead_types::{EndpointId, Names, Protocol, Selector};

pub use connection::{Ask, Connection, End, SRC_PORT};
pub use error::AskError;

/// Connections that one question may come to.
pub const CONNECTIONS_MAX: usize = 10_000;
/// Unknown names for which one is looked for that was meant.
const HINTS_MAX: usize = 32;
/// Before the name of a service.
const SERVICE: &str = "svc:";

/// Who is who.
#[derive(Debug)]
pub struct Directory<'a> {
    by_name: HashMap<String, Vec<Known>>,
    by_owner: HashMap<String, Vec<Known>>,
    by_address: HashMap<IpAddr, EndpointId>,
    services: Services<'a>,
    /// Addresses that no rule, workload or set names: strangers', one of each family.
    stranger: [IpAddr; 2],
    /// How often a name was looked for that is near to what was written.
    n_hints: Cell<usize>,
}

/// Somebody with their first address of each family.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Known {
    pub id: EndpointId,
    pub v4: Option<IpAddr>,
    pub v6: Option<IpAddr>,
}

/// One way of being at an end of a connection.
#[derive(Clone, Debug)]
struct Place {
    endpoint: Option<EndpointId>,
    v4: Option<IpAddr>,
    v6: Option<IpAddr>,
    /// Whether an address was written, and no name.
    is_literal: bool,
    /// What a service makes of the port.
    port: Option<(Protocol, u16)>,
}

/// An end before the IP version is settled.
#[derive(Debug)]
struct Side {
    places: Vec<Place>,
    names: Names,
}

impl<'a> Directory<'a> {
    pub fn of(world: &World, objects: &'a [Object]) -> Self {
        let mut directory = Self {
            by_name: HashMap::new(),
            by_owner: HashMap::new(),
            by_address: HashMap::new(),
            services: Services::of(objects),
            stranger: strangers(world),
            n_hints: Cell::new(0),
        };
        for endpoint in world.endpoints() {
            directory.add(&endpoint.id, &endpoint.addresses);
        }
        for host in world.hosts() {
            directory.add(&host.id, &host.addresses);
        }
        directory.add_owners(objects);
        directory
    }

    fn add(&mut self, id: &EndpointId, addresses: &[IpAddr]) {
        for address in addresses {
            self.by_address.entry(*address).or_insert_with(|| id.clone());
        }
        let first = |v6: bool| addresses.iter().copied().find(|a| a.is_ipv6() == v6);
        let known = Known { id: id.clone(), v4: first(false), v6: first(true) };
        self.by_name.entry(id.to_string()).or_default().push(known);
    }

    fn add_owners(&mut self, objects: &[Object]) {
        // By namespace and name, the owners called so.
        let mut called: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for object in objects.iter().filter(|o| matches!(o, Object::Pod(_) | Object::Workload(_))) {
            let Some(owner) = Owner::of(object) else { continue };
            let key = object.key();
            let id = match object {
                Object::Pod(_) => EndpointId::pod(key.namespace, key.name),
                _ => EndpointId::workload(key.namespace, key.name),
            };
            let same = self.by_name.get(&id.to_string()).into_iter().flatten();
            let Some(known) = same.into_iter().find(|known| known.id == id).cloned() else {
                continue;
            };
            let full = owner.to_string();
            let list = called.entry(format!("{}/{}", owner.namespace, owner.name)).or_default();
            if !list.contains(&full) {
                list.push(full.clone());
            }
            self.by_owner.entry(full).or_default().push(known);
        }
        // The short name will do where it means one owner and nothing else.
        for (short, owners) in called {
            if let [only] = owners.as_slice()
                && !self.by_name.contains_key(&short)
                && let Some(pods) = self.by_owner.get(only).cloned()
            {
                self.by_owner.insert(short, pods);
            }
        }
    }

    /// Workloads of a namespace (`None`: of all) that a selector over their own labels selects.
    pub fn select(&self, world: &World, namespace: Option<&str>, by: &Selector) -> Vec<Known> {
        let is_meant = |known: &&Known| {
            namespace.is_none_or(|namespace| known.id.namespace == namespace)
                && world
                    .endpoint(&known.id)
                    .is_some_and(|endpoint| by.matches(&world.labels_of(endpoint)))
        };
        let mut found: Vec<Known> =
            self.by_name.values().flatten().filter(is_meant).cloned().collect();
        found.sort_by(|a, b| a.id.cmp(&b.id));
        found
    }

    fn side(&self, role: &'static str, text: &str, port: Option<u16>) -> Result<Side, AskError> {
        let plain = |places| Ok(Side { places, names: Names::default() });
        if let Ok(address) = text.parse::<IpAddr>() {
            return plain(vec![Place::at(self.by_address.get(&address).cloned(), address)]);
        }
        if let Some(service) = text.strip_prefix(SERVICE) {
            return self.service(role, service, port);
        }
        let full = if text.contains('/') { text.to_owned() } else { format!("default/{text}") };
        match self.by_name.get(&full).map(Vec::as_slice) {
            Some([known]) => return plain(vec![Place::from(known)]),
            Some([_, _, ..]) => return Err(AskError::Ambiguous { role, name: text.to_owned() }),
            None | Some([]) => {}
        }
        if let Some(pods) = self.by_owner.get(&full) {
            return plain(pods.iter().map(Place::from).collect());
        }
        if text.split(',').all(|part| is_domain(part) || part.parse::<IpAddr>().is_ok()) {
            return self.looked_up(role, text);
        }
        Err(AskError::Unknown { role, name: text.to_owned(), near: self.near(&full) })
    }

    /// Names with commas between, and at most one address that they all led to.
    fn looked_up(&self, role: &'static str, text: &str) -> Result<Side, AskError> {
        if role == "src" {
            return Err(AskError::NameAsSource(text.to_owned()));
        }
        let (addresses, names): (Vec<&str>, Vec<&str>) =
            text.split(',').partition(|part| part.parse::<IpAddr>().is_ok());
        let place = match addresses.as_slice() {
            [] => {
                let [v4, v6] = self.stranger.map(Some);
                Place { endpoint: None, v4, v6, is_literal: false, port: None }
            }
            [only] => {
                let address = only.parse().map_err(|_| AskError::Addresses(text.to_owned()))?;
                Place::at(self.by_address.get(&address).cloned(), address)
            }
            _ => return Err(AskError::Addresses(text.to_owned())),
        };
        Ok(Side { places: vec![place], names: Names::new(names) })
    }

    /// A known name that differs little, in its namespace or in its name. Looked for a few times only:
    /// many lines may be wrong alike.
    fn near(&self, full: &str) -> Option<String> {
        let n_hints = self.n_hints.get();
        if n_hints == HINTS_MAX {
            return None;
        }
        self.n_hints.set(n_hints + 1);
        let (namespace, name) = full.split_once('/')?;
        let is_half_right = |known: &&str| {
            known.split_once('/').is_some_and(|(its, rest)| its == namespace || rest == name)
        };
        let known = self.by_name.keys().chain(self.by_owner.keys()).map(String::as_str);
        nearest(full, known.filter(is_half_right)).map(str::to_owned)
    }

    fn service(&self, role: &'static str, text: &str, port: Option<u16>) -> Result<Side, AskError> {
        if role == "src" {
            return Err(AskError::ServiceAsSource(text.to_owned()));
        }
        let (namespace, rest) = text.split_once('/').unwrap_or(("default", text));
        let (name, named) = match rest.split_once(':') {
            Some((name, port)) => (name, Some(PortWish::Name(port.to_owned()))),
            None => (rest, None),
        };
        let wish = named.or(port.map(PortWish::Number));
        let wish = wish.ok_or_else(|| AskError::NoServicePort(text.to_owned()))?;
        let targets = self.services.targets(namespace, name, &wish)?;
        let places = targets.into_iter().map(|target| {
            let endpoint = self.by_address.get(&target.address).cloned();
            let port = Some((target.protocol, target.port));
            Place { port, is_literal: false, ..Place::at(endpoint, target.address) }
        });
        Ok(Side { places: places.collect(), names: Names::default() })
    }
}

impl Place {
    fn at(endpoint: Option<EndpointId>, address: IpAddr) -> Self {
        let (v4, v6) = match address.is_ipv4() {
            true => (Some(address), None),
            false => (None, Some(address)),
        };
        Self { endpoint, v4, v6, is_literal: true, port: None }
    }
}

impl From<&Known> for Place {
    fn from(known: &Known) -> Self {
        let endpoint = Some(known.id.clone());
        Self { endpoint, v4: known.v4, v6: known.v6, is_literal: false, port: None }
    }
}

/// A name with a dot that is no number; a wildcard means no one name.
fn is_domain(text: &str) -> bool {
    let is_word = |label: &str| {
        !label.is_empty()
            && label.len() <= 63
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
    };
    let name = text.strip_suffix('.').unwrap_or(text);
    name.contains('.')
        && name.len() <= bulkhead_types::names::NAME_LENGTH_MAX
        && name.split('.').all(is_word)
        && name.rsplit('.').next().is_some_and(|last| !last.bytes().all(|b| b.is_ascii_digit()))
}

/// The first address of a well-known few that no net of any rule names, so that only what is said of
/// everybody, or of the name, is said of it.
fn strangers(world: &World) -> [IpAddr; 2] {
    let sides = world.policies().iter().flat_map(|policy| {
        let rules = [policy.ingress.as_ref(), policy.egress.as_ref()];
        let rules = rules.into_iter().flatten().flat_map(|rules| rules.iter());
        rules.flat_map(|rule| [&rule.src, &rule.dst])
    });
    let nets = sides.flat_map(|side| [&side.nets, &side.not_nets]).flatten();
    let mut named: Vec<ipnet::IpNet> = nets.flat_map(|nets| nets.iter().copied()).collect();
    named.retain(|net| net.prefix_len() > 0);
    named.extend(world.network_sets().flat_map(|set| set.nets.iter().copied()));
    let given = world.endpoints().flat_map(|endpoint| endpoint.addresses.iter().copied());
    named.extend(given.map(ipnet::IpNet::from));
    named.sort_unstable();
    named.dedup();
    let free = |candidates: &[&str]| {
        let parsed = candidates.iter().filter_map(|text| text.parse::<IpAddr>().ok());
        let is_free = |address: &IpAddr| !named.iter().any(|net| net.contains(address));
        parsed.clone().find(is_free).or_else(|| parsed.clone().next())
    };
    let v4 = free(&STRANGERS_V4).unwrap_or(IpAddr::V4(std::net::Ipv4Addr::BROADCAST));
    let v6 = free(&STRANGERS_V6).unwrap_or(IpAddr::V6(std::net::Ipv6Addr::LOCALHOST));
    [v4, v6]
}

/// Of the nets for documentation and benchmarks, and then of the wide world.
const STRANGERS_V4: [&str; 8] = [
    "203.0.113.251",
    "198.51.100.251",
    "192.0.2.251",
    "198.18.251.251",
    "198.19.251.251",
    "93.184.216.251",
    "45.33.32.251",
    "151.101.1.251",
];
const STRANGERS_V6: [&str; 5] = [
    "2001:db8:ffff::fb",
    "3fff:ffff::fb",
    "2606:2800:ffff::fb",
    "2a00:1450:ffff::fb",
    "2400:cb00:ffff::fb",
];
