//! Which prefixes a node lists, and under which class.
//!
//! Invariant: a prefix is listed exactly where its view differs from that of the prefix above it.

use std::collections::hash_map::Entry;
use std::sync::Arc;

use bulkhead_wire::id::content_hash;
use bulkhead_wire::{ClassId, ProgramId};
use ipnet::IpNet;
use rustc_hash::FxHashMap;

use super::node::{NodeState, Painter, Views};
use crate::select::{Addresses, Class, GroupId, Groups};

impl NodeState {
    /// Gives the views that went out of use and those that came into it.
    pub(super) fn place_prefixes(
        &mut self,
        prefixes: &[IpNet],
        addresses: &Addresses,
        groups: &Groups,
        painter: &mut impl Painter,
    ) -> (Views, Views) {
        // How many prefixes each touched class had before.
        let mut touched: FxHashMap<ClassId, usize> = FxHashMap::default();
        let (mut own, mut above) = (Vec::new(), Vec::new());
        for prefix in prefixes {
            let class = addresses.class(prefix);
            self.project(class, groups, &mut own);
            self.project(addresses.class_above(prefix), groups, &mut above);
            let is_listed = class.is_some() && own != above;
            let new = is_listed.then(|| painter.view(&own, groups));
            let old = self.tables.classes.get(prefix).copied();
            let new_class = new.as_ref().map(|(_, class)| *class);
            if old == new_class {
                continue;
            }
            if let Some(old) = old
                && let Some((_, count)) = self.views.get_mut(&old)
            {
                touched.entry(old).or_insert(*count);
                *count -= 1;
            }
            let Some((view, class)) = new else {
                self.classes.unset(&mut self.tables.classes, prefix);
                continue;
            };
            self.classes.set(&mut self.tables.classes, *prefix, class);
            match self.views.entry(class) {
                Entry::Occupied(mut known) => {
                    touched.entry(class).or_insert(known.get().1);
                    known.get_mut().1 += 1;
                }
                Entry::Vacant(slot) => {
                    touched.entry(class).or_insert(0);
                    slot.insert((view, 1));
                }
            }
        }
        self.sort_out(touched)
    }

    fn sort_out(&mut self, touched: FxHashMap<ClassId, usize>) -> (Views, Views) {
        let (mut gone, mut come) = (Vec::new(), Vec::new());
        for (class, before) in touched {
            let Some((view, count)) = self.views.get(&class) else { continue };
            let (view, count) = (Arc::clone(view), *count);
            if count == 0 {
                self.views.remove(&class);
            }
            match (before, count) {
                (1.., 0) => gone.push((view, class)),
                (0, 1..) => come.push((view, class)),
                _ => {}
            }
        }
        (gone, come)
    }

    /// The groups of the class that some program here sees.
    fn project(&self, class: Option<&Class>, groups: &Groups, seen: &mut Vec<GroupId>) {
        let is_seen = |group: &GroupId| self.seers.contains_key(&groups.seen_as(*group));
        seen.clear();
        seen.extend(class.into_iter().flat_map(|class| class.iter()).copied().filter(is_seen));
    }

    /// The programs that see some group of the view.
    pub(super) fn seers_of(&self, view: &[GroupId], groups: &Groups) -> Vec<ProgramId> {
        let seen = view.iter().filter_map(|group| self.seers.get(&groups.seen_as(*group)));
        let mut seers: Vec<ProgramId> = seen.flatten().copied().collect();
        seers.sort_unstable();
        seers.dedup();
        seers
    }
}

/// Same groups by content, same id, in every process.
pub fn class_id(view: &[GroupId], groups: &Groups) -> ClassId {
    let mut contents: Vec<[u8; 8]> =
        view.iter().map(|group| groups.content(*group).to_be_bytes()).collect();
    contents.sort_unstable();
    ClassId(content_hash(contents.iter().map(<[u8; 8]>::as_slice)))
}
