//! What is understood but probably not meant. `docs/reference/lints.md` has a line for each code.

mod crowd;
mod everybody;
mod homes;
pub mod openness;
mod order;
mod shadow;
mod shape;

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};

use bulkhead_api::manifest::Severity;
use bulkhead_api::{Object, ObjectKey};
use bulkhead_policy::World;
use bulkhead_policy::rule::{Action, Policy, Tier, TierDefault};
use bulkhead_types::{Direction, PolicyKind};

use super::Pen;
use everybody::Everybody;
use homes::Homes;

/// What every lint looks at.
pub struct Lint<'a> {
    /// Policies that are understood, tier by tier in the order in which they are asked.
    policies: Vec<&'a Policy>,
    tiers: BTreeMap<String, Tier>,
    everybody: Everybody,
    /// The policies that let names be looked up.
    dns: Homes<'a>,
    /// Whether it is said that there are too many of these.
    is_dns_said: Cell<bool>,
}

/// About each object by itself.
pub fn shapes(objects: &[Object], pen: &mut Pen<'_>) {
    for object in objects {
        shape::check(object, pen);
    }
}

/// About what the objects come to together.
pub fn check(world: &World, pen: &mut Pen<'_>) {
    let lint = Lint::of(world, &pen.broken());
    for policy in &lint.policies {
        let key = ObjectKey::from(&policy.id);
        only_logs(policy, &key, pen);
        lint.everybody.look_for(policy, &key, pen);
        openness::check(policy, &key, &lint, pen);
    }
    shadow::check(&lint, pen);
    order::check(&lint, pen);
}

impl<'a> Lint<'a> {
    fn of(world: &'a World, broken: &BTreeSet<String>) -> Self {
        let tiers: BTreeMap<String, Tier> =
            world.tiers().map(|tier| (tier.name.clone(), tier.clone())).collect();
        let mut policies: Vec<&Policy> = world
            .policies()
            .iter()
            .filter(|policy| !broken.contains(&ObjectKey::from(&policy.id).to_string()))
            .collect();
        policies.sort_by(|a, b| {
            let tier = |p: &Policy| tiers.get(&p.tier).map(|tier| (tier.order, tier.name.clone()));
            // A tier that does not exist comes after all others.
            let place = |p: &Policy| (tier(p).is_none(), tier(p));
            place(a).cmp(&place(b)).then_with(|| a.precedence(b))
        });
        let mut dns = Homes::default();
        let resolving = policies.iter().enumerate().filter(|(_, p)| openness::lets_names_out(p));
        resolving.for_each(|(at, policy)| dns.add(at, policy));
        Self {
            policies,
            tiers,
            everybody: Everybody::of(world),
            dns,
            is_dns_said: Cell::new(false),
        }
    }

    /// What the policy's tier does with what nothing in it decides.
    fn default_of(&self, policy: &Policy) -> TierDefault {
        self.tiers.get(&policy.tier).map_or(TierDefault::Deny, |tier| tier.default)
    }
}

/// Where a policy says whom it is for.
fn subject_field(policy: &Policy) -> &'static str {
    match policy.id.kind {
        PolicyKind::KubernetesNetworkPolicy | PolicyKind::StagedKubernetesNetworkPolicy => {
            "spec.podSelector"
        }
        PolicyKind::ClusterNetworkPolicy
        | PolicyKind::AdminNetworkPolicy
        | PolicyKind::BaselineAdminNetworkPolicy => "spec.subject",
        _ => "spec.selector",
    }
}

fn rule_field(direction: Direction, index: u32) -> String {
    format!("spec.{direction}[{index}]")
}

/// A policy that only logs still makes its tier decide.
fn only_logs(policy: &Policy, key: &ObjectKey, pen: &mut Pen<'_>) {
    for direction in Direction::BOTH {
        let rules = policy.rules(direction).map(|rules| &**rules).unwrap_or_default();
        if !rules.is_empty() && rules.iter().all(|rule| rule.action == Action::Log) {
            pen.write(
                Severity::Warning,
                "only-logs",
                key,
                &format!("spec.{direction}"),
                format!("all {direction} rules log and none decides: the tier's default follows"),
                Some("add a last rule with the action Pass or Allow to log alone".to_owned()),
            );
        }
    }
}
