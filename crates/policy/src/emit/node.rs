//! The state of one node's program, and how a round of changes reaches its tables.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bulkhead_types::{EndpointId, Revision, RuleRef, ToHost};
use bulkhead_wire::{
    ClassId, EndpointProgram, HostProgram, NameChange, NameTables, NodeProgram, ProgramDelta,
    ProgramId, Row, RowId, RuleId,
};
use ipnet::IpNet;
use rustc_hash::{FxHashMap, FxHashSet};
use smallvec::SmallVec;

use super::edits::Edits;
use crate::engine::NameIndex;
use crate::resolve::{Named, Painted};
use crate::select::{Addresses, GroupId, Groups};

/// A class as the node's programs can tell it: its visible groups, sorted. Never empty. Equal views
/// share memory.
pub type View = Arc<[GroupId]>;

pub(super) type Views = Vec<(View, ClassId)>;

#[derive(Debug, Default)]
pub struct NodeState {
    pub(super) tables: NodeProgram,
    snapshot: Option<Arc<NodeProgram>>,
    /// How many (address, direction) pairs a program judges here.
    uses: BTreeMap<ProgramId, usize>,
    /// The programs here that see a group. Sorted.
    pub(super) seers: FxHashMap<GroupId, SmallVec<[ProgramId; 2]>>,
    /// What stands behind a class of the tables, and how many prefixes are listed under it.
    pub(super) views: FxHashMap<ClassId, (View, usize)>,
    pub(super) row_uses: FxHashMap<RowId, (usize, Arc<Painted>)>,
    pub(super) rule_uses: FxHashMap<RuleId, usize>,
    endpoints: Edits<EndpointId, Arc<EndpointProgram>>,
    hosts: Edits<EndpointId, Arc<HostProgram>>,
    /// What the last delta said.
    told_to_host: ToHost,
    pub(super) classes: Edits<IpNet, ClassId>,
    pub(super) entries: Edits<(ProgramId, ClassId), RowId>,
    pub(super) rows: Edits<RowId, Arc<Row>>,
    pub(super) rules: Edits<RuleId, Arc<RuleRef>>,
    pub(super) logged: Edits<RuleId, Arc<[RuleId]>>,
    is_published: bool,
}

/// One round of changes to a node.
#[derive(Debug, Default)]
pub struct Emission {
    /// Programs that came into use here, or went out of it.
    pub started: BTreeSet<ProgramId>,
    pub stopped: BTreeSet<ProgramId>,
    /// Prefixes that came to another class.
    pub prefixes: Vec<IpNet>,
    /// Groups that came to be seen here, or ceased to be.
    pub groups: Vec<GroupId>,
    /// Whether names bring addresses into other groups than before.
    pub names: bool,
}

/// Gives the row of a program for the groups of a view; `None` for an unknown program.
pub trait Painter {
    fn paint(
        &mut self,
        program: ProgramId,
        view: &[GroupId],
        groups: &Groups,
    ) -> Option<Arc<Painted>>;

    /// The view of these groups (sorted), with the id that it has on every node.
    fn view(&mut self, groups_seen: &[GroupId], groups: &Groups) -> (View, ClassId);

    /// What a rule of a painted row is.
    fn name(&mut self, rule: RuleId, named: &Named) -> Arc<RuleRef>;
}

impl NodeState {
    /// The program as of the last round; shares its tables.
    pub fn program(&mut self) -> Arc<NodeProgram> {
        Arc::clone(self.snapshot.get_or_insert_with(|| Arc::new(self.tables.clone())))
    }

    /// Whether some delta has said that there is such a node.
    pub fn is_published(&self) -> bool {
        self.is_published
    }

    pub fn is_empty(&self) -> bool {
        self.tables.endpoints.is_empty() && self.tables.hosts.is_empty()
    }

    pub fn put_endpoint(&mut self, endpoint: Arc<EndpointProgram>) {
        self.endpoints.set(&mut self.tables.endpoints, endpoint.id.clone(), endpoint);
    }

    pub fn remove_endpoint(&mut self, id: &EndpointId) {
        self.endpoints.unset(&mut self.tables.endpoints, id);
        self.hosts.unset(&mut self.tables.hosts, id);
    }

    pub fn put_host(&mut self, host: Arc<HostProgram>) {
        self.hosts.set(&mut self.tables.hosts, host.id.clone(), host);
    }

    pub fn set_to_host(&mut self, to_host: ToHost) {
        self.tables.to_host = to_host;
    }

    /// One more use of the program. If it is the first here, gives the groups that no program here
    /// saw before.
    pub fn start(&mut self, program: ProgramId, sees: &[GroupId]) -> Option<Vec<GroupId>> {
        let uses = self.uses.entry(program).or_default();
        *uses += 1;
        if *uses > 1 {
            return None;
        }
        let mut new = Vec::new();
        for group in sees {
            let programs = self.seers.entry(*group).or_default();
            if programs.is_empty() {
                new.push(*group);
            }
            if let Err(place) = programs.binary_search(&program) {
                programs.insert(place, program);
            }
        }
        Some(new)
    }

    /// One use less. If it was the last here, gives the groups that no program here sees any more.
    pub fn stop(&mut self, program: ProgramId, sees: &[GroupId]) -> Option<Vec<GroupId>> {
        let uses = self.uses.get_mut(&program)?;
        *uses -= 1;
        if *uses > 0 {
            return None;
        }
        self.uses.remove(&program);
        let mut gone = Vec::new();
        for group in sees {
            let Some(programs) = self.seers.get_mut(group) else { continue };
            programs.retain(|seer| *seer != program);
            if programs.is_empty() {
                self.seers.remove(group);
                gone.push(*group);
            }
        }
        Some(gone)
    }

    /// Brings the tables up to date and gives the delta, `None` where nothing changed. `prefixes`:
    /// those whose class or whose visibility may have changed, once each, in order.
    #[expect(clippy::too_many_arguments, reason = "everything that a node's tables depend on")]
    pub fn emit(
        &mut self,
        round: &Emission,
        prefixes: &[IpNet],
        revision: Revision,
        addresses: &Addresses,
        groups: &Groups,
        names: &NameIndex,
        painter: &mut impl Painter,
    ) -> Option<ProgramDelta> {
        for program in &round.stopped {
            self.drop_program(*program);
        }
        let (gone, come) = self.place_prefixes(prefixes, addresses, groups, painter);
        let is_same_to_names = gone.is_empty()
            && come.is_empty()
            && round.started.is_empty()
            && round.stopped.is_empty()
            && !round.names;
        for (view, class) in gone {
            for program in self.seers_of(&view, groups) {
                self.unset_entry(&(program, class));
            }
        }
        if !round.started.is_empty() {
            let are_new: FxHashSet<ClassId> = come.iter().map(|(_, class)| *class).collect();
            let known = self.views.iter().filter(|(class, _)| !are_new.contains(class));
            let known: Views = known.map(|(class, (view, _))| (Arc::clone(view), *class)).collect();
            for program in &round.started {
                self.add_program(*program, &known, groups, painter);
            }
        }
        for (view, class) in &come {
            for program in self.seers_of(view, groups) {
                self.add_entry(program, view, *class, groups, painter);
            }
        }
        let knows_names = !names.groups().is_empty() || !self.tables.names.is_empty();
        let name_change = if is_same_to_names || !knows_names {
            NameChange::default()
        } else {
            self.emit_names(names, groups, painter)
        };
        let delta = ProgramDelta {
            base: self.tables.revision,
            revision,
            endpoints: self.endpoints.take(&self.tables.endpoints),
            classes: self.classes.take(&self.tables.classes),
            entries: self.entries.take(&self.tables.entries),
            rows: self.rows.take(&self.tables.rows),
            rules: self.rules.take(&self.tables.rules),
            logged: self.logged.take(&self.tables.logged),
            names: name_change,
            hosts: self.hosts.take(&self.tables.hosts),
            to_host: (self.tables.to_host != self.told_to_host).then_some(self.tables.to_host),
        };
        if delta.is_empty() && self.is_published {
            return None;
        }
        self.tables.revision = revision;
        self.told_to_host = self.tables.to_host;
        self.snapshot = None;
        self.is_published = true;
        Some(delta)
    }
}

/// What names need to know.
impl NodeState {
    pub(super) fn names(&self) -> &NameTables {
        &self.tables.names
    }

    pub(super) fn replace_names(&mut self, names: NameTables) -> NameTables {
        std::mem::replace(&mut self.tables.names, names)
    }

    pub(super) fn n_views(&self) -> usize {
        self.views.len()
    }

    pub(super) fn seers_of_group(&self, group: GroupId) -> impl Iterator<Item = ProgramId> + '_ {
        self.seers.get(&group).into_iter().flatten().copied()
    }

    /// Every class with those of its groups that the program can tell apart; without those of which
    /// it can tell nothing.
    pub(super) fn views_of(
        &self,
        program: ProgramId,
        groups: &Groups,
    ) -> impl Iterator<Item = (Vec<GroupId>, ClassId)> {
        let is_seen = move |group: &GroupId| {
            let seers = self.seers.get(&groups.seen_as(*group));
            seers.is_some_and(|seers| seers.binary_search(&program).is_ok())
        };
        self.views.iter().filter_map(move |(class, (view, _))| {
            let seen: Vec<GroupId> = view.iter().copied().filter(is_seen).collect();
            (!seen.is_empty()).then_some((seen, *class))
        })
    }
}
