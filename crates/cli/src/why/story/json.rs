//! The story as one JSON object.

use std::io::{self, Write};

use bulkhead_policy::decide::End as TierEnd;
use serde_json::{Value, json};

use super::{LegStory, RuleStory, Story, TierStory, Whom};

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
            "connections": self.n_connections,
            "verdict": self.verdict,
            "egress": side(&self.egress),
            "ingress": side(&self.ingress),
        });
        serde_json::to_writer_pretty(&mut *out, &story)?;
        writeln!(out)
    }
}

/// The word of the side; with all that were asked where it is not the only one.
fn side(legs: &[LegStory]) -> Value {
    let Some(word) = legs.iter().find(|leg| leg.is_word) else { return Value::Null };
    let mut side = word.json();
    if let (Some(fields), [_, _, ..]) = (side.as_object_mut(), legs) {
        fields.insert("legs".to_owned(), legs.iter().map(LegStory::json).collect());
    }
    side
}

impl LegStory {
    fn json(&self) -> Value {
        let side = crate::eval::Side::of(&self.verdict);
        let profiles = self.profiles.iter().map(|profile| {
            let rules: Value = profile.rules.iter().map(RuleStory::json).collect();
            json!({"profile": profile.name, "rules": rules})
        });
        let mut story = json!({
            "who": self.who,
            "verdict": side.verdict,
            "tier": side.tier,
            "policy": side.policy,
            "rule": side.rule,
            "tiers": self.tiers.iter().map(TierStory::json).collect::<Vec<_>>(),
        });
        if let Some(fields) = story.as_object_mut().filter(|_| !side.logged.is_empty()) {
            fields.insert("logged".to_owned(), json!(side.logged));
        }
        let profiles: Vec<Value> = profiles.collect();
        if let Some(fields) = story.as_object_mut().filter(|_| !profiles.is_empty()) {
            fields.insert("profiles".to_owned(), profiles.into());
        }
        story
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
            json!({
                "policy": policy.policy.to_string(),
                "source": policy.place,
                "rules": policy.rules.iter().map(RuleStory::json).collect::<Vec<_>>(),
            })
        });
        json!({"tier": self.name, "end": end, "policies": policies.collect::<Vec<_>>()})
    }
}

impl RuleStory {
    fn json(&self) -> Value {
        json!({
            "rule": self.index,
            "name": self.name,
            "action": format!("{:?}", self.action),
            "matches": self.misses.is_empty(),
            "misses": self.misses,
            "source": self.place,
        })
    }
}
