//! The ordered grants that judge an address in one direction, and the rows they make.

use std::collections::HashMap;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use bulkhead_types::{Decision, Direction, RuleRef};
use bulkhead_wire::row::Leaf;
use bulkhead_wire::{ProgramId, RuleId};

use super::brush::{Brush, PortTest, Space};
use super::filed::{FEW_MAX, Filed};
use super::grants::{ContentHasher, Grant, Grants};
use super::logs::LogLists;
use super::paint::{Canvas, Layer, Word};
use super::painted::{Named, Painted, finish};
use crate::rule::{Action, Family, TierDefault};
use crate::select::{GroupId, Groups};

/// INVARIANT(program-identity): the id hashes everything that a verdict or its provenance depends
/// on, so equal ids answer alike.
#[derive(Debug)]
pub struct Program {
    pub id: ProgramId,
    pub direction: Direction,
    pub tiers: Arc<[ProgramTier]>,
    /// What decides where no tier does.
    pub rest: Rest,
    /// `None` where no grant asks for an IP version.
    pub family: Option<Family>,
    /// The groups of the local address that the grants ask about; atoms included. Sorted.
    pub view: Box<[GroupId]>,
    /// The groups that the grants ask of remote addresses. Sorted; names stand for their atoms.
    pub sees: Box<[GroupId]>,
    /// One for each tier.
    ends: Box<[TierEnd]>,
    rest_rule: NamedRule,
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
    pub default: TierDefault,
    /// In order, never empty.
    pub lists: Vec<Arc<Grants>>,
}

/// What painting needs to know of a tier beside its lists.
#[derive(Debug)]
struct TierEnd {
    default: NamedRule,
    /// Which lists have a say about a class, where there are too many to ask each.
    index: Option<Box<Filed>>,
}

/// A rule id with what it stands for.
pub type NamedRule = (RuleId, Arc<RuleRef>);

/// Rules that were named before: tiers' ends and profiles decide in many programs.
#[derive(Debug, Default)]
pub struct RuleNames {
    by_rule: HashMap<RuleRef, NamedRule>,
}

impl ProgramTier {
    /// Empty for the tier in which a host's profiles stand.
    pub fn name(&self) -> &str {
        self.lists.first().map_or("", |list| &list.owner.tier)
    }
}

impl RuleNames {
    pub fn of(&mut self, rule: RuleRef) -> NamedRule {
        let named = self.by_rule.entry(rule).or_insert_with_key(|rule| named(rule.clone()));
        (named.0, Arc::clone(&named.1))
    }
}

impl Program {
    /// The program of an address of which `view` is what the grants ask about (sorted), without what
    /// it sees: enough to know its identity. See [`Program::open_eyes`].
    pub fn new(
        direction: Direction,
        tiers: Arc<[ProgramTier]>,
        rest: Rest,
        family: Family,
        view: &[GroupId],
        groups: &Groups,
    ) -> Self {
        let is_by_family = tiers.iter().flat_map(|tier| &tier.lists).any(|list| list.is_by_family);
        let mut program = Self {
            id: ProgramId(0),
            direction,
            tiers,
            rest,
            family: is_by_family.then_some(family),
            view: view.into(),
            sees: Box::default(),
            ends: Box::default(),
            rest_rule: (RuleId(0), Arc::new(RuleRef::Unknown)),
        };
        program.id = program.content(groups);
        program
    }

    /// Collects what the grants ask of remote addresses, and everything else that painting needs.
    #[must_use]
    pub fn open_eyes(mut self, names: &mut RuleNames) -> Self {
        self.rest_rule = names.of(self.rest.reference());
        let end = |tier: &ProgramTier| TierEnd {
            default: names.of(RuleRef::TierDefault { tier: tier.name().to_owned() }),
            index: (tier.lists.len() > FEW_MAX).then(|| Box::new(file(&tier.lists))),
        };
        self.ends = self.tiers.iter().map(end).collect();
        let mut sees: Vec<GroupId> =
            self.lists().flat_map(|list| list.sees.iter().copied()).collect();
        sees.sort_unstable();
        sees.dedup();
        self.sees = sees.into();
        self
    }

    pub fn lists(&self) -> impl Iterator<Item = &Arc<Grants>> {
        self.tiers.iter().flat_map(|tier| &tier.lists)
    }

    fn content(&self, groups: &Groups) -> ProgramId {
        let mut hasher = ContentHasher::default();
        (self.direction, &self.rest, self.family, self.tiers.len()).hash(&mut hasher);
        for tier in self.tiers.iter() {
            (tier.name(), tier.default, tier.lists.len()).hash(&mut hasher);
            for list in &tier.lists {
                list.content.hash(&mut hasher);
            }
        }
        let mut view: Vec<u64> = self.view.iter().map(|group| groups.content(*group)).collect();
        view.sort_unstable();
        view.dedup();
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
        let mut rules = vec![Named::of_default(&self.rest_rule)];
        let rest = Leaf { decision: self.rest.decision(), rule: self.rest_rule.0 };
        let mut lists = LogLists::default();
        let mut layers = Space::ALL.map(|_| Layer::uniform(Some(rest)));
        for (tier, end) in self.tiers.iter().zip(&self.ends).rev() {
            let brushes = self.brushes(tier, end, &seen, class, groups);
            rules.extend(brushes.iter().map(|(list, brush)| {
                (brush.grant.rule, Named::Rule(Arc::clone(list), brush.grant.index))
            }));
            let rest = match tier.default {
                TierDefault::Pass => None,
                TierDefault::Deny => {
                    rules.push(Named::of_default(&end.default));
                    Some(Leaf { decision: Decision::Deny, rule: end.default.0 })
                }
            };
            for (layer, space) in layers.iter_mut().zip(Space::ALL) {
                let tier = layer_of(&brushes, space, rest, &mut lists);
                *layer = tier.over(std::mem::take(layer), &mut lists);
            }
        }
        finish(layers, rules, &lists)
    }

    /// The answer for every packet, where no grant has a say about addresses in none of the groups
    /// that the program sees: what the row for the outside mostly is.
    pub fn plain(&self) -> Option<(Leaf, &NamedRule)> {
        self.lists().all(|list| !list.is_for_every_class).then(|| {
            let closed = self.tiers.iter().position(|tier| tier.default == TierDefault::Deny);
            match closed.and_then(|place| self.ends.get(place)) {
                Some(end) => (Leaf { decision: Decision::Deny, rule: end.default.0 }, &end.default),
                None => {
                    let decision = self.rest.decision();
                    (Leaf { decision, rule: self.rest_rule.0 }, &self.rest_rule)
                }
            }
        })
    }

    /// The grants of a tier that concern this pair of addresses, in order.
    fn brushes<'a>(
        &'a self,
        tier: &'a ProgramTier,
        end: &TierEnd,
        seen: &[GroupId],
        class: &[GroupId],
        groups: &Groups,
    ) -> Vec<(&'a Arc<Grants>, Brush<'a>)> {
        let in_family = |grant: &Grant| match (grant.family, self.family) {
            (Some(wanted), Some(family)) => wanted == family,
            _ => true,
        };
        let mut brushes = Vec::new();
        let mut add = |list: &'a Arc<Grants>| {
            list.candidates(seen, |grant| {
                if in_family(grant) && grant.local.passes(&self.view) && grant.remote.passes(class)
                {
                    brushes.push((list, self.brush(grant, class, groups)));
                }
            });
        };
        match &end.index {
            None => tier.lists.iter().for_each(add),
            Some(index) => {
                let positions = index.find(seen).into_iter();
                positions.filter_map(|place| tier.lists.get(place as usize)).for_each(&mut add);
            }
        }
        brushes
    }

    fn brush<'a>(&'a self, grant: &'a Grant, class: &[GroupId], groups: &Groups) -> Brush<'a> {
        let local = PortTest::new(&grant.local, &self.view, groups);
        let remote = PortTest::new(&grant.remote, class, groups);
        let (src, dst) = match self.direction {
            Direction::Ingress => (remote, local),
            Direction::Egress => (local, remote),
        };
        Brush { grant, src, dst }
    }
}

impl Grant {
    fn word(&self) -> Word {
        let decision = match self.action {
            Action::Allow => Decision::Allow,
            Action::Deny => Decision::Deny,
            Action::Pass | Action::Log => return None,
        };
        Some(Leaf { decision, rule: self.rule })
    }
}

fn file(lists: &[Arc<Grants>]) -> Filed {
    let mut index = Filed::default();
    for (position, list) in (0..).zip(lists) {
        list.keys().for_each(|keys| index.add(position, keys));
    }
    index
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

fn layer_of(
    brushes: &[(&Arc<Grants>, Brush<'_>)],
    space: Space,
    rest: Word,
    lists: &mut LogLists,
) -> Layer {
    let mut canvas: Option<Canvas> = None;
    for (_, brush) in brushes {
        let (keys, sources) = brush.area(space);
        if keys.is_empty() || sources.is_empty() {
            continue;
        }
        let canvas = canvas.get_or_insert_with(Canvas::default);
        if canvas.is_full() {
            break;
        }
        let grant = brush.grant;
        match grant.action {
            Action::Log => {
                keys.iter().for_each(|key| canvas.log(*key, &sources, grant.rule, lists));
            }
            _ => keys.iter().for_each(|key| canvas.paint(*key, &sources, grant.word())),
        }
    }
    canvas.map_or_else(|| Layer::uniform(rest), |canvas| canvas.finish(rest))
}

fn named(rule: RuleRef) -> NamedRule {
    (RuleId::of(&rule), Arc::new(rule))
}
