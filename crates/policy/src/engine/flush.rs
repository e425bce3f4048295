//! The round: from everything that events touched to one delta per concerned node.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;
use std::sync::Arc;

use bulkhead_types::{Direction, EndpointId, HostStage};
use bulkhead_wire::{EndpointProgram, HostProgram, Judges, ProgramId};
use ipnet::IpNet;

use super::hosts::WantedHost;
use super::programs::Rows;
use super::roster::Record;
use super::{Changes, Engine, Work};
use crate::decide::{Reading, profile_name};
use crate::emit::Emission;
use crate::facts::{Endpoint, NamedPort};
use crate::resolve::{Program, ProgramTier, Rest};
use crate::rule::Family;
use crate::select::{GroupId, Groups, MemberId, Move, Origin, Persona, PersonaId};

/// Where an endpoint was placed in the last round.
#[derive(Debug)]
pub struct Placed {
    node: String,
    pub(super) id: EndpointId,
    /// Of each address in order: ingress, egress.
    pub(super) programs: Vec<ProgramId>,
}

/// What is to be placed.
struct Wanted {
    node: String,
    id: EndpointId,
    tables: Tables,
}

enum Tables {
    Workload(EndpointProgram),
    Host(HostProgram),
}

impl Tables {
    /// Once for each use; of a workload the enforced ones first, in order of address.
    fn programs(&self) -> Vec<ProgramId> {
        match self {
            Tables::Workload(program) => {
                let judges = program.addresses.values().chain(program.staged.values());
                judges.flat_map(|j| [j.ingress, j.egress]).collect()
            }
            Tables::Host(program) => {
                let stages = program.stages.values().chain(program.staged.values());
                let used = stages.flat_map(|locals| locals.values());
                used.copied().collect::<BTreeSet<_>>().into_iter().collect()
            }
        }
    }
}

type Round = BTreeMap<String, Emission>;

/// What judges a persona, as far as this round has asked.
type Looks = HashMap<(PersonaId, Direction, Reading), Look>;

struct Look {
    stack: Vec<ProgramTier>,
    /// Groups of the local address that the stack asks about. Sorted.
    feels: Vec<GroupId>,
    is_by_family: bool,
    found: Vec<(Option<Family>, Vec<GroupId>, ProgramId)>,
}

impl Look {
    fn new(stack: Vec<ProgramTier>) -> Self {
        let lists = || stack.iter().flat_map(|tier| &tier.lists);
        let mut feels: Vec<GroupId> = lists().flat_map(|list| list.feels.iter().copied()).collect();
        feels.sort_unstable();
        feels.dedup();
        let is_by_family = lists().any(|list| list.is_by_family);
        Self { stack, feels, is_by_family, found: Vec::new() }
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
    /// Does what the events since the last time call for.
    pub fn take_changes(&mut self) -> Changes {
        let mut round = std::mem::take(&mut self.round);
        self.lists.collect(&mut self.groups);
        let retired = self.retire_groups();
        self.settle_derived();
        let moves = self.settle_addresses();
        self.mark_moves(&moves, &mut round);
        self.mark_feelers(&moves);
        self.watch_moves(&moves);
        let mut dirty = std::mem::take(&mut self.dirty_members);
        dirty.sort_unstable();
        dirty.dedup();
        let mut looks = HashMap::new();
        for id in dirty {
            self.watch_member(id);
            self.place(id, &mut round, &mut looks);
        }
        for node in self.settle_names() {
            round.entry(node).or_default().names = true;
        }
        self.emit(round);
        self.programs.collect();
        self.groups.forget(&retired);
        if !moves.is_empty() {
            self.addresses.sweep();
        }
        self.roster.sweep();
        self.places.sweep();
        let mut changes = std::mem::take(&mut self.changes);
        changes.revision = self.revision;
        changes
    }

    pub(super) fn log(&mut self, work: impl FnOnce() -> Work) {
        if let Some(list) = &mut self.work {
            list.push(work());
        }
    }

    /// A node that has an object or an endpoint has a program, if only an empty one.
    pub(super) fn touch_node(&mut self, name: &str) {
        if self.serves(name) {
            self.round.entry(name.to_owned()).or_default();
        }
    }

    /// Takes groups that no list asks for any more out of every class.
    fn retire_groups(&mut self) -> Vec<GroupId> {
        let idle: Vec<(GroupId, Vec<IpNet>)> =
            self.groups.idle().map(|group| (group, self.prefixes_of(group))).collect();
        for (group, prefixes) in idle {
            for prefix in prefixes {
                // Harmless where the prefix carries the group by a member.
                self.addresses.remove_net(prefix, group);
            }
            self.names.end(group);
            let Some(kind) = self.groups.kind(group) else { continue };
            for (prefix, atom) in self.derived.end(group, kind) {
                self.addresses.remove_net(prefix, atom);
            }
        }
        self.groups.retire(&mut self.selectors)
    }

    fn settle_addresses(&mut self) -> Vec<Move> {
        // Members with one persona and the same ports are in the same groups.
        type Alike = (Option<PersonaId>, *const NamedPort, usize);
        let mut known: HashMap<Alike, Arc<[GroupId]>> = HashMap::new();
        let (groups, selectors, roster) = (&mut self.groups, &self.selectors, &self.roster);
        let moves = self.addresses.settle(|id| {
            // Equal lists of ports share memory.
            let ports = roster.get(id).map_or(&[][..], Record::ports);
            let alike = (selectors.persona_of(id), ports.as_ptr(), ports.len());
            let matches = || selectors.persona(id).map_or(&[][..], |persona| &persona.matches);
            let known = known.entry(alike);
            Arc::clone(known.or_insert_with(|| groups.of_member(matches(), ports).into()))
        });
        for Move { prefix, .. } in &moves {
            self.log(|| Work::Classified { prefix: *prefix });
            // What an address is in may be asked by rules of its own endpoint.
            if prefix.prefix_len() == prefix.max_prefix_len() {
                self.dirty_members.extend(self.addresses.carriers(prefix));
            }
        }
        moves
    }

    /// Nodes that saw a group which an address joined or left look at the address again.
    fn mark_moves(&mut self, moves: &[Move], round: &mut Round) {
        for Move { prefix, old, new } in moves {
            let old = old.as_deref().unwrap_or_default();
            let new = new.as_deref().unwrap_or_default();
            let joined = new.iter().filter(|group| old.binary_search(group).is_err());
            let left = old.iter().filter(|group| new.binary_search(group).is_err());
            let mut nodes: BTreeSet<&str> = BTreeSet::new();
            for group in joined.chain(left) {
                nodes.extend(self.places.seers(self.groups.seen_as(*group)));
            }
            for node in nodes {
                let emission = round.entry(node.to_owned()).or_default();
                emission.prefixes.extend(self.addresses.within(*prefix).chain([*prefix]));
            }
        }
    }

    /// Finds the programs of an endpoint and puts it on its node.
    fn place(&mut self, id: MemberId, round: &mut Round, looks: &mut Looks) {
        let old = self.placed.remove(&id);
        let wanted = self.wanted_tables(id, looks);
        let new = wanted.map(|Wanted { node, id, tables }| {
            self.log(|| Work::Judged { endpoint: id.to_string() });
            let placed = Placed { node, id, programs: tables.programs() };
            for program in &placed.programs {
                self.start(*program, &placed.node, round);
            }
            (placed, tables)
        });
        if let Some(old) = old {
            for program in &old.programs {
                self.stop(*program, &old.node, round);
            }
            let stays = new.as_ref().is_some_and(|(new, _)| new.node == old.node);
            if let Some(node) = self.nodes.get_mut(&old.node).filter(|_| !stays) {
                node.remove_endpoint(&old.id);
                round.entry(old.node).or_default();
            }
        }
        if let Some((placed, tables)) = new {
            round.entry(placed.node.clone()).or_default();
            let node = self.nodes.entry(placed.node.clone()).or_default();
            match tables {
                Tables::Workload(program) => node.put_endpoint(program),
                Tables::Host(program) => node.put_host(program),
            }
            self.placed.insert(id, placed);
        }
    }

    /// `None` for what is nowhere, or on a node that is not served.
    fn wanted_tables(&mut self, id: MemberId, looks: &mut Looks) -> Option<Wanted> {
        let is_host = |persona: &Persona| persona.origin == Origin::Host;
        if self.selectors.persona(id).is_some_and(is_host) {
            return self.wanted_host_tables(id);
        }
        self.hosts.set_feels(id, BTreeSet::new());
        let record = self.roster.get(id)?;
        let node = record.node.as_deref().filter(|_| !record.prefixes.as_slice().is_empty())?;
        let node = self.serves(node).then(|| node.to_owned())?;
        let program = self.wanted_endpoint(id, looks)?;
        Some(Wanted { node, id: program.id.clone(), tables: Tables::Workload(program) })
    }

    fn wanted_host_tables(&mut self, id: MemberId) -> Option<Wanted> {
        let host = self.roster.endpoint_id(id, &self.selectors)?;
        let node = self.inventory.hosts.get(&host).map(|host| host.node.clone());
        let node = node.filter(|node| self.serves(node));
        let wanted = node.and_then(|node| Some((node, self.wanted_host(id, &host)?)));
        let Some((node, WantedHost { tables, programs, feels })) = wanted else {
            self.hosts.set_feels(id, BTreeSet::new());
            return None;
        };
        self.hosts.set_feels(id, feels);
        for program in programs {
            self.know(program);
        }
        Some(Wanted { node, id: host, tables: Tables::Host(tables) })
    }

    /// Keeps the program for this round at least.
    fn know(&mut self, program: Program) {
        let (direction, n_policies) = (program.direction, program.lists().count());
        if self.programs.know(program) {
            self.log(|| Work::Compiled { direction, n_policies });
        }
    }

    fn wanted_endpoint(&mut self, id: MemberId, looks: &mut Looks) -> Option<EndpointProgram> {
        let endpoint = self.roster.endpoint(id, &self.selectors)?;
        let persona = self.selectors.persona_of(id)?;
        let (mut addresses, mut staged) = (BTreeMap::new(), BTreeMap::new());
        let is_staged = self.is_staged_for(id);
        for &address in &endpoint.addresses {
            let mut judges = |reading| {
                let judge = |direction| {
                    let look = (persona, direction, reading);
                    self.judge(&endpoint, look, address, looks)
                };
                let [ingress, egress] = [Direction::Ingress, Direction::Egress].map(judge);
                Judges { ingress, egress }
            };
            addresses.insert(address, judges(Reading::Enforced));
            if is_staged {
                staged.insert(address, judges(Reading::Staged));
            }
        }
        Some(EndpointProgram {
            id: endpoint.id,
            labels: endpoint.labels,
            addresses,
            staged,
            interface: endpoint.interface,
        })
    }

    /// The program of one address. Addresses of one persona nearly always have the same.
    fn judge(
        &mut self,
        endpoint: &Endpoint,
        (persona, direction, reading): (PersonaId, Direction, Reading),
        address: IpAddr,
        looks: &mut Looks,
    ) -> ProgramId {
        let look = looks.entry((persona, direction, reading)).or_insert_with(|| {
            Look::new(self.stack(persona, direction, HostStage::Normal, reading))
        });
        let class = self.addresses.class(&IpNet::from(address));
        let class = class.map_or(&[][..], |class| class);
        let view = look.feel(class, &self.groups);
        let family = look.is_by_family.then_some(Family::of(address));
        if let Some((_, _, id)) = look.found.iter().find(|(f, v, _)| *f == family && *v == view) {
            return *id;
        }
        let program = Program::new(
            direction,
            look.stack.clone(),
            Rest::Allowed { profile: profile_name(&endpoint.id.namespace) },
            Family::of(address),
            class,
            &self.groups,
        );
        let id = program.id;
        look.found.push((family, view, id));
        self.know(program);
        id
    }

    fn start(&mut self, id: ProgramId, node: &str, round: &mut Round) {
        self.programs.acquire(id);
        let Some(program) = self.programs.get(id) else { return };
        if !self.nodes.entry(node.to_owned()).or_default().start(id, &program.sees) {
            return;
        }
        for list in program.lists().filter(|list| !list.is_of_profile()) {
            if self.places.hold(&list.policy, node) {
                self.changes.policies.insert(list.policy.clone());
            }
        }
        let emission = round.entry(node.to_owned()).or_default();
        if !emission.stopped.remove(&id) {
            emission.started.insert(id);
        }
        for group in &program.sees {
            if self.places.see(*group, node) {
                emission.groups.insert(*group);
            }
        }
    }

    fn stop(&mut self, id: ProgramId, node: &str, round: &mut Round) {
        let Some(program) = self.programs.get(id) else { return };
        let state = self.nodes.get_mut(node);
        if state.is_some_and(|state| state.stop(id, &program.sees)) {
            for list in program.lists().filter(|list| !list.is_of_profile()) {
                if self.places.unhold(&list.policy, node) {
                    self.changes.policies.insert(list.policy.clone());
                }
            }
            let emission = round.entry(node.to_owned()).or_default();
            if !emission.started.remove(&id) {
                emission.stopped.insert(id);
            }
            for group in &program.sees {
                if self.places.unsee(*group, node) {
                    emission.groups.insert(*group);
                }
            }
        }
        self.programs.release(id);
    }

    fn emit(&mut self, mut round: Round) {
        let revision = self.revision.next();
        for emission in round.values_mut() {
            for group in std::mem::take(&mut emission.groups) {
                for prefix in self.prefixes_of(group) {
                    if prefix.prefix_len() == prefix.max_prefix_len() {
                        emission.prefixes.push(prefix);
                    } else {
                        emission.prefixes.extend(self.addresses.within(prefix));
                    }
                }
            }
            emission.prefixes.sort_unstable();
            emission.prefixes.dedup();
        }
        let mut rows = Rows {
            programs: &self.programs,
            painted: HashMap::new(),
            views: HashMap::new(),
            work: &mut self.work,
        };
        for (name, emission) in round {
            let has_object = self.inventory.nodes.contains_key(&name);
            let is_known = self.nodes.contains_key(&name);
            if !is_known && !has_object {
                continue;
            }
            let state = self.nodes.entry(name.clone()).or_default();
            state.set_to_host(self.inventory.hosts.to_host(&name));
            let delta = state.emit(
                &emission,
                revision,
                &self.addresses,
                &self.groups,
                &self.names,
                &mut rows,
            );
            if state.is_empty() && !has_object {
                self.nodes.remove(&name);
                self.changes.removed_nodes.push(name);
                continue;
            }
            if let Some(delta) = delta {
                self.revision = revision;
                if let Some(work) = rows.work {
                    work.push(Work::Emitted { node: name.clone() });
                }
                self.changes.nodes.insert(name, Arc::new(delta));
            }
        }
    }
}
