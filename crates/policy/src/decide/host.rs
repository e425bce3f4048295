//! What a host endpoint says at each of its stages.
//!
//! | stage | directions | end of a tier | after the tiers |
//! |---|---|---|---|
//! | untracked | both | the next tier | no say |
//! | preDNAT | ingress | the next tier | no say |
//! | normal | both | the tier's default | profiles; else denied |
//! | forward | both | the tier's default | no say |
//!
//! Only policies of the stage count. Fail-safe ports are open at every stage but forward: at the
//! first two they keep the stage from having a say, so that the next is asked, where they are open
//! too.

#[cfg(test)]
mod tests;

use bulkhead_types::{
    Decision, Direction, EndpointId, HostStage, Labels, NO_NAMES, Packet, RuleRef, Verdict,
};

use super::trace::{ProfileTrace, RuleTrace, Trace};
use super::world::World;
use crate::facts::{DEFAULT_ALLOW, HostEndpoint};
use crate::rule::{Action, TierDefault};

impl World {
    pub fn hosts(&self) -> impl Iterator<Item = &HostEndpoint> {
        self.inventory.hosts.iter()
    }

    pub fn host(&self, id: &EndpointId) -> Option<&HostEndpoint> {
        self.inventory.hosts.get(id)
    }

    /// Every label that selectors see of a host endpoint.
    pub fn host_labels(&self, host: &HostEndpoint) -> Labels {
        self.inventory.hosts.labels_of(host)
    }

    /// The word of a host endpoint about the first packet of a new flow at one stage. An allow by
    /// `RuleRef::StageDefault` is no say; so is one by `RuleRef::Failsafe` at an early stage.
    ///
    /// An endpoint that does not exist or names no node denies as `RuleRef::Unknown`.
    pub fn decide_host(
        &self,
        host: &EndpointId,
        stage: HostStage,
        direction: Direction,
        packet: &Packet,
    ) -> Verdict {
        self.trace_host(host, stage, direction, packet).verdict
    }

    /// As [`World::decide_host`], with every step.
    pub fn trace_host(
        &self,
        host: &EndpointId,
        stage: HostStage,
        direction: Direction,
        packet: &Packet,
    ) -> Trace {
        self.read_host(host, stage, direction, packet).logged()
    }

    fn read_host(
        &self,
        host: &EndpointId,
        stage: HostStage,
        direction: Direction,
        packet: &Packet,
    ) -> Trace {
        let mut trace = Trace::new(host.clone(), direction, *packet);
        trace.stage = Some(stage);
        let Some(known) = self.host(host).filter(|host| !host.node.is_empty()) else {
            return trace;
        };
        let no_say = Verdict::allow(RuleRef::StageDefault);
        if stage == HostStage::PreDnat && direction == Direction::Egress {
            trace.verdict = no_say;
            return trace;
        }
        if stage != HostStage::Forward && self.is_failsafe(known, stage, direction, packet) {
            trace.verdict = Verdict::allow(RuleRef::Failsafe);
            return trace;
        }
        let labels = self.inventory.hosts.labels_of(known);
        for (mut tier, policies) in self.stack_of(&labels, direction, stage) {
            if stage.is_early() {
                tier.default = TierDefault::Pass;
            }
            let step = self.judge_tier(&tier, &policies, direction, packet, &NO_NAMES);
            let decided = step.verdict.clone();
            trace.tiers.push(step);
            if let Some(verdict) = decided {
                trace.verdict = verdict;
                return trace;
            }
        }
        trace.verdict = match stage {
            HostStage::Normal => self.judge_profiles(known, direction, packet, &mut trace.profiles),
            _ => no_say,
        };
        trace
    }

    fn is_failsafe(
        &self,
        host: &HostEndpoint,
        stage: HostStage,
        direction: Direction,
        packet: &Packet,
    ) -> bool {
        let (remote, reverse) = match direction {
            Direction::Ingress => (packet.src, Direction::Egress),
            Direction::Egress => (packet.dst, Direction::Ingress),
        };
        let ports = |direction| self.inventory.hosts.failsafe(&host.node, direction);
        ports(direction).iter().any(|port| port.is_for(packet, remote))
            || (stage == HostStage::Untracked
                && ports(reverse).iter().any(|port| port.is_answered_by(packet, remote)))
    }

    fn judge_profiles(
        &self,
        host: &HostEndpoint,
        direction: Direction,
        packet: &Packet,
        seen: &mut Vec<ProfileTrace>,
    ) -> Verdict {
        for name in &host.profiles {
            let by_profile =
                |decision| Verdict::new(decision, RuleRef::Profile { name: name.clone() });
            if name == DEFAULT_ALLOW {
                return by_profile(Decision::Allow);
            }
            let Some(profile) = self.inventory.hosts.profile(name) else {
                return by_profile(Decision::Deny);
            };
            let mut read = ProfileTrace { name: name.clone(), rules: Vec::new() };
            let mut decided = None;
            for rule in profile.rules(direction).iter() {
                let miss = self.first_miss(rule, packet, &NO_NAMES);
                let is_match = miss.is_none();
                read.rules.push(RuleTrace { index: rule.index, action: rule.action, miss });
                decided = match rule.action {
                    Action::Allow if is_match => Some(Decision::Allow),
                    Action::Deny | Action::Pass if is_match => Some(Decision::Deny),
                    _ => continue,
                };
                break;
            }
            seen.push(read);
            if let Some(decision) = decided {
                return by_profile(decision);
            }
        }
        Verdict::deny(RuleRef::NoProfile)
    }
}
