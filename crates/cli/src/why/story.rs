//! The explanation as data, and its two ways out: sentences and JSON.

use std::io::{self, Write};

use bulkhead_api::ObjectKey;
use bulkhead_policy::decide::{End as TierEnd, PolicyTrace, TierTrace};
use bulkhead_policy::rule::{Action, Rule};
use bulkhead_policy::{Trace, World};
use bulkhead_types::{Decision, Direction, Packet, PolicyRef, RuleRef, Verdict};
use serde_json::{Value, json};

use super::explain;
use crate::input::Input;
use crate::output::Paint;
use crate::world::End;

#[derive(Debug)]
pub struct Story {
    pub src: Whom,
    pub dst: Whom,
    pub packet: Packet,
    pub verdict: Decision,
    /// `None`: no workload of these manifests stands there.
    pub egress: Option<EndStory>,
    pub ingress: Option<EndStory>,
    pub is_same: bool,
}

#[derive(Debug)]
pub struct Whom {
    name: Option<String>,
    address: String,
}

/// What one end says.
#[derive(Debug)]
pub struct EndStory {
    direction: Direction,
    verdict: Verdict,
    tiers: Vec<TierStory>,
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

/// One written rule. Lowering may have made several of it; it matches where one of them does.
#[derive(Debug)]
struct RuleStory {
    index: u32,
    action: Action,
    place: Option<String>,
    /// What stood in the way; empty where the rule matches.
    misses: Vec<String>,
}

impl From<End> for Whom {
    fn from(end: End) -> Self {
        Self { name: end.endpoint.map(|id| id.to_string()), address: end.address.to_string() }
    }
}

impl EndStory {
    pub fn of(world: &World, input: &Input, trace: &Trace) -> Self {
        let direction = trace.direction;
        let tiers = trace.tiers.iter().map(|tier| tier_story(world, input, tier, direction));
        Self { direction, verdict: trace.verdict.clone(), tiers: tiers.collect() }
    }
}

fn tier_story(world: &World, input: &Input, tier: &TierTrace, direction: Direction) -> TierStory {
    let policies = tier.policies.iter().map(|seen| policy_story(world, input, seen, direction));
    TierStory { name: tier.tier.clone(), end: tier.end, policies: policies.collect() }
}

fn policy_story(
    world: &World,
    input: &Input,
    seen: &PolicyTrace,
    direction: Direction,
) -> PolicyStory {
    let key = ObjectKey::from(&seen.policy);
    let place = |field: &str| {
        let source = input.place(&key, field)?;
        Some(format!("{}:{}", source.file, source.line))
    };
    let lowered = world.policies().iter().find(|policy| policy.id == seen.policy);
    let lowered: &[Rule] =
        lowered.and_then(|policy| policy.rules(direction)).map(|r| &**r).unwrap_or_default();
    let mut rules: Vec<RuleStory> = Vec::new();
    for (looked_at, rule) in seen.rules.iter().zip(lowered) {
        let miss = looked_at.miss.map(|criterion| explain::miss(rule, criterion));
        let written = match rules.last_mut() {
            Some(last) if last.index == looked_at.index => last,
            _ => {
                rules.push(RuleStory {
                    index: looked_at.index,
                    action: looked_at.action,
                    place: place(&format!("spec.{direction}[{}]", looked_at.index)),
                    misses: Vec::new(),
                });
                let Some(last) = rules.last_mut() else { continue };
                last
            }
        };
        match miss {
            None => written.misses.clear(),
            Some(miss) if !written.misses.contains(&miss) => written.misses.push(miss),
            Some(_) => {}
        }
    }
    PolicyStory { policy: seen.policy.clone(), place: place("metadata.name"), rules }
}

// === impl Story: sentences ===

impl Story {
    pub fn write_text(&self, out: &mut impl Write, paint: Paint) -> io::Result<()> {
        let verdict = match self.verdict {
            Decision::Allow => paint.good("ALLOW"),
            Decision::Deny => paint.bad("DENY"),
        };
        writeln!(out, "{} -> {}, {}: {verdict}", self.src, self.dst, self.traffic())?;
        if self.is_same {
            return writeln!(
                out,
                "\nboth ends are one workload: its traffic to itself never leaves it"
            );
        }
        let ends = [(&self.egress, "egress", &self.src), (&self.ingress, "ingress", &self.dst)];
        for (story, direction, whom) in ends {
            let name = whom.name.as_deref().unwrap_or(&whom.address);
            match story {
                None => writeln!(out, "\n{direction} at {name}: no workload here, nothing judges")?,
                Some(story) => {
                    let decision = story.verdict.decision;
                    let head = format!("{direction} at {name}: {decision}");
                    writeln!(out, "\n{}", paint.strong(&head))?;
                    story.write_text(out, paint)?;
                }
            }
        }
        Ok(())
    }

    fn traffic(&self) -> String {
        let packet = &self.packet;
        match packet.protocol {
            protocol if protocol.has_ports() => format!("{protocol} port {}", packet.dst_port),
            protocol if protocol.is_icmp() => {
                format!("{protocol} type {} code {}", packet.icmp_type, packet.icmp_code)
            }
            protocol => format!("protocol {protocol}"),
        }
    }
}

impl std::fmt::Display for Whom {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.name {
            Some(name) => write!(f, "{name} ({})", self.address),
            None => write!(f, "{}", self.address),
        }
    }
}

impl EndStory {
    fn write_text(&self, out: &mut impl Write, paint: Paint) -> io::Result<()> {
        for tier in &self.tiers {
            writeln!(out, "  tier {}", tier.name)?;
            for policy in &tier.policies {
                writeln!(out, "    {}{}", policy.policy, at(policy.place.as_deref(), paint))?;
                if policy.rules.is_empty() {
                    writeln!(out, "      no {} rules", self.direction)?;
                }
                for rule in &policy.rules {
                    let action = format!("{:?}", rule.action);
                    let place = at(rule.place.as_deref(), paint);
                    writeln!(
                        out,
                        "      rule {} {action:<5}  {}{place}",
                        rule.index,
                        rule.outcome()
                    )?;
                }
            }
            match tier.end {
                TierEnd::Rule => {}
                TierEnd::Passed => writeln!(out, "    the rule passes on to the next tier")?,
                TierEnd::DefaultPass => writeln!(out, "    no rule decides: the tier passes on")?,
                TierEnd::DefaultDeny => writeln!(out, "    no rule decides: the tier denies")?,
            }
        }
        match &self.verdict.rule {
            RuleRef::Profile { name } => {
                let what =
                    if self.tiers.is_empty() { "no policy applies" } else { "no tier decides" };
                writeln!(out, "  {what}: the profile {name} allows")
            }
            RuleRef::Unknown => writeln!(out, "  nothing is known of this endpoint: it is closed"),
            _ => Ok(()),
        }
    }
}

impl RuleStory {
    fn outcome(&self) -> String {
        match (self.misses.as_slice(), self.action) {
            ([], Action::Allow | Action::Deny) => "matches and decides".to_owned(),
            ([], Action::Pass) => "matches".to_owned(),
            ([], Action::Log) => "matches: logged, and on".to_owned(),
            (misses, _) => format!("does not match: {}", misses.join("; ")),
        }
    }
}

fn at(place: Option<&str>, paint: Paint) -> String {
    place.map(|place| paint.faint(&format!("  ({place})"))).unwrap_or_default()
}

// === impl Story: JSON ===

impl Story {
    pub fn write_json(&self, out: &mut impl Write) -> io::Result<()> {
        let packet = &self.packet;
        let whom = |whom: &Whom| json!({"name": whom.name, "address": whom.address});
        let icmp = packet.protocol.is_icmp();
        let story = json!({
            "src": whom(&self.src),
            "dst": whom(&self.dst),
            "protocol": packet.protocol.to_string(),
            "port": packet.protocol.has_ports().then_some(packet.dst_port),
            "icmpType": icmp.then_some(packet.icmp_type),
            "icmpCode": icmp.then_some(packet.icmp_code),
            "verdict": self.verdict,
            "egress": self.egress.as_ref().map(EndStory::json),
            "ingress": self.ingress.as_ref().map(EndStory::json),
        });
        serde_json::to_writer_pretty(&mut *out, &story)?;
        writeln!(out)
    }
}

impl EndStory {
    fn json(&self) -> Value {
        let side = crate::eval::Side::of(&self.verdict);
        json!({
            "verdict": side.verdict,
            "tier": side.tier,
            "policy": side.policy,
            "rule": side.rule,
            "tiers": self.tiers.iter().map(TierStory::json).collect::<Vec<_>>(),
        })
    }
}

impl TierStory {
    fn json(&self) -> Value {
        let end = match self.end {
            TierEnd::Rule => "rule",
            TierEnd::Passed => "pass",
            TierEnd::DefaultDeny => "default-deny",
            TierEnd::DefaultPass => "default-pass",
        };
        let policies = self.policies.iter().map(|policy| {
            let rules = policy.rules.iter().map(|rule| {
                json!({
                    "rule": rule.index,
                    "action": format!("{:?}", rule.action),
                    "matches": rule.misses.is_empty(),
                    "misses": rule.misses,
                    "source": rule.place,
                })
            });
            json!({
                "policy": policy.policy.to_string(),
                "source": policy.place,
                "rules": rules.collect::<Vec<_>>(),
            })
        });
        json!({"tier": self.name, "end": end, "policies": policies.collect::<Vec<_>>()})
    }
}
