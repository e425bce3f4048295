//! The one rule form that every dialect is lowered to.
//!
//! Invariant: a lowered rule is complete and checked. Nothing downstream of `lower` parses text,
//! applies a default or knows which dialect a rule was written in.

use std::cmp::Ordering;
use std::net::IpAddr;
use std::sync::Arc;

use bulkhead_types::{Direction, HostStage, Names, PolicyRef, PortRange, Protocol, Selector};
use ipnet::IpNet;

/// A tier or policy position: lower is earlier, unset is last.
#[derive(Clone, Copy, Debug)]
pub struct Order(f64);

/// An ordered layer of policies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tier {
    pub name: String,
    pub order: Order,
    pub default: TierDefault,
}

/// What happens to a packet that no rule of the tier's applying policies decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum TierDefault {
    Deny,
    Pass,
}

/// A list of rules for the endpoints that `subject` selects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    pub id: PolicyRef,
    pub tier: String,
    pub order: Order,
    pub subject: Selector,
    /// `None`: the policy says nothing about the direction. Empty: it decides and no rule matches.
    pub ingress: Option<Arc<[Rule]>>,
    pub egress: Option<Arc<[Rule]>>,
    pub stage: Stage,
    /// `None`: enforced. A staged policy is read only where the staged reading is asked for.
    pub staged: Option<Staged>,
    /// From this moment on the policy does not apply; seconds since 1970 and nanoseconds.
    pub expires: Option<Moment>,
}

/// When in a packet's way a policy is asked. Workloads know only [`Stage::Normal`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Stage {
    /// Before connection tracking; host endpoints only.
    Untracked,
    /// Before destination NAT; host endpoints only.
    PreDnat,
    /// Workloads, and the local processes of hosts.
    #[default]
    Normal,
    /// As [`Stage::Normal`], and on host endpoints also traffic that the host forwards.
    NormalAndForward,
}

/// What a staged policy would do to the enforced policy of the same name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Staged {
    /// Takes its place, or comes new.
    Set,
    /// Removes it.
    Delete,
}

/// A point in time: nanoseconds since 1970-01-01T00:00:00Z. The engine has no clock; it is told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Moment(pub i128);

/// All criteria that are set must hold.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Rule {
    /// Position of the rule as written; several lowered rules may come from one written rule.
    pub index: u32,
    pub action: Action,
    pub family: Option<Family>,
    pub protocol: Option<Protocol>,
    pub not_protocol: Option<Protocol>,
    pub icmp: Option<Icmp>,
    pub not_icmp: Option<Icmp>,
    pub src: Side,
    pub dst: Side,
    /// Requests that the rule is for. No packet shows one, so such a rule decides no packet: it is
    /// kept for answers, and named wherever it would have mattered.
    pub http: Option<Arc<HttpMatch>>,
}

/// Sorted lists; an empty one asks for nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct HttpMatch {
    pub methods: Vec<String>,
    pub paths: Vec<HttpPath>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum HttpPath {
    Exact(String),
    Prefix(String),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Action {
    Allow,
    Deny,
    /// Leaves the tier.
    Pass,
    /// Says so and goes on with the next rule.
    Log,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Family {
    V4,
    V6,
}

/// An ICMP or ICMPv6 packet of this type, and of this code where one is named.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Icmp {
    pub kind: u8,
    pub code: Option<u8>,
}

/// Criteria about one end of a connection.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Side {
    /// The address belongs to an endpoint or network set that matches.
    pub selector: Option<Selector>,
    /// The address belongs to no endpoint or network set that matches; unknown addresses qualify.
    pub not_selector: Option<Selector>,
    /// Sorted, without duplicates, host bits cleared.
    pub nets: Option<Arc<[IpNet]>>,
    pub not_nets: Option<Arc<[IpNet]>>,
    /// The address, and on the destination side also protocol and port, is behind the service.
    pub service: Option<Arc<ServiceRef>>,
    /// The address is one of a node whose labels match.
    pub nodes: Option<Selector>,
    /// The address was given as the answer for one of these names. Sorted, without duplicates.
    pub domains: Option<Arc<[DomainPattern]>>,
    pub ports: Option<Arc<Ports>>,
    pub not_ports: Option<Arc<Ports>>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ServiceRef {
    pub namespace: String,
    pub name: String,
}

/// A DNS name, lower case, without a final dot; with a leading `*.` every name below it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DomainPattern(pub String);

/// Numeric ranges, and names that stand for (protocol, number) pairs of the address's endpoints.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Ports {
    pub ranges: Vec<PortRange>,
    pub named: Vec<String>,
}

// === impl Order ===

impl Order {
    pub const LAST: Order = Order(f64::INFINITY);

    pub fn new(written: Option<f64>) -> Self {
        written.map_or(Self::LAST, Order)
    }

    pub fn get(self) -> f64 {
        self.0
    }
}

impl PartialEq for Order {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Order {}

impl PartialOrd for Order {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Order {
    /// Total, also over what no manifest can write; -0 and 0 are one order.
    fn cmp(&self, other: &Self) -> Ordering {
        (self.0 + 0.0).total_cmp(&(other.0 + 0.0))
    }
}

// === impl Tier ===

impl Tier {
    /// Where a policy of a tier that does not exist stands: after all others, and closed.
    pub fn missing(name: &str) -> Self {
        Self { name: name.to_owned(), order: Order::LAST, default: TierDefault::Deny }
    }

    /// The three that always exist; their order and default cannot be changed.
    pub fn built_in() -> [Self; 3] {
        let tier = |name: &str, order, default| Self {
            name: name.to_owned(),
            order: Order(order),
            default,
        };
        [
            tier("kube-admin", 1_000.0, TierDefault::Pass),
            tier("default", 1_000_000.0, TierDefault::Deny),
            tier("kube-baseline", 10_000_000.0, TierDefault::Pass),
        ]
    }
}

// === impl Policy ===

impl Policy {
    pub fn rules(&self, direction: Direction) -> Option<&Arc<[Rule]>> {
        match direction {
            Direction::Ingress => self.ingress.as_ref(),
            Direction::Egress => self.egress.as_ref(),
        }
    }

    /// Policies of one tier go by order, then by the text `name/namespace/kind`. A staged policy
    /// stands where it would stand once enforced.
    pub fn precedence(&self, other: &Self) -> Ordering {
        let by_text =
            || self.text().cmp(other.text()).then_with(|| self.id.kind.cmp(&other.id.kind));
        self.order.cmp(&other.order).then_with(by_text)
    }

    fn text(&self) -> impl Iterator<Item = u8> {
        let kind = self.id.kind.enforced_twin().unwrap_or(self.id.kind);
        let parts = [self.id.name.as_str(), "/", &self.id.namespace, "/", kind.as_str()];
        parts.into_iter().flat_map(str::bytes)
    }

    /// The enforced policy that this staged one replaces or removes in the staged reading.
    pub fn twin(&self) -> Option<PolicyRef> {
        self.staged?;
        let kind = self.id.kind.enforced_twin()?;
        Some(PolicyRef { kind, ..self.id.clone() })
    }

    /// Forgets the rules about packets.
    pub fn keep_requests(&mut self) {
        for rules in self.ingress.iter_mut().chain(&mut self.egress) {
            *rules = rules.iter().filter(|rule| rule.http.is_some()).cloned().collect();
        }
    }

    /// Whether the policy no longer applies at the given moment.
    pub fn is_expired(&self, now: Moment) -> bool {
        self.expires.is_some_and(|expires| expires <= now)
    }
}

// === impl Stage ===

impl Stage {
    /// Whether such a policy judges at that stage of a host endpoint's packets. Workloads ask as
    /// [`HostStage::Normal`] does.
    pub fn is_asked_at(self, stage: HostStage) -> bool {
        match stage {
            HostStage::Untracked => self == Stage::Untracked,
            HostStage::PreDnat => self == Stage::PreDnat,
            HostStage::Normal => matches!(self, Stage::Normal | Stage::NormalAndForward),
            HostStage::Forward => self == Stage::NormalAndForward,
        }
    }
}

// === impl Rule ===

impl Rule {
    /// No criteria: matches every packet.
    pub fn any(index: u32, action: Action) -> Self {
        Self {
            index,
            action,
            family: None,
            protocol: None,
            not_protocol: None,
            icmp: None,
            not_icmp: None,
            src: Side::default(),
            dst: Side::default(),
            http: None,
        }
    }

    /// The side at the judged endpoint, and the other one.
    pub fn local_and_remote(&self, direction: Direction) -> (&Side, &Side) {
        match direction {
            Direction::Ingress => (&self.dst, &self.src),
            Direction::Egress => (&self.src, &self.dst),
        }
    }
}

impl DomainPattern {
    /// Whether the address was looked up under a name that the pattern means.
    pub fn is_for(&self, names: &Names) -> bool {
        names.is_any_under(&self.0)
    }
}

impl Side {
    /// Whether nothing is asked of the address; ports aside.
    pub fn is_any_address(&self) -> bool {
        self.selector.is_none()
            && self.not_selector.is_none()
            && self.nets.is_none()
            && self.not_nets.is_none()
            && self.service.is_none()
            && self.nodes.is_none()
            && self.domains.is_none()
    }
}

// === impl Family ===

impl Family {
    pub fn of(address: IpAddr) -> Self {
        if address.is_ipv4() { Family::V4 } else { Family::V6 }
    }
}
