//! The round: from everything that events touched to one delta per concerned node.

use std::collections::BTreeSet;
use std::sync::Arc;

use bulkhead_types::EndpointId;
use bulkhead_wire::{EndpointProgram, HostProgram, ProgramId};
use ipnet::IpNet;
use rustc_hash::FxHashMap;

use super::hosts::WantedHost;
use super::judge::Looks;
use super::programs::Rows;
use super::roster::Record;
use super::{Changes, Engine, Work};
use crate::facts::NamedPort;
use crate::place::NodeId;
use crate::select::{GroupId, MemberId, Move, Origin, Persona, PersonaId};

/// Where an endpoint was placed in the last round.
#[derive(Debug)]
pub struct Placed {
    node: NodeId,
    pub(super) tables: Tables,
}

#[derive(Debug)]
pub enum Tables {
    Workload(Arc<EndpointProgram>),
    Host(Arc<HostProgram>),
}

impl Tables {
    pub fn id(&self) -> &EndpointId {
        match self {
            Tables::Workload(program) => &program.id,
            Tables::Host(program) => &program.id,
        }
    }

    /// Once for each use.
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

impl Engine {
    /// Does what the events since the last time call for.
    pub fn take_changes(&mut self) -> Changes {
        self.lists.collect(&mut self.groups);
        let retired = self.retire_groups();
        self.settle_derived();
        let moves = self.settle_addresses();
        self.mark_moves(&moves);
        self.mark_feelers(&moves);
        self.watch_moves(&moves);
        let mut dirty = std::mem::take(&mut self.dirty_members);
        dirty.sort_unstable();
        dirty.dedup();
        let mut looks = Looks::default();
        for id in dirty {
            self.watch_member(id);
            self.place(id, &mut looks);
        }
        // The tables take their room.
        drop(looks);
        for node in self.settle_names() {
            if let Some(node) = self.nodes.touch(node) {
                node.round.names = true;
            }
        }
        self.emit();
        self.programs.collect();
        self.groups.forget(&retired);
        if !moves.is_empty() {
            self.addresses.sweep();
        }
        self.roster.sweep();
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
            let node = self.nodes.put(name);
            self.nodes.touch(node);
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
        let mut known: FxHashMap<Alike, Arc<[GroupId]>> = FxHashMap::default();
        let (groups, selectors, roster) = (&mut self.groups, &self.selectors, &self.roster);
        let groups_of = |id| {
            // Equal lists of ports share memory.
            let ports = roster.get(id).map_or(&[][..], Record::ports);
            let alike = (selectors.persona_of(id), ports.as_ptr(), ports.len());
            let matches = || selectors.persona(id).map_or(&[][..], |persona| &persona.matches);
            let known = known.entry(alike);
            Arc::clone(known.or_insert_with(|| groups.of_member(matches(), ports).into()))
        };
        // What an address is in may be asked by rules of its own endpoint.
        let dirty = &mut self.dirty_members;
        let moves = self.addresses.settle(groups_of, |member| dirty.push(member));
        for Move { prefix, .. } in &moves {
            self.log(|| Work::Classified { prefix: *prefix });
        }
        moves
    }

    /// Nodes that saw a group which an address joined or left look at the address again.
    fn mark_moves(&mut self, moves: &[Move]) {
        for Move { prefix, old, new } in moves {
            let old = old.as_deref().unwrap_or_default();
            let new = new.as_deref().unwrap_or_default();
            let joined = new.iter().filter(|group| old.binary_search(group).is_err());
            let left = old.iter().filter(|group| new.binary_search(group).is_err());
            let mut nodes: Vec<NodeId> = Vec::new();
            for group in joined.chain(left) {
                nodes.extend(self.places.seers(self.groups.seen_as(*group)));
            }
            nodes.sort_unstable();
            nodes.dedup();
            for node in nodes {
                let Some(node) = self.nodes.touch(node) else { continue };
                node.round.prefixes.extend(self.addresses.within(*prefix).chain([*prefix]));
            }
        }
    }

    /// Finds the programs of an endpoint and puts it on its node.
    fn place(&mut self, id: MemberId, looks: &mut Looks) {
        let old = self.placed.remove(&id);
        let new = self.wanted_place(id, looks);
        if let Some(Placed { node, tables }) = &new {
            self.log(|| Work::Judged { endpoint: tables.id().to_string() });
            for program in tables.programs() {
                self.start(program, *node);
            }
        }
        if let Some(old) = old {
            for program in old.tables.programs() {
                self.stop(program, old.node);
            }
            let stays = new.as_ref().is_some_and(|new| new.node == old.node);
            if let Some(node) = self.nodes.touch(old.node).filter(|_| !stays) {
                node.state.remove_endpoint(old.tables.id());
            }
        }
        if let Some(placed) = new
            && let Some(node) = self.nodes.touch(placed.node)
        {
            match &placed.tables {
                Tables::Workload(program) => node.state.put_endpoint(Arc::clone(program)),
                Tables::Host(program) => node.state.put_host(Arc::clone(program)),
            }
            self.placed.insert(id, placed);
        }
    }

    /// `None` for what is nowhere, or on a node that is not served.
    fn wanted_place(&mut self, id: MemberId, looks: &mut Looks) -> Option<Placed> {
        let is_host = |persona: &Persona| persona.origin == Origin::Host;
        if self.selectors.persona(id).is_some_and(is_host) {
            return self.wanted_host_tables(id, looks);
        }
        self.hosts.set_feels(id, BTreeSet::new());
        let record = self.roster.get(id)?;
        let node = record.node.clone().filter(|_| !record.prefixes.as_slice().is_empty())?;
        if !self.serves(&node) {
            return None;
        }
        let tables = Tables::Workload(Arc::new(self.wanted_endpoint(id, looks)?));
        Some(Placed { node: self.nodes.put(&node), tables })
    }

    fn wanted_host_tables(&mut self, id: MemberId, looks: &mut Looks) -> Option<Placed> {
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
            self.know(program, looks);
        }
        Some(Placed { node: self.nodes.put(&node), tables: Tables::Host(Arc::new(tables)) })
    }

    fn start(&mut self, id: ProgramId, node: NodeId) {
        let Some(program) = self.programs.acquire(id) else { return };
        let Some(on) = self.nodes.touch(node) else { return };
        let Some(seen) = on.state.start(id, &program.sees) else { return };
        for list in program.lists().filter(|list| !list.is_of_profile()) {
            if self.places.hold(&list.owner.policy, node) {
                self.changes.policies.insert(list.owner.policy.clone());
            }
        }
        if !on.round.stopped.remove(&id) {
            on.round.started.insert(id);
        }
        for group in seen {
            self.places.see(group, node);
            on.round.groups.push(group);
        }
    }

    fn stop(&mut self, id: ProgramId, node: NodeId) {
        let Some(program) = self.programs.release(id) else { return };
        let Some(on) = self.nodes.touch(node) else { return };
        let Some(unseen) = on.state.stop(id, &program.sees) else { return };
        for list in program.lists().filter(|list| !list.is_of_profile()) {
            if self.places.unhold(&list.owner.policy, node) {
                self.changes.policies.insert(list.owner.policy.clone());
            }
        }
        if !on.round.started.remove(&id) {
            on.round.stopped.insert(id);
        }
        for group in unseen {
            self.places.unsee(group, node);
            on.round.groups.push(group);
        }
    }

    fn emit(&mut self) {
        let touched = self.nodes.take_touched();
        let mut held = FxHashMap::default();
        let touched: Vec<(NodeId, Arc<[IpNet]>)> =
            touched.into_iter().map(|node| (node, self.gather_prefixes(node, &mut held))).collect();
        drop(held);
        let revision = self.revision.next();
        let mut rows = Rows::new(&self.programs, &mut self.work);
        for (id, prefixes) in touched {
            let Some(node) = self.nodes.get_mut(id) else { continue };
            let has_object = self.inventory.nodes.contains_key(&*node.name);
            let was_told = node.state.is_published();
            let is_gone = node.state.is_empty() && !has_object;
            node.state.set_to_host(self.inventory.hosts.to_host(&node.name));
            let round = std::mem::take(&mut node.round);
            let delta = node.state.emit(
                &round,
                &prefixes,
                revision,
                &self.addresses,
                &self.groups,
                &self.names,
                &mut rows,
            );
            let name = node.name.to_string();
            if is_gone {
                self.nodes.remove(id);
                if was_told {
                    self.changes.removed_nodes.push(name);
                }
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

    /// The prefixes that the node looks at: those that moved, and those of the groups that it came to
    /// see or ceased to. `held`: groups with their prefixes, as far as this round has asked.
    fn gather_prefixes(
        &mut self,
        node: NodeId,
        held: &mut FxHashMap<GroupId, Arc<[IpNet]>>,
    ) -> Arc<[IpNet]> {
        let Some(on) = self.nodes.get_mut(node) else { return Arc::default() };
        let mut prefixes = std::mem::take(&mut on.round.prefixes);
        let mut groups = std::mem::take(&mut on.round.groups);
        groups.sort_unstable();
        groups.dedup();
        let mut of_group =
            |group| Arc::clone(held.entry(group).or_insert_with(|| self.prefixes_within(group)));
        // A policy about everybody makes every node look at the same crowd.
        if let ([only], true) = (groups.as_slice(), prefixes.is_empty()) {
            return of_group(*only);
        }
        for group in groups {
            prefixes.extend(of_group(group).iter());
        }
        sorted(prefixes).into()
    }

    /// Every tracked prefix whose class the group may be in.
    fn prefixes_within(&self, group: GroupId) -> Arc<[IpNet]> {
        let mut prefixes = Vec::new();
        for prefix in self.prefixes_of(group) {
            if prefix.prefix_len() == prefix.max_prefix_len() {
                prefixes.push(prefix);
            } else {
                prefixes.extend(self.addresses.within(prefix));
            }
        }
        sorted(prefixes).into()
    }
}

fn sorted(mut prefixes: Vec<IpNet>) -> Vec<IpNet> {
    prefixes.sort_unstable();
    prefixes.dedup();
    prefixes
}
