//! Rows and rules.

use bulkhead_types::{Decision, Direction, PolicyKind, PolicyRef, RuleRef};

use super::{MessageError, Problem, bounded, number, required, text};
use crate::id::RuleId;
use crate::limits;
use crate::message as m;
use crate::row::{Leaf, Outcome, Row, Span, Spans};

pub(super) fn decision_message(decision: Decision) -> i32 {
    match decision {
        Decision::Allow => m::Decision::Allow.into(),
        Decision::Deny => m::Decision::Deny.into(),
    }
}

pub(super) fn decision(value: i32) -> Result<Decision, MessageError> {
    match m::Decision::try_from(value) {
        Ok(m::Decision::Allow) => Ok(Decision::Allow),
        Ok(m::Decision::Deny) => Ok(Decision::Deny),
        _ => Err(MessageError::new("decision", Problem::UnknownValue { value })),
    }
}

pub(super) fn direction_message(direction: Direction) -> i32 {
    match direction {
        Direction::Ingress => m::Direction::Ingress.into(),
        Direction::Egress => m::Direction::Egress.into(),
    }
}

pub(super) fn direction(value: i32) -> Result<Direction, MessageError> {
    match m::Direction::try_from(value) {
        Ok(m::Direction::Ingress) => Ok(Direction::Ingress),
        Ok(m::Direction::Egress) => Ok(Direction::Egress),
        _ => Err(MessageError::new("direction", Problem::UnknownValue { value })),
    }
}

pub(super) fn rule_message(rule: &RuleRef) -> m::RuleRef {
    let source = match rule {
        RuleRef::Rule { tier, policy, direction, index } => {
            let kind = policy_kind_message(policy.kind);
            m::RuleSource::Rule(m::PolicyRule {
                tier: tier.clone(),
                kind: kind.into(),
                namespace: policy.namespace.clone(),
                name: policy.name.clone(),
                direction: direction_message(*direction),
                index: *index,
            })
        }
        RuleRef::TierDefault { tier } => m::RuleSource::TierDefault(tier.clone()),
        RuleRef::Profile { name } => m::RuleSource::Profile(name.clone()),
        RuleRef::Unknown => m::RuleSource::Unknown(true),
        RuleRef::NoProfile => m::RuleSource::Host(m::HostRule::NoProfile.into()),
        RuleRef::Failsafe => m::RuleSource::Host(m::HostRule::Failsafe.into()),
        RuleRef::StageDefault => m::RuleSource::Host(m::HostRule::StageDefault.into()),
        RuleRef::WorkloadToHost => m::RuleSource::Host(m::HostRule::WorkloadToHost.into()),
        RuleRef::HostToWorkload => m::RuleSource::Host(m::HostRule::HostToWorkload.into()),
        RuleRef::NotItsOwn => m::RuleSource::Host(m::HostRule::NotItsOwn.into()),
    };
    m::RuleRef { source: Some(source) }
}

pub(super) fn rule(message: m::RuleRef) -> Result<RuleRef, MessageError> {
    Ok(match required("source", message.source)? {
        m::RuleSource::Rule(rule) => {
            policy_rule(rule).map_err(|error| error.within("policy_rule"))?
        }
        m::RuleSource::TierDefault(tier) => RuleRef::TierDefault { tier: text("tier", tier)? },
        m::RuleSource::Profile(name) => RuleRef::Profile { name: text("profile", name)? },
        m::RuleSource::Unknown(_) => RuleRef::Unknown,
        m::RuleSource::Host(value) => host_rule(value)?,
    })
}

fn host_rule(value: i32) -> Result<RuleRef, MessageError> {
    Ok(match m::HostRule::try_from(value) {
        Ok(m::HostRule::NoProfile) => RuleRef::NoProfile,
        Ok(m::HostRule::Failsafe) => RuleRef::Failsafe,
        Ok(m::HostRule::StageDefault) => RuleRef::StageDefault,
        Ok(m::HostRule::WorkloadToHost) => RuleRef::WorkloadToHost,
        Ok(m::HostRule::HostToWorkload) => RuleRef::HostToWorkload,
        Ok(m::HostRule::NotItsOwn) => RuleRef::NotItsOwn,
        _ => return Err(MessageError::new("host", Problem::UnknownValue { value })),
    })
}

fn policy_kind_message(kind: PolicyKind) -> m::PolicyKind {
    match kind {
        PolicyKind::KubernetesNetworkPolicy => m::PolicyKind::KubernetesNetworkPolicy,
        PolicyKind::NetworkPolicy => m::PolicyKind::NetworkPolicy,
        PolicyKind::GlobalNetworkPolicy => m::PolicyKind::GlobalNetworkPolicy,
        PolicyKind::ClusterNetworkPolicy => m::PolicyKind::ClusterNetworkPolicy,
        PolicyKind::AdminNetworkPolicy => m::PolicyKind::AdminNetworkPolicy,
        PolicyKind::BaselineAdminNetworkPolicy => m::PolicyKind::BaselineAdminNetworkPolicy,
        PolicyKind::StagedNetworkPolicy => m::PolicyKind::StagedNetworkPolicy,
        PolicyKind::StagedGlobalNetworkPolicy => m::PolicyKind::StagedGlobalNetworkPolicy,
        PolicyKind::StagedKubernetesNetworkPolicy => m::PolicyKind::StagedKubernetesNetworkPolicy,
    }
}

fn policy_kind(value: i32) -> Result<PolicyKind, MessageError> {
    Ok(match m::PolicyKind::try_from(value) {
        Ok(m::PolicyKind::KubernetesNetworkPolicy) => PolicyKind::KubernetesNetworkPolicy,
        Ok(m::PolicyKind::NetworkPolicy) => PolicyKind::NetworkPolicy,
        Ok(m::PolicyKind::GlobalNetworkPolicy) => PolicyKind::GlobalNetworkPolicy,
        Ok(m::PolicyKind::ClusterNetworkPolicy) => PolicyKind::ClusterNetworkPolicy,
        Ok(m::PolicyKind::AdminNetworkPolicy) => PolicyKind::AdminNetworkPolicy,
        Ok(m::PolicyKind::BaselineAdminNetworkPolicy) => PolicyKind::BaselineAdminNetworkPolicy,
        Ok(m::PolicyKind::StagedNetworkPolicy) => PolicyKind::StagedNetworkPolicy,
        Ok(m::PolicyKind::StagedGlobalNetworkPolicy) => PolicyKind::StagedGlobalNetworkPolicy,
        Ok(m::PolicyKind::StagedKubernetesNetworkPolicy) => {
            PolicyKind::StagedKubernetesNetworkPolicy
        }
        _ => return Err(MessageError::new("kind", Problem::UnknownValue { value })),
    })
}

fn policy_rule(rule: m::PolicyRule) -> Result<RuleRef, MessageError> {
    let kind = policy_kind(rule.kind)?;
    Ok(RuleRef::Rule {
        tier: text("tier", rule.tier)?,
        policy: PolicyRef {
            kind,
            namespace: text("namespace", rule.namespace)?,
            name: text("name", rule.name)?,
        },
        direction: direction(rule.direction)?,
        index: rule.index,
    })
}

fn leaf_message(leaf: Leaf) -> m::Leaf {
    m::Leaf { decision: decision_message(leaf.decision), rule: leaf.rule.0 }
}

fn leaf(message: m::Leaf) -> Result<Leaf, MessageError> {
    Ok(Leaf { decision: decision(message.decision)?, rule: RuleId(message.rule) })
}

fn spans_message(spans: &Spans) -> Vec<m::Span> {
    let one = |span: &Span| match &span.outcome {
        Outcome::Leaf(leaf) => m::Span {
            start: span.start.into(),
            leaf: Some(leaf_message(*leaf)),
            by_source: Vec::new(),
        },
        Outcome::BySource(leaves) => m::Span {
            start: span.start.into(),
            leaf: None,
            by_source: leaves
                .iter()
                .map(|(start, leaf)| m::SourceLeaf {
                    start: (*start).into(),
                    leaf: Some(leaf_message(*leaf)),
                })
                .collect(),
        },
    };
    spans.as_slice().iter().map(one).collect()
}

fn spans(field: &str, messages: Vec<m::Span>) -> Result<Spans, MessageError> {
    bounded(field, &messages, limits::SPANS_MAX)?;
    let n_spans = messages.len();
    let spans = messages
        .into_iter()
        .enumerate()
        .map(|(index, message)| span(message).map_err(|error| error.within_item(field, index)))
        .collect::<Result<Vec<_>, _>>()?;
    Spans::new(spans)
        .filter(|spans| spans.as_slice().len() == n_spans)
        .ok_or_else(|| MessageError::new(field, Problem::NotTotal))
}

fn span(message: m::Span) -> Result<Span, MessageError> {
    let start = number("start", message.start, u16::MAX)?;
    let outcome = match message.leaf {
        Some(_) if !message.by_source.is_empty() => {
            return Err(MessageError::new("by_source", Problem::Duplicate));
        }
        Some(one) => Outcome::Leaf(leaf(one).map_err(|error| error.within("leaf"))?),
        None => Outcome::BySource(source_leaves(message.by_source)?),
    };
    Ok(Span { start, outcome })
}

fn source_leaves(messages: Vec<m::SourceLeaf>) -> Result<Vec<(u16, Leaf)>, MessageError> {
    bounded("by_source", &messages, limits::SPANS_MAX)?;
    let mut leaves: Vec<(u16, Leaf)> = Vec::with_capacity(messages.len());
    for (index, message) in messages.into_iter().enumerate() {
        let at = |error: MessageError| error.within_item("by_source", index);
        let start = number("start", message.start, u16::MAX).map_err(at)?;
        let one = required("leaf", message.leaf).and_then(leaf).map_err(at)?;
        let in_order = match leaves.last() {
            Some((previous, _)) => *previous < start,
            None => start == 0,
        };
        if !in_order {
            return Err(MessageError::new("by_source", Problem::NotTotal));
        }
        leaves.push((start, one));
    }
    if leaves.is_empty() {
        return Err(MessageError::new("leaf", Problem::Missing));
    }
    Ok(leaves)
}

pub(super) fn row_message(id: u64, row: &Row) -> m::Row {
    m::Row {
        id,
        tcp: spans_message(&row.tcp),
        udp: spans_message(&row.udp),
        sctp: spans_message(&row.sctp),
        icmp: spans_message(&row.icmp),
        icmpv6: spans_message(&row.icmpv6),
        other: spans_message(&row.other),
    }
}

pub(super) fn row(message: m::Row) -> Result<Row, MessageError> {
    Ok(Row {
        tcp: spans("tcp", message.tcp)?,
        udp: spans("udp", message.udp)?,
        sctp: spans("sctp", message.sctp)?,
        icmp: spans("icmp", message.icmp)?,
        icmpv6: spans("icmpv6", message.icmpv6)?,
        other: spans("other", message.other)?,
    })
}
