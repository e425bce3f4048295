//! What people called their rules, where the dialect lets them.

use std::collections::HashMap;

use bulkhead_api::Object;
use bulkhead_api::network_policy_api::{AdminPolicySpec, AdminRule, ClusterRule};
use bulkhead_types::{Direction, PolicyRef, RuleRef, Verdict};

/// The names of rules of ClusterNetworkPolicy and its forerunners.
#[derive(Clone, Debug, Default)]
pub struct RuleNames(HashMap<PolicyRef, Vec<(Direction, u32, String)>>);

impl RuleNames {
    pub fn of<'a>(objects: impl IntoIterator<Item = &'a Object>) -> Self {
        let named = objects.into_iter().filter_map(|object| {
            let names = names(object)?;
            Some((object.key().policy()?, names)).filter(|(_, names)| !names.is_empty())
        });
        Self(named.collect())
    }

    pub fn get(&self, policy: &PolicyRef, direction: Direction, index: u32) -> Option<&str> {
        let mut names = self.0.get(policy)?.iter();
        names.find(|(of, at, _)| (*of, *at) == (direction, index)).map(|(.., name)| name.as_str())
    }

    /// As [`super::verdict`], with the name of the rule.
    pub fn verdict(&self, verdict: &Verdict) -> String {
        let plain = super::verdict(verdict);
        let RuleRef::Rule { policy, direction, index, .. } = &verdict.rule else { return plain };
        match self.get(policy, *direction, *index) {
            Some(name) => {
                let rule = format!("by rule {index} ");
                plain.replacen(&rule, &format!("{rule}`{name}` "), 1)
            }
            None => plain,
        }
    }
}

fn names(object: &Object) -> Option<Vec<(Direction, u32, String)>> {
    let admin = |spec: &AdminPolicySpec| {
        let of = |rule: &AdminRule| rule.name.clone();
        [list(&spec.ingress, Direction::Ingress, of), list(&spec.egress, Direction::Egress, of)]
    };
    let both = match object {
        Object::ClusterNetworkPolicy(policy) => {
            let (spec, of) = (&policy.spec, |rule: &ClusterRule| rule.name.clone());
            [list(&spec.ingress, Direction::Ingress, of), list(&spec.egress, Direction::Egress, of)]
        }
        Object::AdminNetworkPolicy(policy) => admin(&policy.spec),
        Object::BaselineAdminNetworkPolicy(policy) => admin(&policy.spec),
        _ => return None,
    };
    Some(both.into_iter().flatten().collect())
}

fn list<R>(
    rules: &Option<Vec<R>>,
    direction: Direction,
    name: impl Fn(&R) -> Option<String>,
) -> Vec<(Direction, u32, String)> {
    let rules = (0u32..).zip(rules.iter().flatten());
    let named = rules.filter_map(|(index, rule)| Some((direction, index, name(rule)?)));
    named.filter(|(.., name)| !name.is_empty()).collect()
}
