//! The story in sentences.

use std::io::{self, Write};

use bulkhead_policy::decide::End as TierEnd;
use bulkhead_policy::explain;
use bulkhead_policy::rule::Action;
use bulkhead_types::{Decision, RuleRef};

use super::{LegStory, RuleStory, Story, TierStory, Whom};
use crate::output::Paint;

impl Story {
    pub fn write_text(&self, out: &mut impl Write, paint: Paint) -> io::Result<()> {
        let verdict = match self.verdict {
            Decision::Allow => paint.good("ALLOW"),
            Decision::Deny => paint.bad("DENY"),
        };
        writeln!(out, "{} -> {}, {}: {verdict}", self.src, self.dst, self.traffic())?;
        if self.n_connections > 1 {
            let n = self.n_connections;
            writeln!(out, "(one of {n} connections that are meant; the first denied, if any)")?;
        }
        if self.is_same {
            return writeln!(
                out,
                "\nboth ends are one workload: its traffic to itself never leaves it"
            );
        }
        let ends = [(&self.egress, "egress", &self.src), (&self.ingress, "ingress", &self.dst)];
        for (legs, direction, whom) in ends {
            if legs.is_empty() {
                let name = whom.name.as_deref().unwrap_or(&whom.address);
                writeln!(out, "\n{direction} at {name}: no workload here, nothing judges")?;
            }
            for leg in legs {
                let decision = leg.verdict.decision;
                let head = format!("{} at {}: {decision}", leg.direction, leg.who);
                writeln!(out, "\n{}", paint.strong(&head))?;
                leg.write_text(out, paint)?;
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

impl LegStory {
    fn write_text(&self, out: &mut impl Write, paint: Paint) -> io::Result<()> {
        for tier in &self.tiers {
            self.write_tier(tier, out, paint)?;
        }
        for profile in &self.profiles {
            writeln!(out, "  profile {}", profile.name)?;
            for rule in &profile.rules {
                rule.write_text(out, paint)?;
            }
        }
        match &self.verdict.rule {
            // The rule or the end of the tier is told above.
            RuleRef::Rule { .. } | RuleRef::TierDefault { .. } => Ok(()),
            RuleRef::Profile { name } => {
                let what =
                    if self.tiers.is_empty() { "no policy applies" } else { "no tier decides" };
                let word = match self.verdict.decision {
                    Decision::Allow => "allows",
                    Decision::Deny => "denies",
                };
                writeln!(out, "  {what}: the profile {name} {word}")
            }
            _ => writeln!(out, "  {}", explain::verdict(&self.verdict)),
        }
    }

    fn write_tier(&self, tier: &TierStory, out: &mut impl Write, paint: Paint) -> io::Result<()> {
        writeln!(out, "  tier {}", tier.name)?;
        for policy in &tier.policies {
            writeln!(out, "    {}{}", policy.policy, at(policy.place.as_deref(), paint))?;
            if policy.rules.is_empty() {
                writeln!(out, "      no {} rules", self.direction)?;
            }
            for rule in &policy.rules {
                rule.write_text(out, paint)?;
            }
        }
        match tier.end {
            TierEnd::Rule => Ok(()),
            TierEnd::Passed => writeln!(out, "    the rule passes on to the next tier"),
            TierEnd::DefaultPass => writeln!(out, "    no rule decides: the tier passes on"),
            TierEnd::DefaultDeny => writeln!(out, "    no rule decides: the tier denies"),
        }
    }
}

impl RuleStory {
    fn write_text(&self, out: &mut impl Write, paint: Paint) -> io::Result<()> {
        let action = format!("{:?}", self.action);
        let place = at(self.place.as_deref(), paint);
        let name = self.name.as_ref().map(|name| format!("`{name}` ")).unwrap_or_default();
        writeln!(out, "      rule {} {name}{action:<5}  {}{place}", self.index, self.outcome())
    }

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
