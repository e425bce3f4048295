//! Policies that end. The engine has no clock; whoever has one tells it how late it is.

use std::collections::{BTreeMap, BTreeSet};

use bulkhead_types::PolicyRef;

use super::Engine;
use crate::lower::{self, Diagnostic};
use crate::rule::{Moment, Policy};

#[derive(Debug, Default)]
pub struct Expiry {
    /// The latest moment that the engine was told of.
    now: Option<Moment>,
    coming: BTreeMap<Moment, BTreeSet<PolicyRef>>,
}

impl Expiry {
    pub fn is_idle(&self) -> bool {
        self.coming.is_empty()
    }

    fn is_past(&self, policy: &Policy) -> bool {
        self.now.is_some_and(|now| policy.is_expired(now))
    }

    fn expect(&mut self, policy: &Policy) {
        if let Some(moment) = policy.expires {
            self.coming.entry(moment).or_default().insert(policy.id.clone());
        }
    }

    pub fn forget(&mut self, policy: &Policy) {
        let Some(moment) = policy.expires else { return };
        if let Some(policies) = self.coming.get_mut(&moment) {
            policies.remove(&policy.id);
            if policies.is_empty() {
                self.coming.remove(&moment);
            }
        }
    }
}

impl Engine {
    /// From now on policies that expire at or before `now` do not apply. Time does not run backwards:
    /// an earlier moment than the last one is passed over. A policy expires only when the engine is
    /// told so, never by itself.
    pub fn advance(&mut self, now: Moment) {
        if self.expiry.now.is_some_and(|last| last >= now) {
            return;
        }
        self.expiry.now = Some(now);
        while self.next_expiry().is_some_and(|moment| moment <= now) {
            let Some((_, policies)) = self.expiry.coming.pop_first() else { return };
            for id in policies {
                let Some(policy) = self.policy_held(&id) else { continue };
                let (said, without_tier) = (lower::expired(policy), self.word_of_tier(policy));
                self.remove_policy(&id);
                let key = (&id).into();
                let mut all = self.diagnostics(&key).to_vec();
                all.retain(|diagnostic| Some(diagnostic) != without_tier.as_ref());
                all.push(said);
                self.say(key, all);
            }
        }
    }

    /// When the next policy expires: the moment to call [`Engine::advance`] at.
    pub fn next_expiry(&self) -> Option<Moment> {
        self.expiry.coming.first_key_value().map(|(moment, _)| *moment)
    }

    /// Takes the policy in, or leaves it out where it has expired already; gives what is to be said.
    pub(super) fn admit(&mut self, policy: Policy) -> Option<Diagnostic> {
        if self.expiry.is_past(&policy) {
            self.remove_policy(&policy.id);
            return Some(lower::expired(&policy));
        }
        let ends = policy.expires.is_some().then(|| policy.clone());
        let word = self.word_of_tier(&policy);
        self.put_policy(policy);
        if let Some(policy) = ends {
            self.expiry.expect(&policy);
        }
        word
    }
}
