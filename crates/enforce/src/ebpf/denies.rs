//! Deny sets: the addresses from which an untracked policy lets nothing in, whatever protocol and port.
//! The driver drops these by a bitmap and a trie of their own, which hold far more than the classes do.
//!
//! A prefix that only such a policy tells apart is then no class any more: its addresses never come far
//! enough to be classified.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bulkhead_enforce_abi::DENY_WORDS;
use bulkhead_types::{Decision, Direction, EndpointId, HostStage};
use bulkhead_wire::row::{Outcome, Row};
use bulkhead_wire::{ClassId, NodeProgram, ProgramId, RowId, RuleId};
use ipnet::IpNet;

/// Deny sets up to this size stay classes as well, so that tcx says the same without the driver.
pub const DENIES_KEPT_MAX: usize = 1_024;

/// Prefixes with the rule that denies them; `None` is a hole in a wider one.
pub type Prefixes = BTreeMap<IpNet, Option<RuleId>>;

/// What the driver drops at the interfaces of one host endpoint.
#[derive(Clone, Debug, Default)]
pub struct DenySet {
    pub host: Option<EndpointId>,
    pub prefixes: Arc<Prefixes>,
    /// The program without the classes that are of no use any more; `None`: it stays as it is.
    pub rest: Option<Arc<NodeProgram>>,
}

/// The set of the first host endpoint that has one. Others are left to their untracked programs.
pub fn deny_set(program: &NodeProgram, standing: &BTreeSet<EndpointId>) -> DenySet {
    let found =
        program.hosts.values().filter(|host| standing.contains(&host.id)).find_map(|host| {
            let locals = host.stages.get(&(HostStage::Untracked, Direction::Ingress))?;
            let mut judges: Vec<ProgramId> = locals.values().copied().collect();
            judges.dedup();
            let [judge] = judges.as_slice() else { return None };
            let prefixes = denied(program, *judge);
            (!prefixes.is_empty()).then(|| (host.id.clone(), *judge, prefixes))
        });
    let Some((host, judge, prefixes)) = found else { return DenySet::default() };
    let rest = (prefixes.len() > DENIES_KEPT_MAX).then(|| Arc::new(without(program, judge)));
    DenySet { host: Some(host), prefixes: Arc::new(prefixes), rest }
}

fn denied(program: &NodeProgram, judge: ProgramId) -> Prefixes {
    let of_program = |class| program.entries.get(&(judge, class));
    let outside = of_program(ClassId::OUTSIDE);
    let mut rules: BTreeMap<RowId, Option<RuleId>> = BTreeMap::new();
    let mut rule_of = |class: ClassId| {
        let row = *of_program(class).or(outside)?;
        *rules.entry(row).or_insert_with(|| program.rows.get(&row).and_then(|row| denies_all(row)))
    };
    let all: Prefixes =
        program.classes.iter().map(|(prefix, class)| (*prefix, rule_of(*class))).collect();
    let is_hole = |prefix: &IpNet| {
        let wider =
            (0..prefix.prefix_len()).rev().filter_map(|n| IpNet::new(prefix.addr(), n).ok());
        wider.filter_map(|wider| all.get(&wider.trunc())).next().is_some_and(Option::is_some)
    };
    all.iter()
        .filter(|(prefix, rule)| rule.is_some() || is_hole(prefix))
        .map(|(prefix, rule)| (*prefix, *rule))
        .collect()
}

/// The rule that denies every packet of the row.
fn denies_all(row: &Row) -> Option<RuleId> {
    let mut only = None;
    for spans in row.all() {
        let [span] = spans.as_slice() else { return None };
        let Outcome::Leaf(leaf) = &span.outcome else { return None };
        if leaf.decision == Decision::Allow || only.is_some_and(|rule| rule != leaf.rule) {
            return None;
        }
        only = Some(leaf.rule);
    }
    only
}

/// The program without the prefixes whose class only `judge` tells from the outside. Where such a
/// prefix lies within one that others tell apart, it stays.
fn without(program: &NodeProgram, judge: ProgramId) -> NodeProgram {
    let told: BTreeSet<ClassId> = program
        .entries
        .keys()
        .filter(|(of, class)| *of != judge && *class != ClassId::OUTSIDE)
        .map(|(_, class)| *class)
        .collect();
    let is_told = |class: &ClassId| told.contains(class);
    let any_told: BTreeSet<u8> = program
        .classes
        .iter()
        .filter(|(_, class)| is_told(class))
        .map(|(prefix, _)| prefix.prefix_len())
        .collect();
    let lies_within_told = |prefix: &IpNet| {
        any_told
            .iter()
            .filter(|length| **length < prefix.prefix_len())
            .filter_map(|length| IpNet::new(prefix.addr(), *length).ok())
            .any(|wider| program.classes.get(&wider.trunc()).is_some_and(is_told))
    };
    let mut rest = program.clone();
    rest.classes.retain(|prefix, class| is_told(class) || lies_within_told(prefix));
    rest
}

/// The words of the bitmap in which some prefix has a bit.
pub fn bits<'a>(prefixes: impl Iterator<Item = (&'a IpNet, &'a Option<RuleId>)>) -> Vec<u64> {
    let mut words = vec![0u64; DENY_WORDS as usize];
    for (prefix, rule) in prefixes {
        let IpNet::V4(net) = prefix else { continue };
        if rule.is_none() {
            continue;
        }
        let first = u32::from(net.network()) >> 8;
        let last = u32::from(net.broadcast()) >> 8;
        for number in first..=last {
            if let Some(word) = words.get_mut((number >> 6) as usize) {
                *word |= 1 << (number & 63);
            }
        }
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prefix(text: &str) -> IpNet {
        text.parse().unwrap()
    }

    #[test]
    fn a_bit_stands_for_each_24_that_a_prefix_touches() {
        let rule = Some(RuleId(7));
        let set: Prefixes = [
            (prefix("192.0.2.1/32"), rule),
            (prefix("10.0.0.0/22"), rule),
            (prefix("10.0.9.0/24"), None),
            (prefix("fd00::/8"), rule),
        ]
        .into();
        let words = bits(set.iter());
        let n: u32 = words.iter().map(|word| word.count_ones()).sum();
        assert_eq!(n, 5);
        let is_set = |address: [u8; 4]| {
            let number = u32::from_be_bytes(address) >> 8;
            words[(number >> 6) as usize] >> (number & 63) & 1 == 1
        };
        assert!(is_set([192, 0, 2, 200]) && is_set([10, 0, 3, 0]) && !is_set([10, 0, 4, 0]));
    }
}
