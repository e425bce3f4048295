//! The slow, obvious truth: every rule read in order, for every packet, over the objects themselves.
//!
//! [`World`] has no groups, no classes and no caches. It is the oracle that the compiled program and
//! the kernel must agree with, and it keeps a [`Trace`] of everything it looked at, so that the
//! answer can be explained.

mod host;
mod matching;
pub mod path;
#[cfg(test)]
mod tests;
mod trace;
mod world;

pub use path::{Asked, Leg, Way};
pub use trace::{Criterion, End, PolicyTrace, ProfileTrace, RuleTrace, TierTrace, Trace};
pub use world::{Judgement, Reading, World};

use bulkhead_types::{Decision, Direction, EndpointId, NO_NAMES, Names, Packet, RuleRef, Verdict};

use crate::rule::{Action, Policy, Rule, Tier, TierDefault};

/// The profile of a namespace: what decides where no tier does. It allows.
pub fn profile_name(namespace: &str) -> String {
    format!("kns.{namespace}")
}

impl World {
    /// The verdict of `endpoint` about the first packet of a new flow, which it receives (`Ingress`)
    /// or sends (`Egress`).
    ///
    /// An endpoint that does not exist, or whose address is not in the packet, denies as
    /// `RuleRef::Unknown`.
    pub fn decide(&self, endpoint: &EndpointId, direction: Direction, packet: &Packet) -> Verdict {
        self.trace(endpoint, direction, packet).verdict
    }

    /// As [`World::decide`], where the destination of what the endpoint sends was looked up under
    /// `names`.
    pub fn decide_named(
        &self,
        endpoint: &EndpointId,
        direction: Direction,
        packet: &Packet,
        names: &Names,
    ) -> Verdict {
        self.trace_named(endpoint, direction, packet, names).verdict
    }

    /// As [`World::decide`], with every step.
    pub fn trace(&self, endpoint: &EndpointId, direction: Direction, packet: &Packet) -> Trace {
        self.trace_named(endpoint, direction, packet, &NO_NAMES)
    }

    /// As [`World::decide_named`], with every step.
    pub fn trace_named(
        &self,
        endpoint: &EndpointId,
        direction: Direction,
        packet: &Packet,
        names: &Names,
    ) -> Trace {
        self.read_endpoint(endpoint, direction, packet, names).logged()
    }

    fn read_endpoint(
        &self,
        endpoint: &EndpointId,
        direction: Direction,
        packet: &Packet,
        names: &Names,
    ) -> Trace {
        // Whoever receives has looked nobody up.
        let names = match direction {
            Direction::Ingress => &NO_NAMES,
            Direction::Egress => names,
        };
        let local = match direction {
            Direction::Ingress => packet.dst,
            Direction::Egress => packet.src,
        };
        let mut trace = Trace::new(endpoint.clone(), direction, *packet);
        let known = self.endpoint(endpoint).filter(|e| e.addresses.contains(&local));
        let Some(known) = known else { return trace };
        for (tier, policies) in self.stack(known, direction) {
            let step = self.judge_tier(&tier, &policies, direction, packet, names);
            let decided = step.verdict.clone();
            trace.tiers.push(step);
            if let Some(verdict) = decided {
                trace.verdict = verdict;
                return trace;
            }
        }
        let profile = RuleRef::Profile { name: profile_name(&endpoint.namespace) };
        trace.verdict = Verdict::allow(profile);
        trace
    }

    /// Whether the packet meets every criterion of the rule.
    pub fn matches(&self, rule: &Rule, packet: &Packet) -> bool {
        self.first_miss(rule, packet, &NO_NAMES).is_none()
    }

    pub(super) fn judge_tier(
        &self,
        tier: &Tier,
        policies: &[&Policy],
        direction: Direction,
        packet: &Packet,
        names: &Names,
    ) -> TierTrace {
        let mut step = TierTrace::new(&tier.name);
        for policy in policies {
            let mut seen = PolicyTrace { policy: policy.id.clone(), rules: Vec::new() };
            for rule in policy.rules(direction).into_iter().flat_map(|rules| rules.iter()) {
                let miss = self.first_miss(rule, packet, names);
                let matched = miss.is_none();
                seen.rules.push(RuleTrace { index: rule.index, action: rule.action, miss });
                let decision = match rule.action {
                    _ if !matched => continue,
                    Action::Log => continue,
                    Action::Pass => None,
                    Action::Allow => Some(Decision::Allow),
                    Action::Deny => Some(Decision::Deny),
                };
                let reference = RuleRef::Rule {
                    tier: tier.name.clone(),
                    policy: policy.id.clone(),
                    direction,
                    index: rule.index,
                };
                step.policies.push(seen);
                step.end = if decision.is_some() { End::Rule } else { End::Passed };
                step.verdict = decision.map(|decision| Verdict::new(decision, reference));
                return step;
            }
            step.policies.push(seen);
        }
        match tier.default {
            TierDefault::Pass => step.end = End::DefaultPass,
            TierDefault::Deny => {
                step.end = End::DefaultDeny;
                let rule = RuleRef::TierDefault { tier: tier.name.clone() };
                step.verdict = Some(Verdict::deny(rule));
            }
        }
        step
    }
}
