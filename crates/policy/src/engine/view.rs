//! What the engine has worked out, for readers who ask about all packets at once (`reach`).
//!
//! Everything here is read-only and as of the last [`Engine::take_changes`]. An engine that is
//! *watched* also notes what each round moved, so that a reader can follow without reading all.

use std::collections::BTreeSet;
use std::net::IpAddr;

use bulkhead_types::{EndpointId, EndpointKind, PolicyRef, Selector};
use bulkhead_wire::{EndpointProgram, Judges, ProgramId};
use ipnet::IpNet;

use super::Engine;
use super::flush::Tables;
use crate::resolve::Program;
use crate::rule::Policy;
use crate::select::{Class, GroupKind, Groups, MemberId, Move};

/// What moved since the last time. Everything that moved is here; what is here need not have moved.
#[derive(Clone, Debug, Default)]
pub struct Watched {
    /// Endpoints whose programs or classes were looked up again.
    pub endpoints: BTreeSet<EndpointId>,
    /// Prefixes that came to another class.
    pub prefixes: BTreeSet<IpNet>,
}

impl Engine {
    /// From now on notes what moves; see [`Engine::take_watched`].
    pub fn watch(&mut self) {
        self.watched.get_or_insert_default();
    }

    /// Notes nothing any more.
    pub fn unwatch(&mut self) {
        self.watched = None;
    }

    pub fn take_watched(&mut self) -> Watched {
        self.watched.as_mut().map(std::mem::take).unwrap_or_default()
    }

    /// Every endpoint that is known, hosts too.
    pub fn all_endpoints(&self) -> impl Iterator<Item = EndpointId> {
        self.roster.ids().filter_map(|id| self.roster.endpoint_id(id, &self.selectors))
    }

    /// The addresses of a workload with the programs that judge each; `None`: it is on no node, so
    /// nobody enforces its own rules. Empty for hosts, and for what is on a node that is not served.
    pub fn guards(&self, id: &EndpointId) -> Vec<(IpAddr, Option<Judges>)> {
        let judged = self.judges(id);
        let workload = Some(id).filter(|id| id.kind != EndpointKind::Host && judged.is_empty());
        let record = workload.and_then(|id| self.roster.get(self.member(id)?));
        match record.filter(|record| record.node.is_none()) {
            Some(record) => {
                record.prefixes.as_slice().iter().map(|prefix| (prefix.addr(), None)).collect()
            }
            None => judged.into_iter().map(|(address, judges)| (address, Some(judges))).collect(),
        }
    }

    /// The programs that judge each address of an endpoint; none for one without node or address.
    pub fn judges(&self, id: &EndpointId) -> Vec<(IpAddr, Judges)> {
        let Some(program) = self.placed_workload(id) else { return Vec::new() };
        program.addresses.iter().map(|(address, judges)| (*address, *judges)).collect()
    }

    /// As [`Engine::judges`], if every staged policy were enforced.
    pub fn staged_judges(&self, id: &EndpointId) -> Vec<(IpAddr, Judges)> {
        let Some(program) = self.placed_workload(id) else { return Vec::new() };
        let staged = |address| program.staged.get(address);
        let addresses = program.addresses.iter();
        addresses.map(|(address, judges)| (*address, *staged(address).unwrap_or(judges))).collect()
    }

    fn placed_workload(&self, id: &EndpointId) -> Option<&EndpointProgram> {
        match &self.placed.get(&self.member(id)?)?.tables {
            Tables::Workload(program) => Some(program),
            Tables::Host(_) => None,
        }
    }

    /// `None`: there is no such host endpoint.
    pub fn host_addresses(&self, id: &EndpointId) -> Option<Vec<IpAddr>> {
        let host = Some(id).filter(|id| id.kind == EndpointKind::Host)?;
        let record = self.roster.get(self.member(host)?)?;
        Some(record.prefixes.as_slice().iter().map(IpNet::addr).collect())
    }

    pub fn program_of(&self, id: ProgramId) -> Option<&Program> {
        self.programs.get(id)
    }

    /// The class of a tracked prefix.
    pub fn class_of(&self, prefix: &IpNet) -> Option<&Class> {
        self.addresses.class(prefix)
    }

    /// Every tracked prefix, in order: IPv4 first, wider ones before what they cover.
    pub fn prefixes(&self) -> impl Iterator<Item = IpNet> {
        ["0.0.0.0/0", "::/0"]
            .into_iter()
            .filter_map(|root| root.parse().ok())
            .flat_map(|root| self.addresses.within(root))
    }

    /// Whether an endpoint has exactly this address.
    pub fn is_endpoint(&self, prefix: &IpNet) -> bool {
        let mut carriers = self.addresses.carriers(prefix);
        prefix.prefix_len() == prefix.max_prefix_len()
            && carriers.any(|id| self.roster.endpoint_id(id, &self.selectors).is_some())
    }

    /// The selectors that rules about packets ask of their peers.
    pub fn peer_selectors(&self) -> BTreeSet<Selector> {
        let lists = self.policies.iter().flat_map(|held| held.ingress.iter().chain(&held.egress));
        let groups = lists.flat_map(|list| list.sees.iter());
        let selectors = groups.filter_map(|group| match self.groups.kind(*group)? {
            GroupKind::Selector(selector) => self.selectors.selector(*selector).cloned(),
            _ => None,
        });
        selectors.collect()
    }

    /// As [`Engine::policies_held`], the one of that name.
    pub fn policy_held(&self, id: &PolicyRef) -> Option<&Policy> {
        self.policies.get(id).map(|held| &held.policy)
    }

    /// Every policy that is held, staged ones too; not those that have expired. Of their rules only
    /// those about requests are here: what others say is in programs.
    pub fn policies_held(&self) -> impl Iterator<Item = &Policy> {
        self.policies.iter().map(|held| &held.policy)
    }

    pub fn groups(&self) -> &Groups {
        &self.groups
    }

    pub(super) fn watch_member(&mut self, id: MemberId) {
        let Some(watched) = &mut self.watched else { return };
        watched.endpoints.extend(self.roster.endpoint_id(id, &self.selectors));
        watched.endpoints.extend(self.placed.get(&id).map(|placed| placed.tables.id().clone()));
    }

    pub(super) fn watch_moves(&mut self, moves: &[Move]) {
        if let Some(watched) = &mut self.watched {
            watched.prefixes.extend(moves.iter().map(|moved| moved.prefix));
        }
    }
}
