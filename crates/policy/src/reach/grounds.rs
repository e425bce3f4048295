//! By which rules connections are allowed, at both ends.

use std::collections::BTreeMap;

use bulkhead_types::{Decision, Direction, RuleRef};

use super::slots::Slot;
use super::traffic::Traffic;
use super::{Reach, TrafficId};
use crate::engine::Engine;

/// Traffic with what lets it through at the source and at the destination; `None` outside.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ground {
    pub egress: Option<RuleRef>,
    pub ingress: Option<RuleRef>,
    pub allowed: Traffic,
}

impl Reach {
    /// The traffic of a pair of slots by the rules that allow it. Disjoint; together it is that of
    /// [`Reach::pair`]. The engine must be as it was when last followed.
    pub fn grounds(&mut self, engine: &Engine, src: u32, dst: u32) -> Vec<Ground> {
        if self.pair(src, dst) == TrafficId::NOTHING {
            return Vec::new();
        }
        let (Some(from), Some(to)) = (self.slot(src), self.slot(dst)) else { return Vec::new() };
        let egress = allowing(engine, from, Direction::Egress, to);
        let ingress = allowing(engine, to, Direction::Ingress, from);
        let mut grounds = Vec::new();
        for (out, one) in &egress {
            for (into, other) in &ingress {
                let allowed = one.and(other).of_family(from.is_v4());
                if !allowed.is_empty() {
                    let (egress, ingress) = (out.clone(), into.clone());
                    grounds.push(Ground { egress, ingress, allowed });
                }
            }
        }
        grounds.sort_unstable();
        grounds
    }
}

/// Grounds of several pairs, those with the same rules joined.
pub fn joined(grounds: impl IntoIterator<Item = Ground>) -> Vec<Ground> {
    let mut by_rules: BTreeMap<(Option<RuleRef>, Option<RuleRef>), Traffic> = BTreeMap::new();
    for Ground { egress, ingress, allowed } in grounds {
        let known = by_rules.entry((egress, ingress)).or_default();
        *known = known.or(&allowed);
    }
    let grounds = by_rules.into_iter();
    grounds.map(|((egress, ingress), allowed)| Ground { egress, ingress, allowed }).collect()
}

/// What one end allows, rule by rule.
fn allowing(
    engine: &Engine,
    own: &Slot,
    direction: Direction,
    remote: &Slot,
) -> Vec<(Option<RuleRef>, Traffic)> {
    let program = own.program(direction).and_then(|program| engine.program_of(program));
    let Some(program) = program else { return vec![(None, Traffic::everything())] };
    let groups = engine.groups();
    let painted = program.paint(&program.project(&remote.class, groups), groups);
    let mut allowing: BTreeMap<Option<RuleRef>, Traffic> = BTreeMap::new();
    for (id, rule) in &painted.rules {
        let by_it = Traffic::where_leaf(&painted.row, |leaf| {
            leaf.decision == Decision::Allow && leaf.rule == *id
        });
        if !by_it.is_empty() {
            // One rule may decide behind several lists of Log rules.
            let rule = Some(RuleRef::clone(&rule.reference()));
            let known = allowing.entry(rule).or_default();
            *known = known.or(&by_it);
        }
    }
    allowing.into_iter().collect()
}
