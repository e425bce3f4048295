//! `policy.networking.k8s.io/v1alpha1` AdminNetworkPolicy and BaselineAdminNetworkPolicy.
//!
//! The one stands in `kube-admin` at its priority, the other last of all in `kube-baseline`.

use std::sync::Arc;

use bulkhead_api::network_policy_api::{AdminPolicySpec, AdminPort, AdminRule};
use bulkhead_types::{Direction, PolicyKind, PolicyRef, Protocol, Selector};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::kubernetes::{Traffic, kubernetes_only, merge};
use super::peers::{self, ADMIN_TIER, BASELINE_TIER, Written};
use super::{Notes, calico};
use crate::rule::{Action, Order, Policy, Ports, Rule, Stage};

pub fn policy(
    kind: PolicyKind,
    metadata: &ObjectMeta,
    spec: &AdminPolicySpec,
    notes: &mut Notes,
) -> Policy {
    let is_baseline = kind == PolicyKind::BaselineAdminNetworkPolicy;
    let ((order, subject), intact) = notes.reading(peers::BROKEN_SUBJECT, |notes| {
        let order = if is_baseline {
            Order::LAST
        } else {
            Order::new(Some(peers::priority(spec.priority, notes)))
        };
        (order, peers::subject(spec.subject.as_ref(), notes))
    });
    if is_baseline && spec.priority.is_some() {
        notes.warning("spec.priority", "a BaselineAdminNetworkPolicy has none: it comes last");
    }
    let mut lower = |written: Option<&[AdminRule]>, direction| -> Option<Arc<[Rule]>> {
        let written = written.filter(|rules| !rules.is_empty())?;
        let rules = (0u32..).zip(written);
        let lowered = rules.flat_map(|(index, rule)| {
            let place = Place { index, direction, is_baseline };
            self::rule(rule, place, notes)
        });
        Some(lowered.collect())
    };
    let mut lowered = Policy {
        id: PolicyRef {
            kind,
            namespace: String::new(),
            name: metadata.name.clone().unwrap_or_default(),
        },
        tier: if is_baseline { BASELINE_TIER } else { ADMIN_TIER }.to_owned(),
        order,
        subject: Selector::conjunction([kubernetes_only()].into_iter().chain(subject)),
        ingress: lower(spec.ingress.as_deref(), Direction::Ingress),
        egress: lower(spec.egress.as_deref(), Direction::Egress),
        stage: Stage::Normal,
        staged: None,
        expires: None,
    };
    if !intact {
        calico::close(&mut lowered);
    }
    lowered
}

struct Place {
    index: u32,
    direction: Direction,
    is_baseline: bool,
}

fn rule(rule: &AdminRule, place: Place, notes: &mut Notes) -> Vec<Rule> {
    let Place { index, direction, is_baseline } = place;
    let action = match rule.action.as_deref() {
        Some("Allow") => Some(Action::Allow),
        Some("Deny") => Some(Action::Deny),
        Some("Pass") if !is_baseline => Some(Action::Pass),
        _ => None,
    };
    let (peers, other, other_name) = match direction {
        Direction::Ingress => (&rule.from, &rule.to, "to"),
        Direction::Egress => (&rule.to, &rule.from, "from"),
    };
    let field = format!("spec.{direction}[{index}]");
    let written = Written { index, action, peers: peers.as_deref(), direction };
    written.lower(
        notes,
        |notes| {
            let shown = rule.action.as_deref().unwrap_or_default();
            let known = if is_baseline { "Allow or Deny" } else { "Allow, Deny or Pass" };
            let message = format!("`{shown}` is not an action: use {known}");
            notes.error(format!("{field}.action"), message);
        },
        |notes| {
            if other.is_some() {
                let message = format!("has no meaning in {direction} rules");
                notes.error(format!("{field}.{other_name}"), message);
            }
            traffic(rule.ports.as_deref(), &format!("{field}.ports"), notes)
        },
    )
}

/// Unset or empty ports are all traffic.
fn traffic(written: Option<&[AdminPort]>, field: &str, notes: &mut Notes) -> Traffic {
    let Some(written) = written.filter(|ports| !ports.is_empty()) else {
        return vec![(None, None)];
    };
    let mut traffic = Traffic::new();
    for (position, port) in written.iter().enumerate() {
        let field = format!("{field}[{position}]");
        if let Some((protocol, ports)) = self::port(port, &field, notes) {
            merge(&mut traffic, protocol, Some(ports));
        }
    }
    traffic
}

/// `None` after an error.
fn port(written: &AdminPort, field: &str, notes: &mut Notes) -> Option<(Option<Protocol>, Ports)> {
    let (protocol, start, end, name) =
        match (&written.port_number, &written.port_range, &written.named_port) {
            (Some(port), None, None) => (&port.protocol, port.port, port.port, "portNumber"),
            (None, Some(range), None) => (&range.protocol, range.start, range.end, "portRange"),
            (None, None, Some(name)) if !name.is_empty() => {
                return Some((None, Ports { ranges: Vec::new(), named: vec![name.clone()] }));
            }
            _ => {
                let message = "needs exactly one of `portNumber`, `portRange` and `namedPort`";
                notes.error(field, message);
                return None;
            }
        };
    let protocol = match protocol.as_deref() {
        None | Some("TCP") => Protocol::TCP,
        Some("UDP") => Protocol::UDP,
        Some("SCTP") => Protocol::SCTP,
        Some(other) => {
            let message = format!("`{other}` is not supported: use TCP, UDP or SCTP");
            notes.error(format!("{field}.{name}.protocol"), message);
            return None;
        }
    };
    let range = peers::range(start, end, &format!("{field}.{name}"), notes)?;
    Some((Some(protocol), Ports { ranges: vec![range], named: Vec::new() }))
}
