//! What a policy's or a node's status says, as a pure function of what is known.

use std::collections::BTreeMap;
use std::time::Instant;

use bulkhead_api::enforcement::{PolicyEnforcement, PolicyEnforcements};
use bulkhead_wire::NodeStatus;
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::registry::{NodeFacts, Placement, Presence, Standing, State};

/// Nodes or errors that a message names; the rest is counted.
const NAMED_MAX: usize = 5;

/// The moment that statuses are written at.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    pub now: Instant,
    pub clock: Timestamp,
    pub server_start: Instant,
}

/// How far one policy has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Progress {
    pub status: &'static str,
    pub reason: &'static str,
    pub message: String,
    pub n_nodes: usize,
    pub n_of: usize,
    /// When the last of them began to enforce; only where all do.
    pub since_ns: Option<u64>,
}

/// `None` while it is too early to say: right after a start, nodes that enforce it may still come.
pub fn progress(
    placement: &Placement,
    nodes: &BTreeMap<String, NodeFacts>,
    moment: &Moment,
) -> Option<Progress> {
    let unknown = NodeFacts::default();
    let concerned: Vec<(&String, &NodeFacts, bool, Presence)> = placement
        .required
        .iter()
        .map(|(name, required)| {
            let facts = nodes.get(name).unwrap_or(&unknown);
            let does = facts.heard.is_some() && facts.enforced >= *required;
            (name, facts, does, facts.presence(moment.server_start, moment.now))
        })
        .collect();
    if concerned.iter().any(|(_, _, _, presence)| *presence == Presence::Expected) {
        return None;
    }
    let (n_of, n_nodes) = (concerned.len(), concerned.iter().filter(|node| node.2).count());
    let refused =
        concerned.iter().filter(|(_, _, does, _)| !does).filter_map(|(name, facts, ..)| {
            let (_, reason) = facts.refused.as_ref()?;
            Some(format!("{name} refused it: {reason}"))
        });
    let refused = listed(refused.collect());
    let lost = concerned
        .iter()
        .filter(|node| node.3 == Presence::Lost)
        .map(|node| node.0.clone())
        .collect();
    let lost = listed(lost);
    let mut message = match n_of {
        _ if placement.standing == Standing::Staged => {
            "staged: no packet meets it until its enforced kind says the same".to_owned()
        }
        _ if let Standing::Expired(since) = &placement.standing => {
            format!("expired at {since}: it does not apply any more")
        }
        0 => "selects nothing on any node".to_owned(),
        _ => {
            format!("enforced on {n_nodes} of {n_of} {}", if n_of == 1 { "node" } else { "nodes" })
        }
    };
    if let Some(refused) = &refused {
        message.push_str(&format!("; {refused}"));
    }
    if let Some(lost) = &lost {
        message.push_str(&format!("; not heard from: {lost}"));
    }
    let errors = listed(placement.errors.clone());
    if let Some(errors) = &errors {
        message = format!("not understood, and read as denying: {errors}; {message}");
    }
    let (status, reason) = match () {
        () if errors.is_some() => ("False", "Invalid"),
        () if refused.is_some() => ("False", "Refused"),
        () if n_nodes < n_of => ("False", "Pending"),
        () if placement.standing == Standing::Staged => ("False", "Staged"),
        () if matches!(placement.standing, Standing::Expired(_)) => ("False", "Expired"),
        () if n_of == 0 => ("True", "NoEndpoints"),
        () => ("True", "Enforced"),
    };
    let since_ns = (n_nodes == n_of && n_of > 0)
        .then(|| concerned.iter().map(|(_, facts, ..)| facts.enforced_at_ns).max())
        .flatten()
        .filter(|since| *since > 0);
    Some(Progress { status, reason, message, n_nodes, n_of, since_ns })
}

/// What the statuses of all policies say, or would say where they can be written.
pub fn report(state: &State, moment: &Moment) -> PolicyEnforcements {
    let policies = state.policies.iter().map(|(key, placement)| {
        let (api_version, kind) = key.kind.api();
        let progress = progress(placement, &state.nodes, moment);
        let (status, reason, message) = match progress {
            Some(progress) => (progress.status, progress.reason, progress.message),
            None => ("Unknown", "NodesExpected", "nodes may still come".to_owned()),
        };
        PolicyEnforcement {
            api_version: api_version.to_owned(),
            kind: kind.to_owned(),
            namespace: key.namespace.clone(),
            name: key.name.clone(),
            status: status.to_owned(),
            reason: reason.to_owned(),
            message,
            generation: placement.generation,
        }
    });
    PolicyEnforcements { policies: policies.collect() }
}

/// Writes a policy's progress into its status; leaves everything else there alone.
pub fn write_policy(status: &mut Value, progress: &Progress, generation: i64, moment: &Moment) {
    let before = status.get("enforcement").cloned().unwrap_or(Value::Null);
    let is_same_policy = condition(status, "Enforced")
        .and_then(|condition| condition.get("observedGeneration")?.as_i64())
        .is_some_and(|observed| observed == generation);
    let said = (progress.status, progress.reason, progress.message.as_str());
    set_condition(status, "Enforced", said, Some(generation), moment);
    let mut enforcement = json!({"nodes": progress.n_nodes, "of": progress.n_of});
    if progress.n_of > 0 && progress.n_nodes == progress.n_of {
        // Later programs do not make it enforced anew.
        let is_still = is_same_policy && before.get("of") == Some(&json!(progress.n_of));
        let since = match before.get("since") {
            Some(since) if is_still => since.clone(),
            _ => json!(at(progress.since_ns, moment)),
        };
        if let Some(fields) = enforcement.as_object_mut() {
            fields.insert("since".to_owned(), since);
        }
    }
    if let Some(fields) = status.as_object_mut() {
        fields.insert("enforcement".to_owned(), enforcement);
    }
}

/// Writes what is known of a node into its status, as the condition `kind`. Nothing in it moves while nothing happens.
pub fn write_node(status: &mut Value, kind: &str, facts: &NodeFacts, moment: &Moment) {
    let presence = facts.presence(moment.server_start, moment.now);
    let said = match (presence, &facts.refused) {
        (Presence::Expected, _) => return,
        (Presence::Lost, _) => (
            "Unknown",
            "AgentLost",
            "the agent is not heard from; what it enforced last goes on being enforced".to_owned(),
        ),
        (Presence::Here, Some(_)) => {
            ("False", "ProgramRefused", listed(facts.problems()).unwrap_or_default())
        }
        (Presence::Here, None) => ("True", "AgentReady", how_it_is(facts)),
    };
    set_condition(status, kind, (said.0, said.1, &said.2), None, moment);
}

fn how_it_is(facts: &NodeFacts) -> String {
    let NodeStatus { n_attached, n_waiting, waiting, flows_lost, log_events_suppressed, .. } =
        &facts.status;
    let mut text = format!("{n_attached} endpoints are enforced");
    if *n_waiting > 0 {
        text.push_str(&format!(", {n_waiting} have no interface yet"));
    }
    if let Some(names) = listed(waiting.iter().map(ToString::to_string).collect()) {
        text.push_str(&format!(" ({names})"));
    }
    if *flows_lost > 0 {
        text.push_str(&format!(", {flows_lost} flow records were lost"));
    }
    if *log_events_suppressed > 0 {
        text.push_str(", log events over the rate were left out");
    }
    if let Some(problems) = listed(facts.problems()) {
        text.push_str("; ");
        text.push_str(&problems);
    }
    text
}

fn condition<'a>(status: &'a Value, kind: &str) -> Option<&'a Value> {
    let conditions = status.get("conditions")?.as_array()?;
    conditions.iter().find(|one| one.get("type").and_then(Value::as_str) == Some(kind))
}

fn set_condition(
    status: &mut Value,
    kind: &str,
    (state, reason, message): (&str, &str, &str),
    generation: Option<i64>,
    moment: &Moment,
) {
    if !status.is_object() {
        *status = json!({});
    }
    let Some(fields) = status.as_object_mut() else { return };
    let mut conditions: Vec<Value> =
        fields.get("conditions").and_then(Value::as_array).cloned().unwrap_or_default();
    let before = conditions.iter().find(|one| one.get("type") == Some(&json!(kind)));
    let kept = before
        .filter(|before| before.get("status") == Some(&json!(state)))
        .and_then(|before| before.get("lastTransitionTime").cloned());
    let mut condition = json!({
        "type": kind, "status": state, "reason": reason, "message": message,
        "lastTransitionTime": kept.unwrap_or_else(|| json!(format!("{:.0}", moment.clock))),
    });
    if let (Some(generation), Some(condition)) = (generation, condition.as_object_mut()) {
        condition.insert("observedGeneration".to_owned(), json!(generation));
    }
    match conditions.iter_mut().find(|one| one.get("type") == Some(&json!(kind))) {
        Some(place) => *place = condition,
        None => conditions.push(condition),
    }
    fields.insert("conditions".to_owned(), Value::Array(conditions));
}

fn at(unix_ns: Option<u64>, moment: &Moment) -> String {
    let told = unix_ns.and_then(|ns| Timestamp::from_nanosecond(ns.into()).ok());
    format!("{:.3}", told.unwrap_or(moment.clock))
}

fn listed(items: Vec<String>) -> Option<String> {
    if items.is_empty() {
        return None;
    }
    let mut text = items.iter().take(NAMED_MAX).cloned().collect::<Vec<_>>().join(", ");
    if items.len() > NAMED_MAX {
        text.push_str(&format!(" and {} more", items.len() - NAMED_MAX));
    }
    Some(text)
}

#[cfg(test)]
mod tests;
