//! Rules that nothing reaches, and rules that match nothing.
//!
//! Proofs come from `policy::cover`, so whatever is said here holds in every world.

use std::collections::BTreeMap;

use bulkhead_api::ObjectKey;
use bulkhead_api::manifest::Severity;
use bulkhead_policy::cover;
use bulkhead_policy::rule::{Action, Policy, Rule, Stage, TierDefault};
use bulkhead_types::{Direction, PolicyKind};

use super::homes::{Homes, not_compared};
use super::{Lint, rule_field};
use crate::check::Pen;

/// Pairs of policies that are held against one another; beyond, only rules of one policy are.
const PAIRS_MAX: usize = 500_000;
/// Earlier rules that one rule is held against.
const EARLIER_MAX: usize = 2_000;

pub fn check(lint: &Lint<'_>, pen: &mut Pen<'_>) {
    let before = Before::of(lint, pen);
    for (at, policy) in lint.policies.iter().enumerate() {
        for direction in Direction::BOTH {
            let Some(rules) = policy.rules(direction) else { continue };
            let mut own: Vec<&Rule> = Vec::new();
            for (index, lowered) in by_index(rules) {
                let is_never = matches_nothing(policy, direction, index, &lowered, pen);
                if !is_never && are_covered(&lowered, &own) {
                    within(policy, direction, index, &lowered, &own, pen);
                } else if !is_never {
                    before.look(at, direction, index, &lowered, &own, lint, pen);
                }
                let decide = |rule: &&Rule| rule.action != Action::Log;
                if own.len() <= EARLIER_MAX && own.len() + lowered.len() > EARLIER_MAX {
                    let key = ObjectKey::from(&policy.id);
                    let message = format!(
                        "whether earlier rules leave anything for the {direction} rules after this \
                         one was not looked for: there are more than {EARLIER_MAX} of them"
                    );
                    not_compared(&key, &rule_field(direction, index), message, pen);
                }
                own.extend(lowered.into_iter().filter(decide));
            }
        }
    }
}

/// Whether the policy is of a dialect that has no other action.
fn only_allows(policy: &Policy) -> bool {
    matches!(
        policy.id.kind,
        PolicyKind::KubernetesNetworkPolicy | PolicyKind::StagedKubernetesNetworkPolicy
    )
}

/// Lowered rules by the rule as it was written.
fn by_index(rules: &[Rule]) -> Vec<(u32, Vec<&Rule>)> {
    let mut written: Vec<(u32, Vec<&Rule>)> = Vec::new();
    for rule in rules {
        match written.last_mut() {
            Some((index, list)) if *index == rule.index => list.push(rule),
            _ => written.push((rule.index, vec![rule])),
        }
    }
    written
}

fn are_covered(rules: &[&Rule], earlier: &[&Rule]) -> bool {
    !earlier.is_empty()
        && earlier.len() <= EARLIER_MAX
        && rules.iter().all(|rule| cover::is_covered(rule, earlier.iter().copied()))
}

fn matches_nothing(
    policy: &Policy,
    direction: Direction,
    index: u32,
    lowered: &[&Rule],
    pen: &mut Pen<'_>,
) -> bool {
    let reasons: Option<Vec<String>> = lowered.iter().map(|rule| cover::never(rule)).collect();
    let Some(first) = reasons.and_then(|reasons| reasons.into_iter().next()) else { return false };
    pen.write(
        Severity::Warning,
        "never-matches",
        &ObjectKey::from(&policy.id),
        &rule_field(direction, index),
        format!("the rule can never match: {first}"),
        Some("remove it, or ask for less".to_owned()),
    );
    true
}

/// A rule of which earlier rules of its own policy leave nothing.
fn within(
    policy: &Policy,
    direction: Direction,
    index: u32,
    lowered: &[&Rule],
    earlier: &[&Rule],
    pen: &mut Pen<'_>,
) {
    // The one rule that does it alone, where there is one.
    let alone = earlier.iter().find(|by| are_covered(lowered, &[**by]));
    let who = match alone {
        Some(by) => format!("rule {} before it matches all that it matches", by.index),
        None => "the rules before it together match all that it matches".to_owned(),
    };
    let (severity, code, message, help) = if only_allows(policy) {
        let help = "remove it, or keep it if it says something to people";
        (Severity::Note, "redundant-rule", format!("adds nothing: {who}"), help)
    } else {
        let help = "move it up, or remove it";
        (Severity::Warning, "shadowed-rule", format!("never reached: {who}"), help)
    };
    let field = rule_field(direction, index);
    let help = Some(help.to_owned());
    pen.write(severity, code, &ObjectKey::from(&policy.id), &field, message, help);
}

/// Enforced policies that come before others for everything that these apply to.
struct Before {
    /// By position of the later policy, the earlier ones.
    earlier: BTreeMap<usize, Vec<usize>>,
}

impl Before {
    fn of(lint: &Lint<'_>, pen: &mut Pen<'_>) -> Self {
        let mut earlier: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        // A policy that ends or is not for workloads may leave room for those after it.
        let counts = |policy: &Policy| {
            policy.staged.is_none() && policy.expires.is_none() && policy.stage == Stage::Normal
        };
        let mut homes = Homes::default();
        let mut n_pairs = 0usize;
        for (at, later) in lint.policies.iter().enumerate().filter(|(_, policy)| counts(policy)) {
            let mut wider = Vec::new();
            for before in homes.as_wide_as(later) {
                let Some(policy) = lint.policies.get(before) else { continue };
                // Two Kubernetes policies only add to one another: to say the same twice is no slip.
                if only_allows(policy) && only_allows(later) {
                    continue;
                }
                n_pairs += 1;
                if later.subject.implies(&policy.subject) {
                    wider.push(before);
                }
            }
            if n_pairs > PAIRS_MAX {
                let message = format!(
                    "whether earlier policies leave anything for this one and the {} after it was \
                     not looked for: there are more than {PAIRS_MAX} pairs",
                    lint.policies.len() - at - 1
                );
                not_compared(&ObjectKey::from(&later.id), "metadata.name", message, pen);
                return Self { earlier };
            }
            earlier.insert(at, wider);
            homes.add(at, later);
        }
        Self { earlier }
    }

    #[expect(clippy::too_many_arguments, reason = "what a rule is and what stands before it")]
    fn look(
        &self,
        at: usize,
        direction: Direction,
        index: u32,
        lowered: &[&Rule],
        own: &[&Rule],
        lint: &Lint<'_>,
        pen: &mut Pen<'_>,
    ) {
        let (Some(wider), Some(policy)) = (self.earlier.get(&at), lint.policies.get(at)) else {
            return;
        };
        let mut taken: Vec<&Rule> = Vec::new();
        for earlier in wider.iter().filter_map(|at| lint.policies.get(*at)) {
            let Some(rules) = earlier.rules(direction) else { continue };
            let is_same_tier = earlier.tier == policy.tier;
            let decides = |rule: &&Rule| match rule.action {
                Action::Allow | Action::Deny => true,
                Action::Pass => is_same_tier,
                Action::Log => false,
            };
            taken.extend(rules.iter().filter(decides));
            let is_closed = !is_same_tier && lint.is_closed(earlier, direction);
            let all: Vec<&Rule> = taken.iter().chain(own).copied().collect();
            if !is_closed && !are_covered(lowered, &all) {
                continue;
            }
            let message = if is_closed {
                format!(
                    "never reached: {} makes the tier {} decide everything here, and nothing in it \
                     passes",
                    earlier.id, earlier.tier
                )
            } else {
                format!("never reached: {} in tier {} comes before it", earlier.id, earlier.tier)
            };
            pen.write(
                Severity::Warning,
                "shadowed-rule",
                &ObjectKey::from(&policy.id),
                &rule_field(direction, index),
                message,
                Some("change the order, or remove the rule".to_owned()),
            );
            return;
        }
    }
}

impl Lint<'_> {
    /// Whether nothing that the policy applies to gets past its tier.
    fn is_closed(&self, policy: &Policy, direction: Direction) -> bool {
        let passes = |rule: &Rule| rule.action == Action::Pass;
        self.default_of(policy) == TierDefault::Deny
            && !self
                .policies
                .iter()
                .filter(|other| other.tier == policy.tier)
                .filter_map(|other| other.rules(direction))
                .any(|rules| rules.iter().any(passes))
    }
}
