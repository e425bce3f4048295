//! The ordered grants that judge an address in one direction, and the rows they make.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use bulkhead_types::{Decision, Direction, RuleRef};
use bulkhead_wire::row::Leaf;
use bulkhead_wire::{ProgramId, Row, RowId, RuleId, Spans};

use super::brush::{Brush, PortTest, Space};
use super::grants::{ContentHasher, Grant, Grants};
use super::paint::{Canvas, Layer, Say};
use crate::rule::{Action, Family, TierDefault};
use crate::select::{GroupId, Groups};

/// INVARIANT(program-identity): the id hashes everything that a verdict or its provenance depends
/// on, so equal ids answer alike.
#[derive(Debug)]
pub struct Program {
    pub id: ProgramId,
    pub direction: Direction,
    pub tiers: Vec<ProgramTier>,
    /// What decides where no tier does.
    pub rest: Rest,
    /// `None` where no grant asks for an IP version.
    pub family: Option<Family>,
    /// The groups of the local address that the grants ask about; atoms included. Sorted.
    pub view: Vec<GroupId>,
    /// The groups that the grants ask of remote addresses. Sorted; names stand for their atoms.
    pub sees: Vec<GroupId>,
    /// One for each tier.
    indexes: Vec<TierIndex>,
    /// What the tiers' ends and the profile are called.
    defaults: Vec<(RuleId, Named)>,
    rest_rule: (RuleId, Named),
}

/// What decides where no tier and no rule of a profile does.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Rest {
    /// The profile allows everything.
    Allowed { profile: String },
    /// The profile is listed and does not exist.
    Missing { profile: String },
    /// No profile has a word.
    NoProfile,
    /// A stage of a host endpoint that leaves the packet to the next.
    NoSay,
}

#[derive(Clone, Debug)]
pub struct ProgramTier {
    pub name: String,
    pub default: TierDefault,
    pub lists: Vec<Arc<Grants>>,
}

/// Which of a tier's lists have a say about a class, without asking them all.
#[derive(Debug, Default)]
struct TierIndex {
    always: Vec<usize>,
    by_group: HashMap<GroupId, Vec<usize>>,
}

/// A row with the rules that its leaves name.
#[derive(Clone, Debug)]
pub struct Painted {
    pub id: RowId,
    pub row: Row,
    pub rules: Vec<(RuleId, Named)>,
}

/// What a rule id stands for; spelled out only where a node does not have it yet.
#[derive(Clone, Debug)]
pub enum Named {
    Rule(Arc<Grants>, u32),
    /// A tier's end or a profile.
    Default(Arc<RuleRef>),
}

impl Named {
    pub fn reference(&self) -> RuleRef {
        match self {
            Named::Rule(list, index) => list.reference(*index),
            Named::Default(rule) => RuleRef::clone(rule),
        }
    }
}

impl Program {
    /// The program of an address that is in the groups of `class`, without what it sees: enough to
    /// know its identity. See [`Program::open_eyes`].
    pub fn new(
        direction: Direction,
        tiers: Vec<ProgramTier>,
        rest: Rest,
        family: Family,
        class: &[GroupId],
        groups: &Groups,
    ) -> Self {
        let lists = || tiers.iter().flat_map(|tier| &tier.lists);
        let is_felt = |group: &GroupId| {
            let asked = groups.seen_as(*group);
            lists().any(|list| list.feels.binary_search(&asked).is_ok())
        };
        let view: Vec<GroupId> = class.iter().copied().filter(is_felt).collect();
        let is_by_family = lists().any(|list| list.is_by_family);
        let mut program = Self {
            id: ProgramId(0),
            direction,
            tiers,
            rest,
            family: is_by_family.then_some(family),
            view,
            sees: Vec::new(),
            indexes: Vec::new(),
            defaults: Vec::new(),
            rest_rule: named(RuleRef::Unknown),
        };
        program.id = program.content(groups);
        program
    }

    /// Collects what the grants ask of remote addresses, and everything else that painting needs.
    #[must_use]
    pub fn open_eyes(mut self) -> Self {
        self.rest_rule = named(self.rest.reference());
        let ends = self.tiers.iter().map(|tier| RuleRef::TierDefault { tier: tier.name.clone() });
        self.defaults = ends.map(named).collect();
        self.indexes = self.tiers.iter().map(TierIndex::new).collect();
        let sees: BTreeSet<GroupId> =
            self.lists().flat_map(|list| list.sees.iter().copied()).collect();
        self.sees = sees.into_iter().collect();
        self
    }

    pub fn lists(&self) -> impl Iterator<Item = &Arc<Grants>> {
        self.tiers.iter().flat_map(|tier| &tier.lists)
    }

    fn content(&self, groups: &Groups) -> ProgramId {
        let mut hasher = ContentHasher::default();
        (self.direction, &self.rest, self.family, self.tiers.len()).hash(&mut hasher);
        for tier in &self.tiers {
            (&tier.name, tier.default, tier.lists.len()).hash(&mut hasher);
            for list in &tier.lists {
                list.content.hash(&mut hasher);
            }
        }
        let view: BTreeSet<u64> = self.view.iter().map(|group| groups.content(*group)).collect();
        view.hash(&mut hasher);
        ProgramId(hasher.finish())
    }

    /// Those of a class's groups that the grants can tell apart.
    pub fn project(&self, class: &[GroupId], groups: &Groups) -> Vec<GroupId> {
        let sees = |group: &GroupId| self.sees.binary_search(&groups.seen_as(*group)).is_ok();
        class.iter().copied().filter(sees).collect()
    }

    /// The row for remote addresses with these groups (sorted).
    pub fn paint(&self, class: &[GroupId], groups: &Groups) -> Painted {
        let mut seen: Vec<GroupId> = class.iter().map(|group| groups.seen_as(*group)).collect();
        seen.dedup();
        let mut rules = BTreeMap::from([self.rest_rule.clone()]);
        let rest = Leaf { decision: self.rest.decision(), rule: self.rest_rule.0 };
        let mut layers = Space::ALL.map(|_| Layer::Uniform(Some(rest)));
        let tiers = self.tiers.iter().zip(&self.indexes).zip(&self.defaults);
        for ((tier, index), (end, end_rule)) in tiers.rev() {
            let brushes = self.brushes(tier, index, &seen, class, groups);
            for (_, list, brush) in &brushes {
                let named = || Named::Rule(Arc::clone(list), brush.grant.index);
                rules.entry(brush.grant.rule).or_insert_with(named);
            }
            let rest = match tier.default {
                TierDefault::Pass => None,
                TierDefault::Deny => {
                    rules.insert(*end, end_rule.clone());
                    Some(Leaf { decision: Decision::Deny, rule: *end })
                }
            };
            for (layer, space) in layers.iter_mut().zip(Space::ALL) {
                *layer = layer_of(&brushes, space, rest).over(std::mem::take(layer));
            }
        }
        finish(layers, rules)
    }

    /// The grants of a tier that concern this pair of addresses, in order, with what each says.
    fn brushes<'a>(
        &self,
        tier: &'a ProgramTier,
        index: &TierIndex,
        seen: &[GroupId],
        class: &[GroupId],
        groups: &Groups,
    ) -> Vec<(Say, &'a Arc<Grants>, Brush<'a>)> {
        let in_family = |grant: &Grant| match (grant.family, self.family) {
            (Some(wanted), Some(family)) => wanted == family,
            _ => true,
        };
        let mut concerned: Vec<(&Arc<Grants>, &Grant)> = Vec::new();
        for list in index.lists(tier, seen) {
            let candidates = list.candidates(seen).filter(|grant| {
                in_family(grant) && grant.local.passes(&self.view) && grant.remote.passes(class)
            });
            concerned.extend(candidates.map(|grant| (list, grant)));
        }
        let brush = |(list, grant): (&'a Arc<Grants>, &'a Grant)| {
            let decision = match grant.action {
                Action::Allow => Some(Decision::Allow),
                Action::Deny => Some(Decision::Deny),
                Action::Pass | Action::Log => None,
            };
            let say = decision.map(|decision| Leaf { decision, rule: grant.rule });
            let local = PortTest::new(&grant.local, &self.view, groups);
            let remote = PortTest::new(&grant.remote, class, groups);
            let (src, dst) = match self.direction {
                Direction::Ingress => (remote, local),
                Direction::Egress => (local, remote),
            };
            (say, list, Brush { grant, src, dst })
        };
        concerned.into_iter().map(brush).collect()
    }
}

impl Rest {
    pub fn decision(&self) -> Decision {
        match self {
            Rest::Allowed { .. } | Rest::NoSay => Decision::Allow,
            Rest::Missing { .. } | Rest::NoProfile => Decision::Deny,
        }
    }

    pub fn reference(&self) -> RuleRef {
        match self {
            Rest::Allowed { profile } | Rest::Missing { profile } => {
                RuleRef::Profile { name: profile.clone() }
            }
            Rest::NoProfile => RuleRef::NoProfile,
            Rest::NoSay => RuleRef::StageDefault,
        }
    }
}

impl TierIndex {
    fn new(tier: &ProgramTier) -> Self {
        let mut index = Self::default();
        for (position, list) in tier.lists.iter().enumerate() {
            if list.is_for_every_class() {
                index.always.push(position);
            }
            for group in list.keys() {
                index.by_group.entry(group).or_default().push(position);
            }
        }
        index
    }

    /// In order.
    fn lists<'a>(
        &self,
        tier: &'a ProgramTier,
        seen: &[GroupId],
    ) -> impl Iterator<Item = &'a Arc<Grants>> + use<'a> {
        let mut positions = self.always.clone();
        positions.extend(seen.iter().filter_map(|group| self.by_group.get(group)).flatten());
        positions.sort_unstable();
        positions.dedup();
        positions.into_iter().filter_map(|position| tier.lists.get(position))
    }
}

fn layer_of(brushes: &[(Say, &Arc<Grants>, Brush<'_>)], space: Space, rest: Say) -> Layer {
    let mut canvas: Option<Canvas> = None;
    for (say, _, brush) in brushes {
        let (keys, sources) = brush.area(space);
        if keys.is_empty() || sources.is_empty() {
            continue;
        }
        let canvas = canvas.get_or_insert_with(Canvas::default);
        if canvas.is_full() {
            break;
        }
        for key in keys {
            canvas.paint(key, &sources, *say);
        }
    }
    canvas.map_or_else(|| Layer::Uniform(rest), |canvas| canvas.finish(rest))
}

fn named(rule: RuleRef) -> (RuleId, Named) {
    (RuleId::of(&rule), Named::Default(Arc::new(rule)))
}

fn finish(layers: [Layer; 6], mut rules: BTreeMap<RuleId, Named>) -> Painted {
    // Most key spaces of a row have one answer, and that of their neighbour.
    let mut last: Option<(Leaf, Spans)> = None;
    let spans = layers.map(|layer| match (layer.as_uniform(), &last) {
        (Some(Some(leaf)), Some((same, spans))) if leaf == *same => spans.clone(),
        (Some(Some(leaf)), _) => {
            let spans = Spans::uniform(leaf);
            last = Some((leaf, spans.clone()));
            spans
        }
        // What follows the tiers is uniform, so no key is without a word; were one, it would be denied.
        _ => layer.into_spans().unwrap_or_else(|| {
            let rule = RuleId::of(&RuleRef::Unknown);
            Spans::uniform(Leaf { decision: Decision::Deny, rule })
        }),
    });
    let [tcp, udp, sctp, icmp, icmpv6, other] = spans;
    let row = Row { tcp, udp, sctp, icmp, icmpv6, other };
    let used: BTreeSet<RuleId> =
        row.all().into_iter().flat_map(|spans| spans.leaves()).map(|leaf| leaf.rule).collect();
    rules.retain(|id, _| used.contains(id));
    Painted { id: RowId::of(&row), row, rules: rules.into_iter().collect() }
}
