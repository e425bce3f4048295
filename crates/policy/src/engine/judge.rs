//! Which programs judge an endpoint. Members of one persona nearly always share them, so that a round
//! asks once for each persona.

use std::collections::HashSet;
use std::net::IpAddr;
use std::sync::Arc;

use bulkhead_types::{Direction, HostStage, Labels};
use bulkhead_wire::{EndpointProgram, Judges, ProgramId};
use ipnet::IpNet;
use rustc_hash::FxHashMap;

use super::{Engine, Work};
use crate::decide::{Reading, profile_name};
use crate::resolve::{Program, ProgramTier, Rest, RuleNames};
use crate::rule::Family;
use crate::select::{GroupId, Groups, MemberId, PersonaId};

/// What judges whom, as far as this round has asked.
#[derive(Default)]
pub struct Looks {
    by_persona: FxHashMap<(PersonaId, Direction, Reading), Look>,
    /// Equal labels share memory.
    labels: HashSet<Arc<Labels>>,
    names: RuleNames,
}

struct Look {
    stack: Arc<[ProgramTier]>,
    rest: Rest,
    /// Groups of the local address that the stack asks about. Sorted.
    feels: Vec<GroupId>,
    is_by_family: bool,
    found: Vec<(Option<Family>, Vec<GroupId>, ProgramId)>,
}

impl Looks {
    fn labels(&mut self, labels: Labels) -> Arc<Labels> {
        if let Some(known) = self.labels.get(&labels) {
            return Arc::clone(known);
        }
        let labels = Arc::new(labels);
        self.labels.insert(Arc::clone(&labels));
        labels
    }
}

impl Look {
    fn new(stack: Vec<ProgramTier>, rest: Rest) -> Self {
        let lists = || stack.iter().flat_map(|tier| &tier.lists);
        let mut feels: Vec<GroupId> = lists().flat_map(|list| list.feels.iter().copied()).collect();
        feels.sort_unstable();
        feels.dedup();
        let is_by_family = lists().any(|list| list.is_by_family);
        Self { stack: stack.into(), rest, feels, is_by_family, found: Vec::new() }
    }

    fn feel(&self, class: &[GroupId], groups: &Groups) -> Vec<GroupId> {
        if self.feels.is_empty() {
            return Vec::new();
        }
        let is_felt = |group: &GroupId| self.feels.binary_search(&groups.seen_as(*group)).is_ok();
        class.iter().copied().filter(is_felt).collect()
    }
}

impl Engine {
    /// `None` for what is no workload.
    pub(super) fn wanted_endpoint(
        &mut self,
        member: MemberId,
        looks: &mut Looks,
    ) -> Option<EndpointProgram> {
        let id = self.roster.endpoint_id(member, &self.selectors)?;
        let persona = self.selectors.persona_of(member)?;
        let labels = looks.labels(self.selectors.own_labels(member));
        let (mut addresses, mut staged) = (Vec::new(), Vec::new());
        let is_staged = self.is_staged_for(member);
        let record = self.roster.get(member)?;
        let (interface, mac) = (record.interface(), record.mac());
        for address in record.prefixes.as_slice().iter().map(IpNet::addr).collect::<Vec<_>>() {
            let mut judges = |reading| {
                let judge = |direction| {
                    self.judge((persona, direction, reading), &id.namespace, address, looks)
                };
                let [ingress, egress] = [Direction::Ingress, Direction::Egress].map(judge);
                Judges { ingress, egress }
            };
            addresses.push((address, judges(Reading::Enforced)));
            if is_staged {
                staged.push((address, judges(Reading::Staged)));
            }
        }
        let (addresses, staged) = (addresses.into_iter(), staged.into_iter());
        Some(EndpointProgram {
            id,
            labels,
            addresses: addresses.collect(),
            staged: staged.collect(),
            interface,
            mac,
        })
    }

    fn judge(
        &mut self,
        whom: (PersonaId, Direction, Reading),
        namespace: &str,
        address: IpAddr,
        looks: &mut Looks,
    ) -> ProgramId {
        let look = looks.by_persona.entry(whom).or_insert_with(|| {
            let (persona, direction, reading) = whom;
            let rest = Rest::Allowed { profile: profile_name(namespace) };
            Look::new(self.stack(persona, direction, HostStage::Normal, reading), rest)
        });
        let class = self.addresses.class(&IpNet::from(address));
        let view = look.feel(class.map_or(&[][..], |class| class), &self.groups);
        let family = look.is_by_family.then_some(Family::of(address));
        if let Some((_, _, id)) = look.found.iter().find(|(f, v, _)| *f == family && *v == view) {
            return *id;
        }
        let program = Program::new(
            whom.1,
            Arc::clone(&look.stack),
            look.rest.clone(),
            Family::of(address),
            &view,
            &self.groups,
        );
        let id = program.id;
        look.found.push((family, view, id));
        self.know(program, looks);
        id
    }

    /// Keeps the program for this round at least.
    pub(super) fn know(&mut self, program: Program, looks: &mut Looks) {
        if self.programs.get(program.id).is_some() {
            return;
        }
        let (direction, n_policies) = (program.direction, program.lists().count());
        self.programs.add(program.open_eyes(&mut looks.names));
        self.log(|| Work::Compiled { direction, n_policies });
    }
}
