//! Destinations by DNS name: what rules with `domains` open wherever the name leads.
//!
//! Only nodes know which addresses stand behind a name, so a pattern of a rule is a destination of
//! its own: an address outside that was looked up under a name that the pattern means, and under no
//! name of which other rules ask more.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use bulkhead_types::names::pattern_covers;
use bulkhead_types::{Direction, EndpointId};
use bulkhead_wire::ProgramId;

use super::matrix::{Connection, End, Extent, Pods};
use super::pool::TrafficId;
use super::{Matrix, Reach, Traffic};
use crate::engine::Engine;
use crate::select::{GroupId, GroupKind};

/// An egress program in one IP version.
type Kind = (ProgramId, bool);
/// A pattern, with what it opens to every address outside and to some.
type Opened = (Arc<str>, [TrafficId; 2]);
/// What is told of each pattern, with the IP versions it holds in.
type Told = BTreeMap<(Arc<str>, Pods), BTreeSet<(TrafficId, bool)>>;

impl Reach {
    /// Adds what names open beyond what is open to every address they may lead to.
    pub(super) fn add_names(
        &mut self,
        engine: &Engine,
        members: &BTreeMap<Arc<str>, Vec<EndpointId>>,
        matrix: &mut Matrix,
    ) {
        let mut known: HashMap<Kind, Vec<Opened>> = HashMap::new();
        for (workload, endpoints) in members {
            let slots = endpoints.iter().flat_map(|endpoint| self.slots_of(endpoint));
            let kinds: BTreeSet<Kind> = slots
                .filter_map(|slot| self.slot(*slot))
                .filter_map(|slot| Some((slot.program(Direction::Egress)?, slot.is_v4())))
                .collect();
            let is_dual = kinds.iter().any(|kind| kind.1) && kinds.iter().any(|kind| !kind.1);
            let mut told = Told::new();
            for kind in kinds {
                let names = known.entry(kind).or_insert_with(|| self.opened_by_names(engine, kind));
                for (name, [all, some]) in &*names {
                    for (pods, traffic) in [(Pods::All, all), (Pods::SomeAddresses, some)] {
                        let told = told.entry((Arc::clone(name), pods)).or_default();
                        told.insert((*traffic, kind.1));
                    }
                }
            }
            for ((name, pods), by_family) in told {
                for (traffic, is_v4) in &by_family {
                    let is_both = by_family.contains(&(*traffic, !is_v4));
                    let mut allowed = Traffic::clone(&self.pool().get(*traffic));
                    if !is_both {
                        allowed = allowed.of_family(*is_v4);
                    }
                    // What both IP versions allow is told once.
                    if allowed.is_empty() || (is_both && !is_v4) {
                        continue;
                    }
                    let src = End::Workload(Arc::clone(workload));
                    let dst = End::Name(Arc::clone(&name));
                    let is_v4 = (is_dual && !is_both).then_some(*is_v4);
                    let extent = Extent { pods, is_v4, requests: None };
                    let allowed = Arc::new(allowed);
                    matrix.connections.push(Connection { src, dst, extent, allowed });
                }
            }
        }
        matrix.connections.sort_unstable();
    }

    /// Patterns that open something to the program, with what they open to every address outside,
    /// and what to some addresses besides.
    fn opened_by_names(
        &mut self,
        engine: &Engine,
        (program, is_v4): (ProgramId, bool),
    ) -> Vec<(Arc<str>, [TrafficId; 2])> {
        let Some(compiled) = engine.program_of(program) else { return Vec::new() };
        let groups = engine.groups();
        let asked: Vec<(GroupId, Vec<&str>)> = compiled
            .sees
            .iter()
            .filter_map(|group| match groups.kind(*group)? {
                GroupKind::Domains(patterns) => {
                    Some((*group, patterns.iter().map(|pattern| pattern.0.as_str()).collect()))
                }
                _ => None,
            })
            .collect();
        let patterns: BTreeSet<&str> = asked.iter().flat_map(|(_, list)| list).copied().collect();
        let outside = &self.slots.outside & self.slots.family(is_v4);
        let classes: BTreeSet<_> = outside
            .iter()
            .filter_map(|slot| self.slot(slot))
            .map(|slot| slot.class.clone())
            .collect();
        let mut opened = Vec::new();
        for pattern in patterns {
            let named = asked.iter().filter(|(_, list)| {
                list.iter().any(|wide| *wide == pattern || pattern_covers(wide, pattern))
            });
            let named: Vec<GroupId> = named.map(|(group, _)| *group).collect();
            let (mut all, mut any) = (TrafficId::EVERYTHING, TrafficId::NOTHING);
            for class in &classes {
                let mut view = compiled.project(class, groups);
                let base = self.answers.pool.of_row(&compiled.paint(&view, groups).row);
                view.extend(&named);
                view.sort_unstable();
                let with_name = self.answers.pool.of_row(&compiled.paint(&view, groups).row);
                let pool = &mut self.answers.pool;
                let gained = pool.get(with_name).but_not(&pool.get(base));
                let gained = pool.intern(gained);
                (all, any) = (pool.meet(all, gained), pool.join(any, gained));
            }
            let pool = &mut self.answers.pool;
            let rest = pool.get(any).but_not(&pool.get(all));
            let rest = pool.intern(rest);
            if any != TrafficId::NOTHING {
                opened.push((Arc::from(pattern), [all, rest]));
            }
        }
        opened
    }
}
