//! Layers of all key spaces to a row, with what its leaves stand for.

use std::collections::BTreeMap;
use std::sync::Arc;

use bulkhead_types::{Decision, RuleRef};
use bulkhead_wire::row::Leaf;
use bulkhead_wire::{Row, RowId, RuleId, Spans};

use super::brush::Space;
use super::grants::Grants;
use super::logs::LogLists;
use super::paint::{Layer, Say, Word};
use super::program::NamedRule;

/// A row with the rules that its leaves name.
#[derive(Clone, Debug)]
pub struct Painted {
    pub id: RowId,
    pub row: Arc<Row>,
    pub rules: Box<[(RuleId, Named)]>,
}

/// What a rule id stands for; spelled out only where a node does not have it yet.
#[derive(Clone, Debug)]
pub enum Named {
    Rule(Arc<Grants>, u32),
    /// A tier's end or a profile.
    Default(Arc<RuleRef>),
    /// What decides is behind Log rules.
    Logged(Arc<Logged>),
}

/// A rule that decides once others have logged.
#[derive(Clone, Debug)]
pub struct Logged {
    pub decider: (RuleId, Named),
    /// In order; each of them is among the rules of the row.
    pub logged: Arc<[RuleId]>,
}

impl Named {
    pub fn of_default((id, rule): &NamedRule) -> (RuleId, Self) {
        (*id, Named::Default(Arc::clone(rule)))
    }

    pub fn reference(&self) -> Arc<RuleRef> {
        match self {
            Named::Rule(list, index) => Arc::new(list.reference(*index)),
            Named::Default(rule) => Arc::clone(rule),
            Named::Logged(behind) => behind.decider.1.reference(),
        }
    }
}

impl Painted {
    /// One answer for every packet.
    pub fn plain(leaf: Leaf, rule: &NamedRule) -> Self {
        let layers = Space::ALL.map(|_| Layer::uniform(Some(leaf)));
        finish(layers, vec![Named::of_default(rule)], &LogLists::default())
    }
}

/// `rules` may name one rule more than once, and rules that decide nothing.
pub fn finish(layers: [Layer; 6], mut rules: Vec<(RuleId, Named)>, lists: &LogLists) -> Painted {
    rules.sort_by_key(|(id, _)| *id);
    rules.dedup_by_key(|(id, _)| *id);
    let mut behind = Behind { rules: &rules, lists, named: BTreeMap::new() };
    // Most key spaces of a row have one answer, and that of their neighbour.
    let mut last: Option<(Say, Spans)> = None;
    let spans = layers.map(|layer| match (layer.as_uniform(), &last) {
        (Some(say), Some((same, spans))) if say == *same => spans.clone(),
        (uniform, _) => {
            // What follows the tiers is uniform, so no key is without a word; were one, it would be
            // denied.
            let spans = layer.into_spans(|say| behind.leaf(say)).unwrap_or_else(|| {
                let rule = RuleId::of(&RuleRef::Unknown);
                Spans::uniform(Leaf { decision: Decision::Deny, rule })
            });
            last = uniform.map(|say| (say, spans.clone())).or(last.take());
            spans
        }
    });
    let [tcp, udp, sctp, icmp, icmpv6, other] = spans;
    let row = Row { tcp, udp, sctp, icmp, icmpv6, other };
    let mut used: Vec<RuleId> = Vec::new();
    for leaf in row.all().into_iter().flat_map(Spans::leaves) {
        if used.last() != Some(&leaf.rule) {
            used.push(leaf.rule);
        }
    }
    let named = behind.named;
    used.extend(named.values().flat_map(|behind| behind.logged.iter().copied()));
    used.sort_unstable();
    rules.retain(|(id, _)| used.binary_search(id).is_ok());
    rules.extend(named.into_iter().map(|(id, behind)| (id, Named::Logged(behind))));
    Painted { id: RowId::of(&row), row: Arc::new(row), rules: rules.into() }
}

/// Gives an id to each pair of a rule that decides and the Log rules before it.
struct Behind<'a> {
    /// By id.
    rules: &'a [(RuleId, Named)],
    lists: &'a LogLists,
    named: BTreeMap<RuleId, Arc<Logged>>,
}

impl Behind<'_> {
    fn leaf(&mut self, say: Say) -> Word {
        let leaf = say.word?;
        if say.logs.is_none() {
            return Some(leaf);
        }
        let logged = self.lists.get(say.logs);
        let rule = RuleId::behind(leaf.rule, logged);
        let decider = self.rules.binary_search_by_key(&leaf.rule, |(id, _)| *id).ok();
        if let Some(decider) = decider.and_then(|place| self.rules.get(place)) {
            self.named.entry(rule).or_insert_with(|| {
                Arc::new(Logged { decider: decider.clone(), logged: logged.into() })
            });
        }
        Some(Leaf { rule, ..leaf })
    }
}
