//! Why this verdict, in sentences.
//!
//! Plain text for logs, status and people; tools that want colours or structure read the
//! [`Trace`] itself.

#[cfg(test)]
mod tests;

use bulkhead_types::{Decision, RuleRef, Verdict};

use crate::decide::{Criterion, End, PolicyTrace, TierTrace, Trace};
use crate::rule::Action;

/// `denied by rule 2 (ingress) of NetworkPolicy shop/db in tier default`
pub fn verdict(verdict: &Verdict) -> String {
    let decided = match verdict.decision {
        Decision::Allow => "allowed",
        Decision::Deny => "denied",
    };
    match &verdict.rule {
        RuleRef::Rule { tier, policy, direction, index } => {
            format!("{decided} by rule {index} ({direction}) of {policy} in tier {tier}")
        }
        RuleRef::TierDefault { tier } => {
            format!("{decided} at the end of tier {tier}: its policies apply and no rule matched")
        }
        RuleRef::Profile { name } => format!("{decided} by profile {name}: no tier decided"),
        RuleRef::NoProfile => {
            format!("{decided}: no tier decided, and no profile of the host endpoint either")
        }
        RuleRef::Failsafe => format!("{decided}: a fail-safe port of the host"),
        RuleRef::StageDefault => format!("{decided} on: no policy of this stage decided"),
        RuleRef::WorkloadToHost => {
            format!("{decided} by defaultEndpointToHostAction: a workload speaks to its own host")
        }
        RuleRef::HostToWorkload => format!("{decided}: a host speaks to its own workload"),
        RuleRef::Unknown => {
            format!("{decided}: no endpoint with this address is known here")
        }
    }
}

/// One sentence for each step, the verdict last.
pub fn steps(trace: &Trace) -> Vec<String> {
    let mut steps = Vec::new();
    for tier in &trace.tiers {
        for policy in &tier.policies {
            steps.extend(policy_steps(&tier.tier, policy));
        }
        steps.extend(end(tier));
    }
    steps.push(format!("{} {}: {}", trace.endpoint, trace.direction, verdict(&trace.verdict)));
    steps
}

fn policy_steps(tier: &str, policy: &PolicyTrace) -> Vec<String> {
    let place = format!("tier {tier}, {}", policy.policy);
    if policy.rules.is_empty() {
        return vec![format!("{place}: has no rules for this direction")];
    }
    let rules = policy.rules.iter().map(|rule| {
        let outcome = match (rule.miss, rule.action) {
            (Some(criterion), _) => format!("does not match: {}", missed(criterion)),
            (None, Action::Allow) => "matches and allows".to_owned(),
            (None, Action::Deny) => "matches and denies".to_owned(),
            (None, Action::Pass) => "matches and passes to the next tier".to_owned(),
            (None, Action::Log) => "matches, logs and goes on".to_owned(),
        };
        format!("{place}: rule {} {outcome}", rule.index)
    });
    rules.collect()
}

fn end(tier: &TierTrace) -> Option<String> {
    match tier.end {
        End::Rule | End::Passed => None,
        End::DefaultDeny => Some(format!("tier {}: no rule decided, so it denies", tier.tier)),
        End::DefaultPass => {
            Some(format!("tier {}: no rule decided, so it passes to the next tier", tier.tier))
        }
    }
}

fn missed(criterion: Criterion) -> &'static str {
    match criterion {
        Criterion::IpVersion => "it is for the other IP version",
        Criterion::Protocol => "the protocol is another",
        Criterion::NotProtocol => "the protocol is excluded",
        Criterion::Icmp => "the ICMP type or code is another",
        Criterion::NotIcmp => "the ICMP type or code is excluded",
        Criterion::Http => "it is for HTTP requests, which no packet shows",
        Criterion::SourceSelector => "the source is not selected",
        Criterion::SourceNotSelector => "the source is excluded by notSelector",
        Criterion::SourceNets => "the source is in none of its nets",
        Criterion::SourceNotNets => "the source is in its notNets",
        Criterion::SourceService => "the source is not behind its service",
        Criterion::SourceNodes => "the source is none of its nodes",
        Criterion::SourceDomains => "the source was not looked up under its names",
        Criterion::SourcePorts => "the source port is none of its ports",
        Criterion::SourceNotPorts => "the source port is in its notPorts",
        Criterion::DestinationSelector => "the destination is not selected",
        Criterion::DestinationNotSelector => "the destination is excluded by notSelector",
        Criterion::DestinationNets => "the destination is in none of its nets",
        Criterion::DestinationNotNets => "the destination is in its notNets",
        Criterion::DestinationService => "the destination is not behind its service",
        Criterion::DestinationNodes => "the destination is none of its nodes",
        Criterion::DestinationDomains => "the destination was not looked up under its names",
        Criterion::DestinationPorts => "the destination port is none of its ports",
        Criterion::DestinationNotPorts => "the destination port is in its notPorts",
    }
}
