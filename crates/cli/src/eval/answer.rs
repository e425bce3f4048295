//! A query to its answer.

use std::io::Write;

use bulkhead_types::{Decision, RuleRef, Verdict};
use serde::Serialize;
use serde_json::Value;

use super::query::Query;
use crate::judge::{Judge, Judged};
use crate::who::{Ask, SRC_PORT};

/// The order of keys is a promise.
#[derive(Debug, Serialize)]
pub struct Answer<'a> {
    pub id: &'a Value,
    pub verdict: Decision,
    pub egress: Option<Side>,
    pub ingress: Option<Side>,
}

/// One end's word. `tier` without `policy` is the tier's default action; neither is the namespace's
/// profile, which allows, or, with `deny`, an endpoint that nothing is known of.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct Side {
    pub verdict: Decision,
    pub tier: Option<String>,
    pub policy: Option<String>,
    pub rule: Option<u32>,
    /// The Log rules that the packet matches before that, in order.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub logged: Vec<LogRule>,
}

/// `policy` and `rule`, or `profile`.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct LogRule {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tier: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub policy: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rule: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub profile: Option<String>,
}

#[derive(Debug, Serialize)]
struct Failure<'a> {
    id: &'a Value,
    error: &'a str,
}

/// Writes one line. `false`: it is an error.
pub fn answer(
    judge: &Judge<'_>,
    line: &[u8],
    n_line: usize,
    out: &mut impl Write,
) -> anyhow::Result<bool> {
    let query: Query<'_> = match serde_json::from_slice(line) {
        Ok(query) => query,
        Err(error) => {
            let id = id_of(line);
            let error = said(n_line, &error);
            serde_json::to_writer(&mut *out, &Failure { id: &id, error: &error })?;
            out.write_all(b"\n")?;
            return Ok(false);
        }
    };
    let judged = judge_query(judge, &query);
    match &judged {
        Ok(judged) => {
            let side = |verdict: &Option<Verdict>| verdict.as_ref().map(Side::of);
            let (egress, ingress) = (side(&judged.egress), side(&judged.ingress));
            let answer = Answer { id: &query.id, verdict: judged.verdict, egress, ingress };
            serde_json::to_writer(&mut *out, &answer)?;
        }
        Err(error) => {
            serde_json::to_writer(&mut *out, &Failure { id: &query.id, error })?;
        }
    }
    out.write_all(b"\n")?;
    Ok(judged.is_ok())
}

/// Where a name stands for several, the first that is denied speaks for all.
fn judge_query(judge: &Judge<'_>, query: &Query<'_>) -> Result<Judged, String> {
    let ask = Ask {
        src_port: query.src_port.unwrap_or(SRC_PORT),
        icmp: (query.icmp_type, query.icmp_code),
        family: query.family,
        ..Ask::new(&query.src, &query.dst, query.protocol()?, query.port)
    };
    let mut first = None;
    for judged in judge.ask(&ask).map_err(|error| error.to_string())? {
        if judged.verdict == Decision::Deny {
            return Ok(judged);
        }
        first.get_or_insert(judged);
    }
    first.ok_or_else(|| "nobody is meant".to_owned())
}

/// A line is one JSON value, so the parser's own line number would only confuse.
fn said(n_line: usize, error: &serde_json::Error) -> String {
    let text = error.to_string();
    let what = text.rfind(" at line ").and_then(|end| text.get(..end)).unwrap_or(&text);
    format!("line {n_line}, column {}: {what}", error.column())
}

/// The id of a line that is an object but not a query.
fn id_of(line: &[u8]) -> Value {
    let parsed: Result<Value, _> = serde_json::from_slice(line);
    parsed.ok().and_then(|value| value.get("id").cloned()).unwrap_or(Value::Null)
}

impl Side {
    pub fn of(verdict: &Verdict) -> Self {
        let (tier, policy, rule) = match &verdict.rule {
            RuleRef::Rule { tier, policy, index, .. } => {
                (Some(tier.clone()), Some(policy.to_string()), Some(*index))
            }
            RuleRef::TierDefault { tier } => (Some(tier.clone()), None, None),
            _ => (None, None, None),
        };
        let logged = verdict.logged.iter().map(LogRule::of).collect();
        Self { verdict: verdict.decision, tier, policy, rule, logged }
    }
}

impl LogRule {
    fn of(rule: &RuleRef) -> Self {
        match rule {
            RuleRef::Rule { tier, policy, index, .. } => Self {
                tier: Some(tier.clone()),
                policy: Some(policy.to_string()),
                rule: Some(*index),
                profile: None,
            },
            RuleRef::Profile { name } => {
                Self { tier: None, policy: None, rule: None, profile: Some(name.clone()) }
            }
            // Nothing else has rules.
            _ => Self { tier: None, policy: None, rule: None, profile: None },
        }
    }
}
