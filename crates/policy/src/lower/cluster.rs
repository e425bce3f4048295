//! `policy.networking.k8s.io/v1alpha2` ClusterNetworkPolicy: tier Admin stands in `kube-admin`, tier
//! Baseline in `kube-baseline`, and the priority is the order.

use std::fmt::Display;

use bulkhead_api::network_policy_api::{
    ClusterNetworkPolicy, ClusterProtocol, ClusterRule, NumberOrRange, ProtocolPorts,
};
use bulkhead_types::{Direction, PolicyKind, PortRange, Protocol};

use super::kubernetes::{Traffic, merge};
use super::peers::{self, ADMIN_TIER, BASELINE_TIER, Written, WrittenPolicy};
use super::{At, Notes};
use crate::rule::{Action, Order, Policy, Ports, Rule};

pub fn policy(policy: &ClusterNetworkPolicy, notes: &mut Notes) -> Policy {
    let spec = &policy.spec;
    let ((tier, priority, subject), is_intact) = notes.reading(peers::BROKEN_SUBJECT, |notes| {
        let tier = match spec.tier.as_deref() {
            Some("Admin") => ADMIN_TIER,
            Some("Baseline") => BASELINE_TIER,
            other => {
                let shown = other.map_or_else(|| "unset".to_owned(), |t| format!("`{t}`"));
                notes.error("spec.tier", format!("{shown} is not a tier: use Admin or Baseline"));
                ADMIN_TIER
            }
        };
        let priority = peers::priority(spec.priority, notes);
        (tier, priority, peers::subject(spec.subject.as_ref(), notes))
    });
    let written = WrittenPolicy {
        kind: PolicyKind::ClusterNetworkPolicy,
        metadata: &policy.metadata,
        tier,
        order: Order::new(Some(priority)),
        subject,
        is_intact,
        ingress: spec.ingress.as_deref(),
        egress: spec.egress.as_deref(),
    };
    written.lower(|rule, index, direction| self::rule(rule, index, direction, notes))
}

fn rule(rule: &ClusterRule, index: u32, direction: Direction, notes: &mut Notes) -> Vec<Rule> {
    let action = match rule.action.as_deref() {
        Some("Accept") => Some(Action::Allow),
        Some("Deny") => Some(Action::Deny),
        Some("Pass") => Some(Action::Pass),
        _ => None,
    };
    let field = format_args!("spec.{direction}[{index}]");
    let (from, to) = (rule.from.as_deref(), rule.to.as_deref());
    let written = Written { index, action, from, to, direction };
    written.lower(
        notes,
        |notes| {
            let shown = rule.action.as_deref().unwrap_or_default();
            let message = format!("`{shown}` is not an action: use Accept, Deny or Pass");
            notes.error(format!("{field}.action"), message);
        },
        |notes| traffic(rule.protocols.as_deref(), &At(&field, "protocols"), notes),
    )
}

fn traffic(written: Option<&[ClusterProtocol]>, field: &dyn Display, notes: &mut Notes) -> Traffic {
    let Some(written) = written else { return vec![(None, None)] };
    if written.is_empty() {
        notes.error(field, "an empty list is nothing: leave it out for all traffic");
    }
    let mut traffic = Traffic::new();
    for (position, protocol) in written.iter().enumerate() {
        let field = format_args!("{field}[{position}]");
        if let Some((protocol, ports)) = self::protocol(protocol, &field, notes) {
            merge(&mut traffic, protocol, ports);
        }
    }
    traffic
}

type Protocols = (Option<Protocol>, Option<Ports>);

/// `None` after an error.
fn protocol(
    written: &ClusterProtocol,
    field: &dyn Display,
    notes: &mut Notes,
) -> Option<Protocols> {
    let numbered = |protocol, name: &str, ports: &ProtocolPorts, notes: &mut Notes| {
        let field = format_args!("{field}.{name}.destinationPort");
        let ports = match &ports.destination_port {
            None => None,
            Some(port) => {
                Some(Ports { ranges: vec![range(port, &field, notes)?], named: Vec::new() })
            }
        };
        Some((Some(protocol), ports))
    };
    let ClusterProtocol { tcp, udp, sctp, destination_named_port } = written;
    match (tcp, udp, sctp, destination_named_port) {
        (Some(ports), None, None, None) => numbered(Protocol::TCP, "tcp", ports, notes),
        (None, Some(ports), None, None) => numbered(Protocol::UDP, "udp", ports, notes),
        (None, None, Some(ports), None) => numbered(Protocol::SCTP, "sctp", ports, notes),
        (None, None, None, Some(name)) if !name.is_empty() => {
            Some((None, Some(Ports { ranges: Vec::new(), named: vec![name.clone()] })))
        }
        _ => {
            let message = "needs exactly one of `tcp`, `udp`, `sctp` and `destinationNamedPort`";
            notes.error(field, message);
            None
        }
    }
}

fn range(written: &NumberOrRange, field: &dyn Display, notes: &mut Notes) -> Option<PortRange> {
    match (&written.number, &written.range) {
        (Some(number), None) => peers::range(Some(*number), Some(*number), field, notes),
        (None, Some(range)) => peers::range(range.start, range.end, field, notes),
        _ => {
            notes.error(field, "needs exactly one of `number` and `range`");
            None
        }
    }
}
