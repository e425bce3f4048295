//! Rules and grounds in words, for people and as JSON.

use bulkhead_api::reach::AllowedTraffic;
use bulkhead_policy::explain::RuleNames;
use bulkhead_policy::reach::{Ground, allowed};
use bulkhead_types::{RuleRef, Verdict};
use serde::Serialize;

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct GroundJson {
    pub allowed: Vec<AllowedTraffic>,
    pub egress: Option<RuleJson>,
    pub ingress: Option<RuleJson>,
}

/// As in `eval`: `tier` without `policy` cannot be, for a tier's end allows nothing; neither is a
/// profile or what a host allows by itself.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RuleJson {
    pub tier: Option<String>,
    pub policy: Option<String>,
    pub rule: Option<u32>,
    pub because: String,
}

impl GroundJson {
    pub fn of(ground: &Ground, names: &RuleNames) -> Self {
        let of = |rule: &Option<RuleRef>| rule.as_ref().map(|rule| RuleJson::of(rule, names));
        Self {
            allowed: allowed(&ground.allowed, None),
            egress: of(&ground.egress),
            ingress: of(&ground.ingress),
        }
    }
}

impl RuleJson {
    fn of(rule: &RuleRef, names: &RuleNames) -> Self {
        let because = because(rule, names);
        match rule {
            RuleRef::Rule { tier, policy, index, .. } => Self {
                tier: Some(tier.clone()),
                policy: Some(policy.to_string()),
                rule: Some(*index),
                because,
            },
            _ => Self { tier: None, policy: None, rule: None, because },
        }
    }
}

/// `allowed by rule 0 (ingress) of NetworkPolicy shop/db in tier default`
pub fn because(rule: &RuleRef, names: &RuleNames) -> String {
    names.verdict(&Verdict::allow(rule.clone()))
}
