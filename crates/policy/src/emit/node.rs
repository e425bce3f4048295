//! The state of one node's program, and how a round of changes reaches its tables.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use bulkhead_types::{EndpointId, Revision, RuleRef, ToHost};
use bulkhead_wire::id::content_hash;
use bulkhead_wire::{
    ClassId, EndpointProgram, HostProgram, NameChange, NameTables, NodeProgram, ProgramDelta,
    ProgramId, Row, RowId, RuleId,
};
use ipnet::IpNet;

use super::edits::Edits;
use crate::engine::NameIndex;
use crate::resolve::Painted;
use crate::select::{Addresses, GroupId, Groups};

/// A class as the node's programs can tell it: its visible groups, sorted. Never empty. Equal views
/// share memory.
pub type View = Arc<[GroupId]>;

type Views = Vec<(View, ClassId)>;

#[derive(Debug, Default)]
pub struct NodeState {
    tables: NodeProgram,
    snapshot: Option<Arc<NodeProgram>>,
    /// How many (address, direction) pairs a program judges here.
    uses: BTreeMap<ProgramId, usize>,
    /// The programs here that see a group.
    seers: HashMap<GroupId, Vec<ProgramId>>,
    /// Views with the id they have in the tables, and how many prefixes are listed under it.
    views: HashMap<View, (ClassId, usize)>,
    view_of: HashMap<IpNet, View>,
    row_uses: HashMap<RowId, (usize, Vec<RuleId>)>,
    rule_uses: HashMap<RuleId, usize>,
    endpoints: Edits<EndpointId, EndpointProgram>,
    hosts: Edits<EndpointId, HostProgram>,
    /// What the last delta said.
    told_to_host: ToHost,
    classes: Edits<IpNet, ClassId>,
    entries: Edits<(ProgramId, ClassId), RowId>,
    rows: Edits<RowId, Row>,
    rules: Edits<RuleId, RuleRef>,
    is_published: bool,
}

/// One round of changes to a node.
#[derive(Debug, Default)]
pub struct Emission {
    /// Programs that came into use here, or went out of it.
    pub started: BTreeSet<ProgramId>,
    pub stopped: BTreeSet<ProgramId>,
    /// Prefixes whose class or whose visibility may have changed.
    /// Once each when they come to [`NodeState::emit`].
    pub prefixes: Vec<IpNet>,
    /// Groups that came to be seen here, or ceased to be.
    pub groups: BTreeSet<GroupId>,
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
}

impl NodeState {
    /// The program as of the last round.
    pub fn program(&mut self) -> Arc<NodeProgram> {
        Arc::clone(self.snapshot.get_or_insert_with(|| Arc::new(self.tables.clone())))
    }

    pub fn is_empty(&self) -> bool {
        self.tables.endpoints.is_empty() && self.tables.hosts.is_empty()
    }

    pub fn put_endpoint(&mut self, endpoint: EndpointProgram) {
        self.endpoints.set(&mut self.tables.endpoints, endpoint.id.clone(), endpoint);
    }

    pub fn remove_endpoint(&mut self, id: &EndpointId) {
        self.endpoints.unset(&mut self.tables.endpoints, id);
        self.hosts.unset(&mut self.tables.hosts, id);
    }

    pub fn put_host(&mut self, host: HostProgram) {
        self.hosts.set(&mut self.tables.hosts, host.id.clone(), host);
    }

    pub fn set_to_host(&mut self, to_host: ToHost) {
        self.tables.to_host = to_host;
    }

    /// One more use of the program. Says whether it is the first here.
    pub fn start(&mut self, program: ProgramId, sees: &[GroupId]) -> bool {
        let uses = self.uses.entry(program).or_default();
        *uses += 1;
        if *uses > 1 {
            return false;
        }
        for group in sees {
            let programs = self.seers.entry(*group).or_default();
            if let Err(place) = programs.binary_search(&program) {
                programs.insert(place, program);
            }
        }
        true
    }

    /// One use less. Says whether it was the last here.
    pub fn stop(&mut self, program: ProgramId, sees: &[GroupId]) -> bool {
        let Some(uses) = self.uses.get_mut(&program) else { return false };
        *uses -= 1;
        if *uses > 0 {
            return false;
        }
        self.uses.remove(&program);
        for group in sees {
            if let Some(programs) = self.seers.get_mut(group) {
                programs.retain(|seer| *seer != program);
                if programs.is_empty() {
                    self.seers.remove(group);
                }
            }
        }
        true
    }

    /// Brings the tables up to date and gives the delta, `None` where nothing changed.
    pub fn emit(
        &mut self,
        round: &Emission,
        revision: Revision,
        addresses: &Addresses,
        groups: &Groups,
        names: &NameIndex,
        painter: &mut impl Painter,
    ) -> Option<ProgramDelta> {
        for program in &round.stopped {
            self.drop_program(*program);
        }
        let (gone, come) = self.place_prefixes(&round.prefixes, addresses, groups, painter);
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
            let are_new: HashSet<ClassId> = come.iter().map(|(_, class)| *class).collect();
            let known = self.views.iter().filter(|(_, (class, _))| !are_new.contains(class));
            let known: Vec<(View, ClassId)> =
                known.map(|(view, (class, _))| (Arc::clone(view), *class)).collect();
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

    /// A prefix is listed exactly where its view differs from that of the prefix above it.
    /// Gives the views that went out of use and those that came into it.
    fn place_prefixes(
        &mut self,
        prefixes: &[IpNet],
        addresses: &Addresses,
        groups: &Groups,
        painter: &mut impl Painter,
    ) -> (Views, Views) {
        let mut touched: HashMap<View, usize> = HashMap::new();
        for prefix in prefixes {
            let own = addresses.class(prefix).map(|class| self.project(class, groups));
            let above = addresses.class_above(prefix).map(|class| self.project(class, groups));
            let new = own.filter(|own| *own != above.unwrap_or_default());
            let old = self.view_of.get(prefix).cloned();
            if old.as_deref() == new.as_deref() {
                continue;
            }
            let new = new.map(|new| painter.view(&new, groups));
            for view in old.iter().chain(new.as_ref().map(|(view, _)| view)) {
                let count = self.views.get(view).map_or(0, |(_, count)| *count);
                touched.entry(Arc::clone(view)).or_insert(count);
            }
            if let Some(old) = old {
                if let Some((_, count)) = self.views.get_mut(&old) {
                    *count -= 1;
                }
                self.view_of.remove(prefix);
            }
            match new {
                Some((new, class)) => {
                    let (class, count) = self.views.entry(Arc::clone(&new)).or_insert((class, 0));
                    *count += 1;
                    self.classes.set(&mut self.tables.classes, *prefix, *class);
                    self.view_of.insert(*prefix, new);
                }
                None => self.classes.unset(&mut self.tables.classes, prefix),
            }
        }
        let (mut gone, mut come) = (Vec::new(), Vec::new());
        for (view, before) in touched {
            let Some((class, count)) = self.views.get(&view).copied() else { continue };
            if count == 0 {
                self.views.remove(&view);
            }
            match (before, count) {
                (1.., 0) => gone.push((view, class)),
                (0, 1..) => come.push((view, class)),
                _ => {}
            }
        }
        (gone, come)
    }

    fn project(&self, class: &[GroupId], groups: &Groups) -> Vec<GroupId> {
        let is_seen = |group: &GroupId| self.seers.contains_key(&groups.seen_as(*group));
        class.iter().copied().filter(is_seen).collect()
    }

    fn seers_of(&self, view: &[GroupId], groups: &Groups) -> Vec<ProgramId> {
        let mut seers: Vec<ProgramId> = view
            .iter()
            .filter_map(|group| self.seers.get(&groups.seen_as(*group)))
            .flatten()
            .copied()
            .collect();
        seers.sort_unstable();
        seers.dedup();
        seers
    }

    /// Enters the program's rows for the outside and for the views given.
    fn add_program(
        &mut self,
        program: ProgramId,
        views: &[(View, ClassId)],
        groups: &Groups,
        painter: &mut impl Painter,
    ) {
        let Some(outside) = painter.paint(program, &[], groups) else { return };
        self.set_entry((program, ClassId::OUTSIDE), &outside);
        for (view, class) in views {
            self.add_entry(program, view, *class, groups, painter);
        }
    }

    /// A view that the program cannot tell from the outside needs no entry.
    fn add_entry(
        &mut self,
        program: ProgramId,
        view: &[GroupId],
        class: ClassId,
        groups: &Groups,
        painter: &mut impl Painter,
    ) {
        let is_seen = |group: &GroupId| {
            let seers = self.seers.get(&groups.seen_as(*group));
            seers.is_some_and(|seers| seers.binary_search(&program).is_ok())
        };
        let told_apart: Vec<GroupId> = view.iter().copied().filter(is_seen).collect();
        if told_apart.is_empty() {
            return;
        }
        let Some(painted) = painter.paint(program, &told_apart, groups) else { return };
        if self.tables.entries.get(&(program, ClassId::OUTSIDE)) != Some(&painted.id) {
            self.set_entry((program, class), &painted);
        }
    }

    fn drop_program(&mut self, program: ProgramId) {
        let first = (program, ClassId(0));
        let last = (program, ClassId(u64::MAX));
        let keys: Vec<_> = self.tables.entries.range(first..=last).map(|(key, _)| *key).collect();
        for key in keys {
            self.unset_entry(&key);
        }
    }

    fn set_entry(&mut self, key: (ProgramId, ClassId), painted: &Painted) {
        if self.tables.entries.get(&key) == Some(&painted.id) {
            return;
        }
        self.unset_entry(&key);
        self.entries.set(&mut self.tables.entries, key, painted.id);
        self.hold_row(painted);
    }

    /// One more entry names the row.
    pub(super) fn hold_row(&mut self, painted: &Painted) {
        if let Some((uses, _)) = self.row_uses.get_mut(&painted.id) {
            *uses += 1;
            return;
        }
        let named = painted.rules.iter().map(|(id, _)| *id).collect();
        self.row_uses.insert(painted.id, (1, named));
        self.rows.set(&mut self.tables.rows, painted.id, painted.row.clone());
        for (id, rule) in &painted.rules {
            let uses = self.rule_uses.entry(*id).or_default();
            *uses += 1;
            if *uses == 1 {
                self.rules.set(&mut self.tables.rules, *id, rule.reference());
            }
        }
    }

    fn unset_entry(&mut self, key: &(ProgramId, ClassId)) {
        let Some(row) = self.tables.entries.get(key).copied() else { return };
        self.entries.unset(&mut self.tables.entries, key);
        self.release_row(row);
    }

    /// One entry less names the row.
    pub(super) fn release_row(&mut self, row: RowId) {
        let Some((uses, _)) = self.row_uses.get_mut(&row) else { return };
        *uses -= 1;
        if *uses > 0 {
            return;
        }
        self.rows.unset(&mut self.tables.rows, &row);
        let Some((_, named)) = self.row_uses.remove(&row) else { return };
        for rule in named {
            let Some(uses) = self.rule_uses.get_mut(&rule) else { continue };
            *uses -= 1;
            if *uses == 0 {
                self.rule_uses.remove(&rule);
                self.rules.unset(&mut self.tables.rules, &rule);
            }
        }
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
        self.views.iter().filter_map(move |(view, (class, _))| {
            let seen: Vec<GroupId> = view.iter().copied().filter(is_seen).collect();
            (!seen.is_empty()).then_some((seen, *class))
        })
    }
}

/// Same groups by content, same id, in every process.
pub fn class_id(view: &[GroupId], groups: &Groups) -> ClassId {
    let mut contents: Vec<[u8; 8]> =
        view.iter().map(|group| groups.content(*group).to_be_bytes()).collect();
    contents.sort_unstable();
    ClassId(content_hash(contents.iter().map(<[u8; 8]>::as_slice)))
}
