//! The explanation as data, and its two ways out: sentences and JSON.

mod json;
mod text;

use bulkhead_api::ObjectKey;
use bulkhead_policy::World;
use bulkhead_policy::decide::{Asked, End as TierEnd, Leg, PolicyTrace, RuleTrace, TierTrace, Way};
use bulkhead_policy::explain::{self, RuleNames};
use bulkhead_policy::rule::{Action, Rule};
use bulkhead_types::{Decision, Direction, Names, Packet, PolicyRef, Verdict};

use crate::input::Input;
use crate::who::{Connection, End};

#[derive(Debug)]
pub struct Story {
    src: Whom,
    dst: Whom,
    packet: Packet,
    verdict: Decision,
    /// Everybody who has a word on that side, in the order in which they are asked.
    egress: Vec<LegStory>,
    ingress: Vec<LegStory>,
    is_same: bool,
    /// How many connections the question came to; this is one of them.
    n_connections: usize,
}

#[derive(Debug)]
struct Whom {
    name: Option<String>,
    address: String,
}

/// What one of them says.
#[derive(Debug)]
struct LegStory {
    /// `shop/web`, `host/n1 untracked` or `node n1`.
    who: String,
    direction: Direction,
    verdict: Verdict,
    /// Whether it is the word of its side.
    is_word: bool,
    tiers: Vec<TierStory>,
    /// Profiles that were read after the tiers.
    profiles: Vec<ProfileStory>,
}

#[derive(Debug)]
struct TierStory {
    name: String,
    end: TierEnd,
    policies: Vec<PolicyStory>,
}

#[derive(Debug)]
struct PolicyStory {
    policy: PolicyRef,
    place: Option<String>,
    rules: Vec<RuleStory>,
}

#[derive(Debug)]
struct ProfileStory {
    name: String,
    rules: Vec<RuleStory>,
}

/// One written rule. Lowering may have made several of it; it matches where one of them does.
#[derive(Debug)]
struct RuleStory {
    index: u32,
    name: Option<String>,
    action: Action,
    place: Option<String>,
    /// What stood in the way; empty where the rule matches.
    misses: Vec<String>,
}

impl Story {
    pub fn of(
        (world, rule_names): (&World, &RuleNames),
        input: &Input,
        (connection, way): (Connection, Way),
        n_connections: usize,
    ) -> Self {
        let Connection { packet, names, .. } = &connection;
        let teller = Teller { world, rule_names, input, packet, names };
        let side = |end| {
            let word = way.word(end);
            let legs = way.legs.iter().filter(|leg| leg.end == end);
            legs.map(|leg| teller.leg(leg, word.is_some_and(|word| word == leg))).collect()
        };
        let verdict = if way.is_allowed() { Decision::Allow } else { Decision::Deny };
        let looked_up: Vec<&str> = connection.names.iter().collect();
        let mut dst = Whom::from(&connection.dst);
        dst.name = dst.name.or((!looked_up.is_empty()).then(|| looked_up.join(", ")));
        Self {
            is_same: connection.is_to_itself(),
            verdict,
            egress: side(Direction::Egress),
            ingress: side(Direction::Ingress),
            n_connections,
            src: Whom::from(&connection.src),
            dst,
            packet: connection.packet,
        }
    }
}

impl From<&End> for Whom {
    fn from(end: &End) -> Self {
        let name = end.endpoint.as_ref().map(ToString::to_string);
        Self { name, address: end.address.to_string() }
    }
}

/// Turns what was looked at into a story.
struct Teller<'a> {
    world: &'a World,
    rule_names: &'a RuleNames,
    input: &'a Input,
    packet: &'a Packet,
    names: &'a Names,
}

impl Teller<'_> {
    fn leg(&self, leg: &Leg, is_word: bool) -> LegStory {
        let (who, direction) = match &leg.asked {
            Asked::Workload(id, direction) => (id.to_string(), *direction),
            Asked::Host(id, stage, direction) => (format!("{id} {stage}"), *direction),
            Asked::Node(name) => (format!("node {name}"), leg.end),
        };
        let trace = self.world.trace_leg(leg, self.packet, self.names);
        let tiers = trace.iter().flat_map(|trace| &trace.tiers);
        let profiles = trace.iter().flat_map(|trace| &trace.profiles);
        LegStory {
            who,
            direction,
            verdict: leg.verdict.clone(),
            is_word,
            tiers: tiers.map(|tier| self.tier(tier, direction)).collect(),
            profiles: profiles
                .map(|profile| ProfileStory {
                    name: profile.name.clone(),
                    rules: tell(&profile.rules, None, |_| None),
                })
                .collect(),
        }
    }

    fn tier(&self, tier: &TierTrace, direction: Direction) -> TierStory {
        let policies = tier.policies.iter().map(|seen| self.policy(seen, direction));
        TierStory { name: tier.tier.clone(), end: tier.end, policies: policies.collect() }
    }

    fn policy(&self, seen: &PolicyTrace, direction: Direction) -> PolicyStory {
        let key = ObjectKey::from(&seen.policy);
        let place = |field: &str| {
            let source = self.input.place(&key, field)?;
            Some(format!("{}:{}", source.file, source.line))
        };
        let lowered = self.world.policies().iter().find(|policy| policy.id == seen.policy);
        let lowered = lowered.and_then(|policy| policy.rules(direction)).map(|rules| &**rules);
        let mut rules =
            tell(&seen.rules, lowered, |index| place(&format!("spec.{direction}[{index}]")));
        for rule in &mut rules {
            let name = self.rule_names.get(&seen.policy, direction, rule.index);
            rule.name = name.map(str::to_owned);
        }
        PolicyStory { policy: seen.policy.clone(), place: place("metadata.name"), rules }
    }
}

/// Rules as they were written.
fn tell(
    seen: &[RuleTrace],
    lowered: Option<&[Rule]>,
    place: impl Fn(u32) -> Option<String>,
) -> Vec<RuleStory> {
    let mut rules: Vec<RuleStory> = Vec::new();
    for (at, looked_at) in seen.iter().enumerate() {
        let rule = lowered.and_then(|lowered| lowered.get(at));
        let miss = looked_at.miss.map(|criterion| match rule {
            Some(rule) => explain::miss(rule, criterion),
            None => format!("{criterion:?}"),
        });
        let is_new = rules.last().is_none_or(|last| last.index != looked_at.index);
        if is_new {
            rules.push(RuleStory {
                index: looked_at.index,
                name: None,
                action: looked_at.action,
                place: place(looked_at.index),
                misses: miss.into_iter().collect(),
            });
            continue;
        }
        let Some(written) = rules.last_mut() else { continue };
        match miss {
            None => written.misses.clear(),
            Some(miss) if !written.misses.contains(&miss) => written.misses.push(miss),
            Some(_) => {}
        }
    }
    rules
}
