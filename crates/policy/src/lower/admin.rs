//! `policy.networking.k8s.io/v1alpha1` AdminNetworkPolicy and BaselineAdminNetworkPolicy.
//!
//! The one stands in `kube-admin` at its priority, the other last of all in `kube-baseline`.

use std::fmt::Display;

use bulkhead_api::network_policy_api::{AdminPolicySpec, AdminPort, AdminRule};
use bulkhead_types::{Direction, PolicyKind, Protocol};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::kubernetes::{Traffic, merge};
use super::peers::{self, ADMIN_TIER, BASELINE_TIER, Written, WrittenPolicy};
use super::{At, Notes};
use crate::rule::{Action, Order, Policy, Ports, Rule};

pub fn policy(
    kind: PolicyKind,
    metadata: &ObjectMeta,
    spec: &AdminPolicySpec,
    notes: &mut Notes,
) -> Policy {
    let is_baseline = kind == PolicyKind::BaselineAdminNetworkPolicy;
    let ((order, subject), is_intact) = notes.reading(peers::BROKEN_SUBJECT, |notes| {
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
    let written = WrittenPolicy {
        kind,
        metadata,
        tier: if is_baseline { BASELINE_TIER } else { ADMIN_TIER },
        order,
        subject,
        is_intact,
        ingress: spec.ingress.as_deref(),
        egress: spec.egress.as_deref(),
    };
    written.lower(|rule, index, direction| {
        self::rule(rule, Place { index, direction, is_baseline }, notes)
    })
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
    let field = format_args!("spec.{direction}[{index}]");
    let (from, to) = (rule.from.as_deref(), rule.to.as_deref());
    let written = Written { index, action, from, to, direction };
    written.lower(
        notes,
        |notes| {
            let shown = rule.action.as_deref().unwrap_or_default();
            let known = if is_baseline { "Allow or Deny" } else { "Allow, Deny or Pass" };
            let message = format!("`{shown}` is not an action: use {known}");
            notes.error(format!("{field}.action"), message);
        },
        |notes| traffic(rule.ports.as_deref(), &At(&field, "ports"), notes),
    )
}

/// Unset or empty ports are all traffic.
fn traffic(written: Option<&[AdminPort]>, field: &dyn Display, notes: &mut Notes) -> Traffic {
    let Some(written) = written.filter(|ports| !ports.is_empty()) else {
        return vec![(None, None)];
    };
    let mut traffic = Traffic::new();
    for (position, port) in written.iter().enumerate() {
        let field = format_args!("{field}[{position}]");
        if let Some((protocol, ports)) = self::port(port, &field, notes) {
            merge(&mut traffic, protocol, Some(ports));
        }
    }
    traffic
}

/// `None` after an error.
fn port(
    written: &AdminPort,
    field: &dyn Display,
    notes: &mut Notes,
) -> Option<(Option<Protocol>, Ports)> {
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
    let range = peers::range(start, end, &format_args!("{field}.{name}"), notes)?;
    Some((Some(protocol), Ports { ranges: vec![range], named: Vec::new() }))
}
