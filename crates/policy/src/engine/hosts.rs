//! Host endpoints: kept in step with profiles, nodes and settings, and compiled stage by stage.
//!
//! The near address of what a host forwards can be any address, so a stage has one program for each
//! thing that its rules can tell about near addresses: those of the prefixes that carry a group which
//! its rules ask of the near side, and one for each family at large. When such a prefix changes, the
//! host endpoint is judged anew.
//!
//! Invariant: a prefix is listed only where its program differs from that of the prefix above it, so
//! equal meaning is equal tables.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use bulkhead_api::ObjectKey;
use bulkhead_api::object::Kind;
use bulkhead_types::{Direction, EndpointId, HostStage, PolicyKind, PolicyRef, Selector};
use bulkhead_wire::host::{Locals, Stages};
use bulkhead_wire::{HostProgram, ProgramId};
use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use super::Engine;
use crate::decide::Reading;
use crate::facts::{DEFAULT_ALLOW, HostEndpoint, TouchedHosts};
use crate::resolve::{Grants, Program, ProgramTier, Rest};
use crate::rule::{Family, Order, Policy, Stage, TierDefault};
use crate::select::{GroupId, MemberId, Move};

/// What host endpoints need beyond the facts.
#[derive(Debug, Default)]
pub struct HostState {
    profiles: BTreeMap<String, Lists>,
    /// Host endpoints by the groups that their rules ask of near addresses.
    feelers: HashMap<GroupId, BTreeSet<MemberId>>,
    feels: HashMap<MemberId, BTreeSet<GroupId>>,
}

/// A profile's rules, for ingress and for egress.
type Lists = [Option<Arc<Grants>>; 2];

/// A host endpoint's tables, where they go, and the programs they name.
pub struct WantedHost {
    pub tables: HostProgram,
    pub programs: Vec<Program>,
    pub feels: BTreeSet<GroupId>,
}

impl HostState {
    /// Whether nothing is held.
    pub fn is_idle(&self) -> bool {
        self.profiles.is_empty() && self.feelers.is_empty() && self.feels.is_empty()
    }

    pub fn set_feels(&mut self, host: MemberId, feels: BTreeSet<GroupId>) {
        for group in self.feels.remove(&host).into_iter().flatten() {
            if let Some(hosts) = self.feelers.get_mut(&group) {
                hosts.remove(&host);
                if hosts.is_empty() {
                    self.feelers.remove(&group);
                }
            }
        }
        for group in &feels {
            self.feelers.entry(*group).or_default().insert(host);
        }
        if !feels.is_empty() {
            self.feels.insert(host, feels);
        }
    }
}

impl Engine {
    pub(super) fn sync_hosts(&mut self, touched: TouchedHosts) {
        if touched.by_node {
            self.derived.touch_nodes();
        }
        for node in &touched.nodes {
            self.touch_node(node);
        }
        if touched.all_nodes {
            for node in self.nodes.ids().collect::<Vec<_>>() {
                self.nodes.touch(node);
            }
        }
        if let Some(name) = &touched.profile {
            self.resolve_profile(name);
        }
        for host in touched.endpoints {
            let key = ObjectKey {
                kind: Kind::HostEndpoint,
                namespace: String::new(),
                name: host.name.clone(),
            };
            let said = self.inventory.hosts.diagnostics(&host);
            self.say(key, said);
            self.sync_host(&host);
        }
    }

    /// Host endpoints whose rules ask something of the near address that just changed.
    pub(super) fn mark_feelers(&mut self, moves: &[Move]) {
        if self.hosts.feelers.is_empty() {
            return;
        }
        for Move { old, new, .. } in moves {
            let old = old.as_deref().unwrap_or_default();
            let new = new.as_deref().unwrap_or_default();
            let joined = new.iter().filter(|group| old.binary_search(group).is_err());
            let left = old.iter().filter(|group| new.binary_search(group).is_err());
            for group in joined.chain(left) {
                let feelers = self.hosts.feelers.get(&self.groups.seen_as(*group));
                self.dirty_members.extend(feelers.into_iter().flatten());
            }
        }
    }

    fn resolve_profile(&mut self, name: &str) {
        let policy = self.inventory.hosts.profile(name).map(|profile| Policy {
            id: PolicyRef {
                kind: PolicyKind::GlobalNetworkPolicy,
                namespace: String::new(),
                name: name.to_owned(),
            },
            // No tier: that is how a list is known for a profile's.
            tier: String::new(),
            order: Order::LAST,
            subject: Selector::conjunction([]),
            ingress: Some(Arc::clone(profile.rules(Direction::Ingress))),
            egress: Some(Arc::clone(profile.rules(Direction::Egress))),
            stage: Stage::Normal,
            staged: None,
            expires: None,
        });
        // The new one first, so that what both share is not thrown away and made again.
        let lists = policy.map(|policy| self.resolve(&policy));
        let old = match lists {
            Some(lists) => self.hosts.profiles.insert(name.to_owned(), lists),
            None => self.hosts.profiles.remove(name),
        };
        for list in old.into_iter().flatten().flatten() {
            self.lists.release(list.content);
        }
    }

    /// `None` for a host endpoint that names no node.
    pub(super) fn wanted_host(&self, id: MemberId, host: &EndpointId) -> Option<WantedHost> {
        let host = self.inventory.hosts.get(host).filter(|host| !host.node.is_empty())?;
        let mut compiler =
            Compiler { engine: self, programs: BTreeMap::new(), feels: BTreeSet::new() };
        let stages = compiler.stages(id, host, Reading::Enforced);
        let staged = if self.is_staged_for(id) {
            compiler.stages(id, host, Reading::Staged)
        } else {
            Stages::new()
        };
        let failsafe = |direction| self.inventory.hosts.failsafe(&host.node, direction);
        let Compiler { programs, feels, .. } = compiler;
        let tables = HostProgram {
            id: host.id.clone(),
            labels: host.labels.clone(),
            interface: host.interface.clone(),
            addresses: host.addresses.clone(),
            stages,
            staged,
            failsafe_inbound: failsafe(Direction::Ingress),
            failsafe_outbound: failsafe(Direction::Egress),
        };
        Some(WantedHost { tables, programs: programs.into_values().collect(), feels })
    }

    /// Adds the host's profiles, as far as they are read, to the tiers. Says what decides after them.
    fn add_profiles(
        &self,
        host: &HostEndpoint,
        direction: Direction,
        tiers: &mut Vec<ProgramTier>,
    ) -> Rest {
        let mut lists = Vec::new();
        let mut rest = Rest::NoProfile;
        for name in &host.profiles {
            if name == DEFAULT_ALLOW {
                rest = Rest::Allowed { profile: name.clone() };
                break;
            }
            let Some([ingress, egress]) = self.hosts.profiles.get(name) else {
                rest = Rest::Missing { profile: name.clone() };
                break;
            };
            let list = match direction {
                Direction::Ingress => ingress,
                Direction::Egress => egress,
            };
            lists.extend(list.clone());
        }
        if !lists.is_empty() {
            tiers.push(ProgramTier { default: TierDefault::Pass, lists });
        }
        rest
    }
}

/// Collects the programs of one host endpoint.
struct Compiler<'a> {
    engine: &'a Engine,
    programs: BTreeMap<ProgramId, Program>,
    feels: BTreeSet<GroupId>,
}

impl Compiler<'_> {
    fn stages(&mut self, id: MemberId, host: &HostEndpoint, reading: Reading) -> Stages {
        let mut stages = Stages::new();
        for stage in HostStage::ALL {
            for direction in Direction::BOTH {
                let place = (stage, direction, reading);
                if let Some(locals) = self.stage(id, host, place) {
                    stages.insert((stage, direction), locals);
                }
            }
        }
        stages
    }

    /// `None`: the stage has no say.
    fn stage(
        &mut self,
        id: MemberId,
        host: &HostEndpoint,
        (stage, direction, reading): (HostStage, Direction, Reading),
    ) -> Option<Locals> {
        if (stage, direction) == (HostStage::PreDnat, Direction::Egress) {
            return None;
        }
        let persona = self.engine.selectors.persona_of(id)?;
        let mut tiers = self.engine.stack(persona, direction, stage, reading);
        if stage == HostStage::Normal {
            let rest = self.engine.add_profiles(host, direction, &mut tiers);
            return Some(self.locals(direction, tiers, &rest));
        }
        if tiers.is_empty() {
            return None;
        }
        if stage.is_early() {
            tiers.iter_mut().for_each(|tier| tier.default = TierDefault::Pass);
        }
        Some(self.locals(direction, tiers, &Rest::NoSay))
    }

    fn locals(&mut self, direction: Direction, tiers: Vec<ProgramTier>, rest: &Rest) -> Locals {
        let engine = self.engine;
        let lists = tiers.iter().flat_map(|tier| &tier.lists);
        let feels: BTreeSet<GroupId> = lists.flat_map(|list| list.feels.iter().copied()).collect();
        let tiers: Arc<[ProgramTier]> = tiers.into();
        let roots = [IpNet::V4(Ipv4Net::default()), IpNet::V6(Ipv6Net::default())];
        let felt = feels.iter().flat_map(|group| engine.prefixes_of(*group));
        let prefixes: BTreeSet<IpNet> = roots.into_iter().chain(felt).collect();
        let mut known: HashMap<(Family, Vec<GroupId>), ProgramId> = HashMap::new();
        let mut locals = Locals::new();
        for prefix in prefixes {
            let class = engine.addresses.class(&prefix);
            if class.is_none() && prefix.prefix_len() > 0 {
                continue;
            }
            let is_felt = |group: &GroupId| feels.contains(&engine.groups.seen_as(*group));
            let class = class.map_or(&[][..], |class| class).iter().copied();
            let view: Vec<GroupId> = class.filter(is_felt).collect();
            let family = Family::of(prefix.addr());
            let program = *known.entry((family, view)).or_insert_with_key(|(family, view)| {
                let program = Program::new(
                    direction,
                    Arc::clone(&tiers),
                    rest.clone(),
                    *family,
                    view,
                    &engine.groups,
                );
                let id = program.id;
                self.programs.insert(id, program);
                id
            });
            // Wider prefixes come first, so what covers this one is known.
            if above(&locals, &prefix) != Some(program) {
                locals.insert(prefix, program);
            }
        }
        self.feels.extend(feels);
        locals
    }
}

/// The program of the longest listed prefix that covers `prefix` and is not `prefix`.
fn above(locals: &Locals, prefix: &IpNet) -> Option<ProgramId> {
    (0..prefix.prefix_len())
        .rev()
        .filter_map(|length| IpNet::new(prefix.addr(), length).ok())
        .find_map(|wider| locals.get(&wider.trunc()).copied())
}
