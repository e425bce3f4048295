//! Policies and tiers: their rules resolved, their subjects watched.

use std::cmp::Ordering;
use std::sync::Arc;

use bulkhead_types::{Direction, HostStage, PolicyRef};

use super::held::Held;
use super::{Engine, Work};
use crate::decide::Reading;
use crate::lower::{self, Diagnostic};
use crate::resolve::{Grants, Owner, ProgramTier};
use crate::rule::{Order, Policy, Rule, Tier};
use crate::select::{GroupId, GroupKind, MemberId, PersonaId};

impl Engine {
    pub(super) fn put_policy(&mut self, mut policy: Policy) {
        // The new one first, so that what both share is not thrown away and made again.
        let subject = self.selectors.acquire(&policy.subject);
        let [ingress, egress] = self.resolve(&policy);
        policy.keep_requests();
        let new = Held { policy, subject, ingress, egress };
        if self.policies.get(&new.policy.id).is_some_and(|held| held.is_same(&new)) {
            return self.let_go(&new);
        }
        self.remove_policy(&new.policy.id);
        self.dirty_members.extend(self.selectors.members(subject));
        self.note_staged(&new.policy, true);
        self.policies.insert(new);
    }

    fn let_go(&mut self, held: &Held) {
        for list in held.ingress.iter().chain(&held.egress) {
            self.lists.release(list.content);
        }
        self.selectors.release(held.subject);
    }

    pub(super) fn remove_policy(&mut self, id: &PolicyRef) {
        let Some(held) = self.policies.remove(id) else { return };
        self.expiry.forget(&held.policy);
        self.note_staged(&held.policy, false);
        self.dirty_members.extend(self.selectors.members(held.subject));
        self.let_go(&held);
    }

    pub(super) fn put_tier(&mut self, tier: Tier) {
        if self.tiers.get(&tier.name) != Some(&tier) {
            self.touch_tier(&tier.name);
            let name = tier.name.clone();
            self.tiers.insert(name.clone(), tier);
            self.say_of_tier(&name);
        }
    }

    pub(super) fn remove_tier(&mut self, name: &str) {
        let is_built_in = Tier::built_in().iter().any(|tier| tier.name == name);
        if !is_built_in && self.tiers.remove(name).is_some() {
            self.touch_tier(name);
            self.say_of_tier(name);
        }
    }

    fn touch_tier(&mut self, name: &str) {
        for held in self.policies.in_tier(name) {
            self.dirty_members.extend(self.selectors.members(held.subject));
        }
    }

    /// What is to be said of the policy because of its tier.
    pub(super) fn word_of_tier(&self, policy: &Policy) -> Option<Diagnostic> {
        (!self.tiers.contains_key(&policy.tier)).then(|| lower::without_tier(policy))
    }

    /// A tier came or went: its policies are said to be without it, or no longer.
    fn say_of_tier(&mut self, name: &str) {
        let policies: Vec<PolicyRef> =
            self.policies.in_tier(name).map(|held| held.policy.id.clone()).collect();
        for id in policies {
            let Some(policy) = self.policy_held(&id) else { continue };
            let (without, word) = (lower::without_tier(policy), self.word_of_tier(policy));
            let key = (&id).into();
            let mut said = self.diagnostics(&key).to_vec();
            said.retain(|diagnostic| *diagnostic != without);
            said.extend(word);
            self.say(key, said);
        }
    }

    /// The lists of both directions.
    pub(super) fn resolve(&mut self, policy: &Policy) -> [Option<Arc<Grants>>; 2] {
        let owner = Arc::new(Owner { policy: policy.id.clone(), tier: policy.tier.clone() });
        [Direction::Ingress, Direction::Egress].map(|direction| {
            let rules = policy.rules(direction)?;
            Some(self.resolve_rules(&owner, direction, rules))
        })
    }

    fn resolve_rules(
        &mut self,
        owner: &Arc<Owner>,
        direction: Direction,
        rules: &[Rule],
    ) -> Arc<Grants> {
        let mut new_groups: Vec<GroupId> = Vec::new();
        let mut is_new = false;
        let list = self.lists.acquire(
            owner,
            (direction, rules),
            &mut self.groups,
            &mut self.selectors,
            &mut |group| new_groups.push(group),
            &mut is_new,
        );
        if is_new {
            self.log(|| Work::Resolved { policy: owner.policy.clone(), direction });
        }
        for group in new_groups {
            self.introduce(group);
        }
        list
    }

    /// The endpoints to which a held policy applies.
    pub(super) fn members_of_policy(&self, id: &PolicyRef) -> Vec<MemberId> {
        let held = self.policies.get(id);
        held.into_iter().flat_map(|held| self.selectors.members(held.subject)).collect()
    }

    /// Whether some policy that applies to the endpoint is not the same in both readings.
    pub(super) fn is_staged_for(&self, member: MemberId) -> bool {
        if self.staged.is_idle() {
            return false;
        }
        let matches = self.selectors.matches(member);
        let mut policies = matches.flat_map(|selector| self.policies.about(selector));
        policies.any(|held| self.staged.concerns(&held.policy.id))
    }

    /// Lets the addresses that a new group holds know.
    fn introduce(&mut self, group: GroupId) {
        if let Some(kind) = self.groups.kind(group) {
            self.derived.begin(group, kind);
            self.names.begin(group, kind);
        }
        if let Some(GroupKind::Nets(nets)) = self.groups.kind(group) {
            for net in nets.iter() {
                self.addresses.add_net(*net, group);
            }
            return;
        }
        for prefix in self.prefixes_of(group) {
            self.addresses.touch(prefix);
        }
    }

    /// The tiers that judge a persona in one direction, in order. A tier without a policy for it
    /// is not there. Workloads are judged at the normal stage.
    pub(super) fn stack(
        &self,
        persona: PersonaId,
        direction: Direction,
        stage: HostStage,
        reading: Reading,
    ) -> Vec<ProgramTier> {
        let mut held: Vec<(&Held, &Arc<Grants>)> = self
            .selectors
            .get(persona)
            .into_iter()
            .flat_map(|persona| &persona.matches)
            .flat_map(|selector| self.policies.about(*selector))
            .filter(|held| self.staged.is_read(&held.policy, reading))
            .filter(|held| held.policy.stage.is_asked_at(stage))
            .filter_map(|held| Some((held, held.list(direction)?)))
            .collect();
        held.sort_by(|(a, _), (b, _)| {
            let by_tier =
                || self.position(&a.policy.tier).partial_cmp(&self.position(&b.policy.tier));
            if a.policy.tier == b.policy.tier {
                a.policy.precedence(&b.policy)
            } else {
                by_tier().unwrap_or(Ordering::Equal)
            }
        });
        let mut stack: Vec<ProgramTier> = Vec::new();
        for (held, list) in held {
            let name = &held.policy.tier;
            match stack.last_mut().filter(|tier| tier.name() == *name) {
                Some(tier) => tier.lists.push(Arc::clone(list)),
                None => {
                    let missing = Tier::missing(name);
                    let default = self.tiers.get(name).unwrap_or(&missing).default;
                    stack.push(ProgramTier { default, lists: vec![Arc::clone(list)] });
                }
            }
        }
        stack
    }

    /// Tiers that exist by order and name, then those that do not, by name.
    fn position<'a>(&self, tier: &'a str) -> (bool, Order, &'a str) {
        match self.tiers.get(tier) {
            Some(known) => (false, known.order, tier),
            None => (true, Order::LAST, tier),
        }
    }
}
