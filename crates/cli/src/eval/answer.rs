//! A query to its answer.

use std::io::Write;

use bulkhead_api::Object;
use bulkhead_policy::World;
use bulkhead_types::{Decision, Direction, Packet, RuleRef, Verdict};
use serde::Serialize;
use serde_json::Value;

use super::query::Query;
use crate::world::{self, Directory, End, Program};

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
}

#[derive(Debug, Serialize)]
struct Failure<'a> {
    id: &'a Value,
    error: &'a str,
}

/// Answers about one world.
pub struct Judge {
    directory: Directory,
    program: Program,
}

impl Judge {
    pub fn of(world: &World, objects: &[Object]) -> Self {
        Self { directory: Directory::of(world), program: Program::of(objects) }
    }

    /// Writes one line. `false`: it is an error.
    pub fn answer(&self, line: &[u8], n_line: usize, out: &mut impl Write) -> anyhow::Result<bool> {
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
        let judged = self.judge(&query);
        match &judged {
            Ok((verdict, [egress, ingress])) => {
                let side = |verdict: &Option<Verdict>| verdict.as_ref().map(Side::of);
                let (egress, ingress) = (side(egress), side(ingress));
                let answer = Answer { id: &query.id, verdict: *verdict, egress, ingress };
                serde_json::to_writer(&mut *out, &answer)?;
            }
            Err(error) => {
                serde_json::to_writer(&mut *out, &Failure { id: &query.id, error })?;
            }
        }
        out.write_all(b"\n")?;
        Ok(judged.is_ok())
    }

    fn judge(&self, query: &Query<'_>) -> Result<(Decision, [Option<Verdict>; 2]), String> {
        let protocol = query.protocol()?;
        let ends = self.directory.ends(&query.src, &query.dst, protocol, query.family);
        let (src, dst) = ends.map_err(|error| error.to_string())?;
        let ports = (query.port, query.src_port.unwrap_or(world::SRC_PORT));
        let packet = world::packet(&src, &dst, protocol, ports, (query.icmp_type, query.icmp_code));
        let packet = packet.map_err(|error| error.to_string())?;
        if src.is_same(&dst) {
            return Ok((Decision::Allow, [None, None]));
        }
        let verdicts = [
            self.word(&src, Direction::Egress, &packet),
            self.word(&dst, Direction::Ingress, &packet),
        ];
        let is_denied = verdicts.iter().flatten().any(|verdict| verdict.decision == Decision::Deny);
        Ok((if is_denied { Decision::Deny } else { Decision::Allow }, verdicts))
    }

    fn word(&self, end: &End, direction: Direction, packet: &Packet) -> Option<Verdict> {
        let endpoint = end.endpoint.as_ref()?;
        Some(self.program.decide(endpoint, direction, packet))
    }
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
        Self { verdict: verdict.decision, tier, policy, rule }
    }
}
