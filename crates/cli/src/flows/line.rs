//! One flow as one line: when, verdict, who to whom, and what decided.

use bulkhead_api::flow::{Flow, FlowDecider, FlowEnd, FlowEvent, FlowPolicy, FlowRule};
use bulkhead_types::{Decision, Direction, EndpointKind};

use crate::output::Paint;

/// Widths that keep the columns still in most worlds; longer text pushes its line only.
const END_WIDTH: usize = 28;

/// `12:00:01.250  DENY    in   shop/web:40312 -> shop/db:5432  TCP  default KubernetesNetworkPolicy shop/db rule 0`
pub fn text(flow: &Flow, paint: Paint) -> String {
    let verdict = format!("{:<7}", word(flow));
    let verdict = match flow.verdict {
        Decision::Allow => paint.good(&verdict),
        Decision::Deny => paint.bad(&verdict),
    };
    let direction = match flow.direction {
        Direction::Egress => "out",
        Direction::Ingress => "in ",
    };
    let protocol = match &flow.icmp {
        Some(icmp) => format!("{} {}.{}", flow.protocol, icmp.icmp_type, icmp.code),
        None => flow.protocol.clone(),
    };
    let counts = match flow.event {
        FlowEvent::Ended | FlowEvent::Update => format!(
            "  {}/{} packets {}/{} bytes",
            flow.forward.packets, flow.reverse.packets, flow.forward.bytes, flow.reverse.bytes
        ),
        _ => String::new(),
    };
    let logged: Vec<String> = flow.logged.iter().map(log_rule).collect();
    let logged = match logged.as_slice() {
        [] => String::new(),
        logged => format!("  logged by {}", logged.join(", ")),
    };
    format!(
        "{}  {verdict} {direction}  {:>END_WIDTH$} -> {:<END_WIDTH$}  {protocol:<6}  {}{logged}{}",
        paint.faint(clock(&flow.time)),
        src(flow),
        end(&flow.dst),
        rule(&flow.rule),
        paint.faint(&counts),
    )
}

fn word(flow: &Flow) -> &'static str {
    match (flow.event, flow.verdict) {
        (FlowEvent::LateDenied, _) => "CUT",
        (FlowEvent::Ended, _) => "ended",
        (_, Decision::Allow) => "allow",
        (_, Decision::Deny) => "DENY",
    }
}

/// `2026-01-02T03:04:05.678901Z` to `03:04:05.678`.
fn clock(time: &str) -> &str {
    let (_, clock) = time.split_once('T').unwrap_or(("", time));
    clock.get(..12).unwrap_or(clock)
}

/// With the address where that is not the workload's own.
fn src(flow: &Flow) -> String {
    match (&flow.src.endpoint, flow.rule.other) {
        (Some(endpoint), Some(FlowDecider::NotItsOwn)) => {
            let port = flow.src.port.map(|port| format!(":{port}")).unwrap_or_default();
            format!("{}/{}({}){port}", endpoint.namespace, endpoint.name, flow.src.address)
        }
        _ => end(&flow.src),
    }
}

fn end(end: &FlowEnd) -> String {
    let who = match &end.endpoint {
        Some(endpoint) if endpoint.kind == EndpointKind::Host => format!("host/{}", endpoint.name),
        Some(endpoint) => format!("{}/{}", endpoint.namespace, endpoint.name),
        None if !end.names.is_empty() => format!("{}({})", end.names.join(","), end.address),
        None if end.address.is_ipv6() => format!("[{}]", end.address),
        None => end.address.to_string(),
    };
    match end.port {
        Some(port) => format!("{who}:{port}"),
        None => who,
    }
}

/// `NetworkPolicy shop/db rule 1`
fn written(policy: &FlowPolicy, index: Option<u32>) -> String {
    let name = match policy.namespace.as_str() {
        "" => policy.name.clone(),
        namespace => format!("{namespace}/{}", policy.name),
    };
    let index = index.map(|index| format!(" rule {index}")).unwrap_or_default();
    format!("{} {name}{index}", policy.kind)
}

fn log_rule(rule: &FlowRule) -> String {
    match (&rule.policy, &rule.profile) {
        (Some(policy), _) => written(policy, rule.index),
        (None, profile) => format!("profile {}", profile.as_deref().unwrap_or_default()),
    }
}

fn rule(rule: &FlowRule) -> String {
    match (&rule.policy, &rule.tier, &rule.profile) {
        (Some(policy), tier, _) => {
            let tier = tier.as_deref().unwrap_or_default();
            format!("{tier}  {}", written(policy, rule.index))
        }
        (None, Some(tier), _) => format!("{tier}  end of tier"),
        (None, None, Some(profile)) => format!("no policy applies (profile {profile})"),
        (None, None, None) => rule.other.map_or("no program for this endpoint", other).to_owned(),
    }
}

fn other(decider: FlowDecider) -> &'static str {
    match decider {
        FlowDecider::NoProfile => "no policy and no profile of the host endpoint decides",
        FlowDecider::Failsafe => "fail-safe port",
        FlowDecider::StageDefault => "no policy of this stage decides",
        FlowDecider::WorkloadToHost => "defaultEndpointToHostAction",
        FlowDecider::HostToWorkload => "a host reaches its own workloads",
        FlowDecider::NotItsOwn => "sent under an address or link address that is not its own",
    }
}
