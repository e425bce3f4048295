//! Why this verdict, in words: who decided, and what a rule asked for in vain.
//!
//! The one place for these words; what was looked at on the way is `decide::Trace`.

mod miss;
mod named;
#[cfg(test)]
mod tests;

use bulkhead_types::{Decision, RuleRef, Verdict};

pub use miss::miss;
pub use named::RuleNames;

/// `denied by rule 2 (ingress) of NetworkPolicy shop/db in tier default`, and who has logged.
pub fn verdict(verdict: &Verdict) -> String {
    let logged: Vec<String> = verdict.logged.iter().map(log_rule).collect();
    match logged.as_slice() {
        [] => decided(verdict),
        logged => format!("{}; logged by {}", decided(verdict), logged.join(", ")),
    }
}

/// A rule whose action is Log: `rule 2 (ingress) of NetworkPolicy shop/db in tier default`
pub fn log_rule(rule: &RuleRef) -> String {
    match rule {
        RuleRef::Rule { tier, policy, direction, index } => {
            format!("rule {index} ({direction}) of {policy} in tier {tier}")
        }
        RuleRef::Profile { name } => format!("profile {name}"),
        // Nothing else has rules.
        _ => "nobody".to_owned(),
    }
}

fn decided(verdict: &Verdict) -> String {
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
        RuleRef::NotItsOwn => {
            format!("{decided}: sent under an address that is not the workload's")
        }
        RuleRef::Unknown => {
            format!("{decided}: no endpoint with this address is known here")
        }
    }
}
