//! `networking.k8s.io/v1` NetworkPolicy: tier `default`, order 1000, allow rules only.
//!
//! One written rule becomes one lowered rule for each (peer, protocol), all with the written index.
//! Everything here allows, so whatever is broken is left out.

use std::fmt::Display;
use std::sync::Arc;

use bulkhead_types::selector::{Expr, LABEL_LENGTH_MAX};
use bulkhead_types::{Direction, PolicyKind, PolicyRef, PortRange, Protocol, Selector};
use k8s_openapi::api::networking::v1::{
    IPBlock, NetworkPolicyPeer, NetworkPolicyPort, NetworkPolicySpec,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::{At, Notes, calico, fields, scope};
use crate::facts::{NAMESPACE, NAMESPACE_PREFIX, ORCHESTRATOR};
use crate::rule::{Action, Order, Policy, Ports, Rule, Side, Stage};

/// Where Kubernetes policies stand in their tier.
pub const ORDER: f64 = 1000.0;

/// Protocols with their ports; `None` is all of them.
pub type Traffic = Vec<(Option<Protocol>, Option<Arc<Ports>>)>;

/// `kind` is the enforced or the staged one.
pub fn network_policy(
    kind: PolicyKind,
    metadata: &ObjectMeta,
    spec: Option<&NetworkPolicySpec>,
    notes: &mut Notes,
) -> Policy {
    let none = NetworkPolicySpec::default();
    let spec = spec.unwrap_or(&none);
    let namespace = metadata.namespace.clone().unwrap_or_else(|| "default".to_owned());
    let (subject, intact) = notes.reading(
        "the policy isolates all pods of its namespace and allows nothing",
        |notes| {
            let everybody = LabelSelector::default();
            let written = spec.pod_selector.as_ref().unwrap_or(&everybody);
            label_selector(written, &"spec.podSelector", notes)
        },
    );
    let ingress = spec.ingress.as_deref().unwrap_or_default();
    let egress = spec.egress.as_deref().unwrap_or_default();
    let types = policy_types(spec.policy_types.as_deref(), !egress.is_empty(), notes);
    let decided = |direction, rules: Vec<Rule>| -> Option<Arc<[Rule]>> {
        match types.iter().find(|(known, _)| *known == direction)? {
            (_, true) => Some(rules.into()),
            (_, false) => Some(Arc::new([])),
        }
    };

    let mut lowered_ingress = Vec::new();
    for (index, rule) in (0u32..).zip(ingress) {
        let written = Written { index, peers: rule.from.as_deref(), ports: rule.ports.as_deref() };
        lowered_ingress.extend(written.lower(Direction::Ingress, &namespace, notes));
    }
    let mut lowered_egress = Vec::new();
    for (index, rule) in (0u32..).zip(egress) {
        let written = Written { index, peers: rule.to.as_deref(), ports: rule.ports.as_deref() };
        lowered_egress.extend(written.lower(Direction::Egress, &namespace, notes));
    }
    let mut lowered = Policy {
        id: PolicyRef {
            kind,
            namespace: namespace.clone(),
            name: metadata.name.clone().unwrap_or_default(),
        },
        tier: calico::DEFAULT_TIER.to_owned(),
        order: Order::new(Some(ORDER)),
        subject: Selector::conjunction(
            [kubernetes_only(), scope::in_namespace(&namespace)].into_iter().chain(subject),
        ),
        ingress: decided(Direction::Ingress, lowered_ingress),
        egress: decided(Direction::Egress, lowered_egress),
        stage: Stage::Normal,
        staged: None,
        expires: None,
    };
    if !intact {
        calico::close(&mut lowered);
    }
    lowered
}

/// Directions, the surest first, with whether their rules count. Unset: Ingress, and Egress where
/// there are egress rules. An unknown type isolates both ways: rules of a direction that is not named
/// were never meant to allow anything.
fn policy_types(
    written: Option<&[String]>,
    has_egress: bool,
    notes: &mut Notes,
) -> Vec<(Direction, bool)> {
    let Some(written) = written.filter(|types| !types.is_empty()) else {
        let egress = has_egress.then_some((Direction::Egress, true));
        return [(Direction::Ingress, true)].into_iter().chain(egress).collect();
    };
    let (mut types, mut meant) = (Vec::new(), Vec::new());
    for (position, name) in written.iter().enumerate() {
        match name.as_str() {
            "Ingress" => types.push((Direction::Ingress, true)),
            "Egress" => types.push((Direction::Egress, true)),
            other => {
                let field = format!("spec.policyTypes[{position}]");
                let message = format!("`{other}` is not a policy type: use Ingress or Egress");
                notes.reading(UNKNOWN_TYPE, |n| n.error(field, message));
                meant = Direction::BOTH.map(|direction| (direction, false)).to_vec();
            }
        }
    }
    types.append(&mut meant);
    types
}

const UNKNOWN_TYPE: &str =
    "the policy isolates both ways, and only rules of a direction that it names allow anything";

/// One entry of `ingress` or `egress`.
struct Written<'a> {
    index: u32,
    peers: Option<&'a [NetworkPolicyPeer]>,
    ports: Option<&'a [NetworkPolicyPort]>,
}

impl Written<'_> {
    fn lower(&self, direction: Direction, namespace: &str, notes: &mut Notes) -> Vec<Rule> {
        let field = format_args!("spec.{direction}[{}]", self.index);
        let traffic = self.traffic(&field, notes);
        let sides = self.sides(direction, namespace, &field, notes);
        let mut rules = Vec::with_capacity(sides.len() * traffic.len());
        for side in &sides {
            for (protocol, ports) in &traffic {
                let mut rule = Rule::any(self.index, Action::Allow);
                rule.protocol = *protocol;
                match direction {
                    Direction::Ingress => rule.src = side.clone(),
                    Direction::Egress => rule.dst = side.clone(),
                }
                rule.dst.ports.clone_from(ports);
                rules.push(rule);
            }
        }
        rules
    }

    /// Unset or empty peers are everybody.
    fn sides(
        &self,
        direction: Direction,
        namespace: &str,
        field: &dyn Display,
        notes: &mut Notes,
    ) -> Vec<Side> {
        let Some(peers) = self.peers.filter(|peers| !peers.is_empty()) else {
            return vec![Side::default()];
        };
        let name = match direction {
            Direction::Ingress => "from",
            Direction::Egress => "to",
        };
        let mut sides = Vec::with_capacity(peers.len());
        for (position, peer) in peers.iter().enumerate() {
            let field = format_args!("{field}.{name}[{position}]");
            let (side, intact) =
                notes.reading("the peer is left out", |n| self::peer(peer, namespace, &field, n));
            sides.extend(side.filter(|_| intact));
        }
        sides
    }

    /// Protocols with their ports; unset or empty ports are all traffic.
    fn traffic(&self, field: &dyn Display, notes: &mut Notes) -> Traffic {
        let Some(ports) = self.ports.filter(|ports| !ports.is_empty()) else {
            return vec![(None, None)];
        };
        let mut traffic: Traffic = Vec::new();
        for (position, port) in ports.iter().enumerate() {
            let field = format_args!("{field}.ports[{position}]");
            let (read, intact) =
                notes.reading("the port is left out", |n| self::port(port, &field, n));
            if let Some((protocol, ports)) = read.filter(|_| intact) {
                merge(&mut traffic, Some(protocol), ports);
            }
        }
        traffic
    }
}

/// Ports of one protocol share a lowered rule.
pub fn merge(traffic: &mut Traffic, protocol: Option<Protocol>, ports: Option<Ports>) {
    let Some((_, merged)) = traffic.iter_mut().find(|(p, _)| *p == protocol) else {
        traffic.push((protocol, ports.map(Arc::new)));
        return;
    };
    match (merged, ports) {
        (None, _) => {}
        (whole, None) => *whole = None,
        (Some(merged), Some(mut more)) => {
            let merged = Arc::make_mut(merged);
            merged.ranges.append(&mut more.ranges);
            merged.ranges.sort_unstable();
            merged.ranges.dedup();
            merged.named.append(&mut more.named);
            merged.named.sort_unstable();
            merged.named.dedup();
        }
    }
}

fn port(
    port: &NetworkPolicyPort,
    field: &dyn Display,
    notes: &mut Notes,
) -> Option<(Protocol, Option<Ports>)> {
    let protocol = match port.protocol.as_deref() {
        None | Some("TCP") => Protocol::TCP,
        Some("UDP") => Protocol::UDP,
        Some("SCTP") => Protocol::SCTP,
        Some(other) => {
            let message = format!("`{other}` is not supported: use TCP, UDP or SCTP");
            notes.error(format!("{field}.protocol"), message);
            return None;
        }
    };
    let number = |n: i32| u16::try_from(n).ok().filter(|n| *n > 0);
    let ports = match (&port.port, port.end_port) {
        (None, None) => None,
        (None, Some(_)) => {
            notes.error(format!("{field}.endPort"), "`endPort` needs `port`");
            return None;
        }
        (Some(IntOrString::String(name)), None) => {
            Some(Ports { ranges: Vec::new(), named: vec![name.clone()] })
        }
        (Some(IntOrString::String(name)), Some(_)) => {
            let message = format!("a range cannot begin at the named port `{name}`");
            notes.error(format!("{field}.endPort"), message);
            return None;
        }
        (Some(IntOrString::Int(start)), end) => {
            let end = end.unwrap_or(*start);
            let range = number(*start).zip(number(end));
            let Some(range) = range.and_then(|(start, end)| PortRange::new(start, end)) else {
                let message = format!("`{start}` to `{end}` is not a range within 1 to 65535");
                notes.error(format!("{field}.port"), message);
                return None;
            };
            Some(Ports { ranges: vec![range], named: Vec::new() })
        }
    };
    Some((protocol, ports))
}

fn peer(
    peer: &NetworkPolicyPeer,
    namespace: &str,
    field: &dyn Display,
    notes: &mut Notes,
) -> Option<Side> {
    let pods = peer.pod_selector.as_ref();
    let namespaces = peer.namespace_selector.as_ref();
    if let Some(block) = &peer.ip_block {
        if pods.is_some() || namespaces.is_some() {
            notes.error(field, "`ipBlock` cannot be combined with other selectors");
            return None;
        }
        return ip_block(block, &At(field, "ipBlock"), notes);
    }
    if pods.is_none() && namespaces.is_none() {
        notes.error(field, "a peer needs `podSelector`, `namespaceSelector` or `ipBlock`");
        return None;
    }
    let namespaces = match namespaces {
        None => scope::in_namespace(namespace),
        Some(selector) => self::namespaces(selector, &At(field, "namespaceSelector"), notes)?,
    };
    let pods = match pods {
        None => Selector::all(),
        Some(selector) => label_selector(selector, &At(field, "podSelector"), notes)?,
    };
    let selector = Selector::conjunction([kubernetes_only(), namespaces, pods]);
    Some(Side { selector: Some(selector), ..Side::default() })
}

fn ip_block(block: &IPBlock, field: &dyn Display, notes: &mut Notes) -> Option<Side> {
    let at = format_args!("{field}.cidr");
    let nets = fields::nets(Some(std::slice::from_ref(&block.cidr)), &at, notes)?;
    let not_nets = fields::nets(block.except.as_deref(), &At(field, "except"), notes);
    for (position, except) in not_nets.iter().flat_map(|nets| nets.iter()).enumerate() {
        let strictly_within = |net: &ipnet::IpNet| net.contains(except) && net != except;
        if !nets.iter().any(strictly_within) {
            let message = format!("`{except}` is not strictly within `{}`", block.cidr);
            notes.error(format!("{field}.except[{position}]"), message);
        }
    }
    Some(Side { nets: Some(Arc::clone(&nets)), not_nets, ..Side::default() })
}

/// A selector over the labels of namespaces; an empty one is every namespace.
pub fn namespaces(
    written: &LabelSelector,
    field: &dyn Display,
    notes: &mut Notes,
) -> Option<Selector> {
    let selector = label_selector(written, field, notes)?;
    Some(if selector.is_all() {
        Expr::Has(NAMESPACE.to_owned()).into()
    } else {
        selector.with_key_prefix(NAMESPACE_PREFIX)
    })
}

/// Network sets have no orchestrator, so Kubernetes peers never mean them.
pub fn kubernetes_only() -> Selector {
    Expr::Equals(ORCHESTRATOR.to_owned(), "k8s".to_owned()).into()
}

/// Requirements are ANDed; an empty selector is everything.
pub fn label_selector(
    written: &LabelSelector,
    field: &dyn Display,
    notes: &mut Notes,
) -> Option<Selector> {
    let mut parts: Vec<Selector> = Vec::new();
    for (key, value) in written.match_labels.iter().flatten() {
        check_key(key, &At(field, "matchLabels"), notes)?;
        parts.push(Expr::Equals(key.clone(), value.clone()).into());
    }
    for (position, requirement) in written.match_expressions.iter().flatten().enumerate() {
        let field = format_args!("{field}.matchExpressions[{position}]");
        check_key(&requirement.key, &At(&field, "key"), notes)?;
        let key = requirement.key.clone();
        let values: std::collections::BTreeSet<String> =
            requirement.values.iter().flatten().cloned().collect();
        let expr = match (requirement.operator.as_str(), values.is_empty()) {
            ("In", false) => Expr::In(key, values),
            ("NotIn", false) => Expr::NotIn(key, values),
            ("Exists", true) => Expr::Has(key),
            ("DoesNotExist", true) => Expr::Not(Box::new(Expr::Has(key))),
            ("In" | "NotIn", true) => {
                notes.error(format!("{field}.values"), "`In` and `NotIn` need values");
                return None;
            }
            ("Exists" | "DoesNotExist", false) => {
                notes
                    .error(format!("{field}.values"), "`Exists` and `DoesNotExist` take no values");
                return None;
            }
            (other, _) => {
                let message =
                    format!("`{other}` is unknown: use In, NotIn, Exists or DoesNotExist");
                notes.error(format!("{field}.operator"), message);
                return None;
            }
        };
        parts.push(expr.into());
    }
    Some(Selector::conjunction(parts))
}

/// Keys are part of a selector's canonical text, so they must be words of its grammar.
fn check_key(key: &str, field: &dyn Display, notes: &mut Notes) -> Option<()> {
    let is_legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '/' | '-');
    if !key.is_empty() && key.len() <= LABEL_LENGTH_MAX && key.chars().all(is_legal) {
        return Some(());
    }
    let shown: String = key.chars().take(64).collect();
    notes.error(field, format!("`{}` is not a label key", shown.escape_debug()));
    None
}
