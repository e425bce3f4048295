//! Policies, subjects, peers and rules as far as ClusterNetworkPolicy shares them with its forerunners.
//!
//! One written rule becomes one lowered rule for each (peer, protocol), all with the written index.

use std::fmt::Display;
use std::sync::Arc;

use bulkhead_api::network_policy_api::{NamespacedPods, Peer, Subject};
use bulkhead_types::{Direction, PolicyKind, PolicyRef, PortRange, Selector};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::kubernetes::{self, Traffic, kubernetes_only};
use super::{At, Notes, calico, domains, fields};
use crate::rule::{Action, Order, Policy, Rule, Side, Stage};

pub const ADMIN_TIER: &str = "kube-admin";
pub const BASELINE_TIER: &str = "kube-baseline";
const PRIORITY_MAX: i64 = 1000;

pub const BROKEN_SUBJECT: &str =
    "the policy denies everything in its directions to all pods that it may be for";

/// To be ANDed; what is understood even after an error.
pub fn subject(written: Option<&Subject>, notes: &mut Notes) -> Vec<Selector> {
    let none = Subject::default();
    let written = written.unwrap_or(&none);
    match (&written.namespaces, &written.pods) {
        (Some(namespaces), None) => {
            let field = "spec.subject.namespaces";
            kubernetes::namespaces(namespaces, &field, notes).into_iter().collect()
        }
        (None, Some(pods)) => self::pods(pods, &"spec.subject.pods", notes),
        _ => {
            notes.error("spec.subject", "needs exactly one of `namespaces` and `pods`");
            Vec::new()
        }
    }
}

/// The last place of all after an error.
pub fn priority(written: Option<i64>, notes: &mut Notes) -> f64 {
    match written.filter(|priority| (0..=PRIORITY_MAX).contains(priority)) {
        Some(priority) => f64::from(i32::try_from(priority).unwrap_or_default()),
        None => {
            let shown = written.map_or_else(|| "unset".to_owned(), |p| format!("`{p}`"));
            notes.error("spec.priority", format!("{shown} is not a priority: use 0 to 1000"));
            1000.0
        }
    }
}

/// A policy of either API, with `R` for its rules.
pub struct WrittenPolicy<'a, R> {
    pub kind: PolicyKind,
    pub metadata: &'a ObjectMeta,
    pub tier: &'static str,
    pub order: Order,
    /// To be ANDed.
    pub subject: Vec<Selector>,
    /// Whether all of the above was understood.
    pub is_intact: bool,
    pub ingress: Option<&'a [R]>,
    pub egress: Option<&'a [R]>,
}

impl<R> WrittenPolicy<'_, R> {
    pub fn lower(self, mut rule: impl FnMut(&R, u32, Direction) -> Vec<Rule>) -> Policy {
        let mut rules = |written: Option<&[R]>, direction| -> Option<Arc<[Rule]>> {
            let written = (0u32..).zip(written.filter(|rules| !rules.is_empty())?);
            Some(written.flat_map(|(index, written)| rule(written, index, direction)).collect())
        };
        let name = self.metadata.name.clone().unwrap_or_default();
        let mut lowered = Policy {
            id: PolicyRef { kind: self.kind, namespace: String::new(), name },
            tier: self.tier.to_owned(),
            order: self.order,
            subject: Selector::conjunction([kubernetes_only()].into_iter().chain(self.subject)),
            ingress: rules(self.ingress, Direction::Ingress),
            egress: rules(self.egress, Direction::Egress),
            stage: Stage::Normal,
            staged: None,
            expires: None,
        };
        if !self.is_intact {
            calico::close(&mut lowered);
        }
        lowered
    }
}

/// A written rule of either API, but for its traffic.
pub struct Written<'a> {
    pub index: u32,
    pub action: Option<Action>,
    pub from: Option<&'a [Peer]>,
    pub to: Option<&'a [Peer]>,
    pub direction: Direction,
}

type End<'a> = (Option<&'a [Peer]>, &'static str);

impl Written<'_> {
    /// The rule is read whole or not at all: an Allow that is not understood is left out, anything
    /// else denies.
    pub fn lower(
        self,
        notes: &mut Notes,
        read_action: impl FnOnce(&mut Notes),
        read_traffic: impl FnOnce(&mut Notes) -> Traffic,
    ) -> Vec<Rule> {
        let effect = match self.action {
            Some(Action::Allow) => "the rule is left out",
            _ => "the rule denies everything",
        };
        let (rules, intact) = notes.reading(effect, |notes| {
            if self.action.is_none() {
                read_action(notes);
            }
            let sides = self.sides(notes);
            let (_, (other, name)) = self.ends();
            if other.is_some() {
                let field = format!("spec.{}[{}].{name}", self.direction, self.index);
                notes.error(field, format!("has no meaning in {} rules", self.direction));
            }
            let traffic = read_traffic(notes);
            self.cross(&sides, &traffic)
        });
        match (intact, self.action) {
            (true, _) => rules,
            (false, Some(Action::Allow)) => Vec::new(),
            (false, _) => vec![Rule::any(self.index, Action::Deny)],
        }
    }

    fn cross(&self, sides: &[Side], traffic: &Traffic) -> Vec<Rule> {
        let action = self.action.unwrap_or(Action::Deny);
        let mut rules = Vec::with_capacity(sides.len() * traffic.len());
        for side in sides {
            for (protocol, ports) in traffic {
                let mut rule = Rule::any(self.index, action);
                rule.protocol = *protocol;
                match self.direction {
                    Direction::Ingress => rule.src = side.clone(),
                    Direction::Egress => rule.dst = side.clone(),
                }
                rule.dst.ports.clone_from(ports);
                rules.push(rule);
            }
        }
        rules
    }

    /// The remote end and the other one, as they are written and called.
    fn ends(&self) -> (End<'_>, End<'_>) {
        let (from, to) = ((self.from, "from"), (self.to, "to"));
        match self.direction {
            Direction::Ingress => (from, to),
            Direction::Egress => (to, from),
        }
    }

    fn sides(&self, notes: &mut Notes) -> Vec<Side> {
        let ((peers, name), _) = self.ends();
        let field = format_args!("spec.{}[{}].{name}", self.direction, self.index);
        let peers = peers.unwrap_or_default();
        if peers.is_empty() {
            notes.error(field, "a rule needs a peer; everybody is `namespaces: {}`");
        }
        let mut sides = Vec::with_capacity(peers.len());
        for (position, peer) in peers.iter().enumerate() {
            sides.extend(side(peer, self.direction, &format_args!("{field}[{position}]"), notes));
        }
        sides
    }
}

/// `None` after an error.
fn side(peer: &Peer, direction: Direction, field: &dyn Display, notes: &mut Notes) -> Option<Side> {
    let outside = [
        ("nodes", peer.nodes.is_some()),
        ("networks", peer.networks.is_some()),
        ("domainNames", peer.domain_names.is_some()),
    ];
    let first_outside = outside.into_iter().find(|(_, is_set)| *is_set);
    if let (Direction::Ingress, Some((name, _))) = (direction, first_outside) {
        notes.error(At(field, name), "only in egress rules");
        return None;
    }
    let mut side = Side::default();
    match (&peer.namespaces, &peer.pods, &peer.nodes, &peer.networks, &peer.domain_names) {
        (Some(namespaces), None, None, None, None) => {
            let namespaces = kubernetes::namespaces(namespaces, &At(field, "namespaces"), notes)?;
            side.selector = Some(Selector::conjunction([kubernetes_only(), namespaces]));
        }
        (None, Some(pods), None, None, None) => {
            let pods = self::pods(pods, &At(field, "pods"), notes);
            side.selector =
                Some(Selector::conjunction([kubernetes_only()].into_iter().chain(pods)));
        }
        (None, None, Some(nodes), None, None) => {
            side.nodes = Some(kubernetes::label_selector(nodes, &At(field, "nodes"), notes)?);
        }
        (None, None, None, Some(networks), None) if !networks.is_empty() => {
            side.nets = fields::nets(Some(networks), &At(field, "networks"), notes);
        }
        (None, None, None, None, Some(names)) if !names.is_empty() => {
            side.domains = Some(domains::patterns(names, &At(field, "domainNames"), notes).into());
        }
        _ => {
            notes.error(field, "a peer has exactly one field, and no empty list");
            return None;
        }
    }
    Some(side)
}

/// To be ANDed. Empty selectors are everything.
fn pods(written: &NamespacedPods, field: &dyn Display, notes: &mut Notes) -> Vec<Selector> {
    let namespaces = written.namespace_selector.clone().unwrap_or_default();
    let pods = written.pod_selector.clone().unwrap_or_default();
    let namespaces = kubernetes::namespaces(&namespaces, &At(field, "namespaceSelector"), notes);
    let pods = kubernetes::label_selector(&pods, &At(field, "podSelector"), notes);
    namespaces.into_iter().chain(pods).collect()
}

/// Both ends belong to the range; `None` after an error.
pub fn range(
    start: Option<i64>,
    end: Option<i64>,
    field: &dyn Display,
    notes: &mut Notes,
) -> Option<PortRange> {
    let number = |n: Option<i64>| u16::try_from(n?).ok().filter(|n| *n > 0);
    let range = number(start).zip(number(end)).and_then(|(start, end)| PortRange::new(start, end));
    if range.is_none() {
        let shown = |n: Option<i64>| n.map_or_else(|| "nothing".to_owned(), |n| format!("`{n}`"));
        let message =
            format!("{} to {} is not a range within 1 to 65535", shown(start), shown(end));
        notes.error(field, message);
    }
    range
}
