//! Follows an engine: what a change of the objects altered between any two slots, and nothing else.
//!
//! A slot whose programs changed has its row and column asked before and after. A slot of which only
//! the class changed is asked about against the programs that can tell the difference.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use bulkhead_types::{Direction, EndpointId, EndpointKind};
use bulkhead_wire::ProgramId;
use ipnet::IpNet;
use roaring::RoaringBitmap;

use super::pool::TrafficId;
use super::slots::{Guard, Place, Slot};
use super::{Key, Parts, Reach};
use crate::engine::{Engine, Watched};
use crate::select::{Class, GroupId};

/// With more kinds of moved slots than this a change is not told pair by pair.
pub const KINDS_OF_MOVES_MAX: usize = 4096;

/// What came of a round of the engine.
#[derive(Clone, Debug, Default)]
pub struct Change {
    /// Each pair of slots at most once; a slot and itself may be among them.
    pub altered: Vec<Altered>,
    /// Slots that are named in `altered` and are no more.
    pub gone: HashMap<u32, Place>,
    /// So much moved that `altered` was not worked out: ask for everything anew.
    pub is_everything: bool,
}

/// Every pair of a source and a destination went from `before` to `after`.
#[derive(Clone, Debug, PartialEq)]
pub struct Altered {
    pub src: RoaringBitmap,
    pub dst: RoaringBitmap,
    pub before: TrafficId,
    pub after: TrafficId,
}

/// A slot on its way; `None`: not there.
struct Moved {
    id: u32,
    old: Option<Key>,
    new: Option<Key>,
}

/// Slots that move alike.
struct Kind {
    old: Option<Key>,
    new: Option<Key>,
    slots: RoaringBitmap,
    /// Whom to ask about, sources first; `None`: everybody.
    among: Option<[RoaringBitmap; 2]>,
    /// Column and row as they were.
    was: [Parts; 2],
}

impl Reach {
    /// Takes in what the engine's rounds moved since the last time.
    pub fn follow(&mut self, engine: &Engine, watched: &Watched) -> Change {
        let is_first = self.slots.all().next().is_none();
        let moved = self.moved(engine, watched);
        let mut kinds = if is_first { Some(Vec::new()) } else { self.kinds(&moved, engine) };
        for kind in kinds.iter_mut().flatten() {
            kind.was = self.sides(kind.old.as_ref(), kind.among.as_ref());
        }
        self.apply(&moved, engine);
        let mut change = Change { is_everything: kinds.is_none(), ..Change::default() };
        self.tell(kinds.unwrap_or_default(), &mut change);
        for Moved { id, .. } in moved.iter().filter(|moved| moved.new.is_none()) {
            if let Some(slot) = self.slots.get(*id) {
                change.gone.insert(*id, slot.place.clone());
            }
            self.slots.remove(*id);
        }
        change
    }

    /// Finds what moved. New slots are put in so that they have numbers, in a state in which they
    /// reach nobody, or, outside, as what their address was until now.
    fn moved(&mut self, engine: &Engine, watched: &Watched) -> Vec<Moved> {
        let mut moved = Vec::new();
        let mut prefixes: BTreeSet<IpNet> = watched.prefixes.clone();
        for endpoint in &watched.endpoints {
            if endpoint.kind == EndpointKind::Host {
                self.moved_host(endpoint, engine, &mut prefixes);
                continue;
            }
            let mut wanted: BTreeMap<_, (Guard, Class)> = BTreeMap::new();
            for (address, judges) in engine.guards(endpoint) {
                let class = engine.class_of(&IpNet::from(address)).cloned();
                let guard = judges.map_or(Guard::Nobody, Guard::Programs);
                wanted.insert(address, (guard, class.unwrap_or_default()));
                prefixes.insert(IpNet::from(address));
            }
            for id in self.slots.of_endpoint(endpoint).to_vec() {
                let Some(Slot { place: Place::Endpoint(_, address), .. }) = self.slots.get(id)
                else {
                    continue;
                };
                let (address, old) = (*address, self.key(id));
                prefixes.insert(IpNet::from(address));
                let new = wanted.remove(&address);
                let new = new.map(|new| Key::of(new.0, new.1, address.is_ipv4()));
                moved.push(Moved { id, old, new });
            }
            for (address, (guard, class)) in wanted {
                let place = Place::Endpoint(endpoint.clone(), address);
                let slot = Slot { place, guard: Guard::Absent, class: Class::default() };
                let id = self.slots.insert(slot, engine.groups());
                let new = Some(Key::of(guard, class, address.is_ipv4()));
                moved.push(Moved { id, old: None, new });
            }
        }
        for prefix in prefixes {
            self.moved_outside(prefix, engine, &mut moved);
        }
        moved.retain(|moved| moved.old != moved.new);
        moved
    }

    fn moved_host(&mut self, id: &EndpointId, engine: &Engine, prefixes: &mut BTreeSet<IpNet>) {
        let old = self.hosts.remove(id).unwrap_or_default();
        let new = engine.host_addresses(id);
        let all = old.iter().chain(new.iter().flatten());
        prefixes.extend(all.copied().map(IpNet::from));
        if let Some(new) = new {
            self.hosts.insert(id.clone(), new);
        }
    }

    fn moved_outside(&mut self, prefix: IpNet, engine: &Engine, moved: &mut Vec<Moved>) {
        let is_root = prefix.prefix_len() == 0;
        let class = engine.class_of(&prefix).cloned();
        let is_wanted = (class.is_some() || is_root) && !engine.is_endpoint(&prefix);
        let is_v4 = prefix.addr().is_ipv4();
        let id = match self.slots.of_prefix(&prefix) {
            Some(id) => id,
            None if is_wanted => {
                let wider = wider(&prefix).find_map(|wider| self.slots.of_prefix(&wider));
                let class = wider.and_then(|id| self.slots.get(id)).map(|slot| slot.class.clone());
                let class = class.unwrap_or_default();
                let place = Place::Outside(prefix);
                let slot = Slot { place, guard: Guard::Nobody, class };
                self.slots.insert(slot, engine.groups())
            }
            None => return,
        };
        let new = match is_wanted {
            true => Some(Key::outside(class.unwrap_or_default(), is_v4)),
            false => None,
        };
        moved.push(Moved { id, old: self.key(id), new });
    }

    /// Moves by kind, with whom each concerns. `None`: too many kinds.
    fn kinds(&self, moved: &[Moved], engine: &Engine) -> Option<Vec<Kind>> {
        let mut by_kind: HashMap<(Option<&Key>, Option<Key>), RoaringBitmap> = HashMap::new();
        // Slots whose programs change: their rows and columns are asked in full.
        let mut judged_anew = RoaringBitmap::new();
        for Moved { id, old, new } in moved {
            let is_outside = self.slots.outside.contains(*id);
            let mut new = new.clone();
            if is_outside && new.is_none() {
                new = self.without_prefix(*id, engine);
            }
            let guard = |key: Option<&Key>| key.map(|key| key.guard);
            if !is_outside && guard(old.as_ref()) != guard(new.as_ref()) {
                judged_anew.insert(*id);
            }
            by_kind.entry((old.as_ref(), new)).or_default().insert(*id);
        }
        let mut kinds = Vec::new();
        for ((old, new), slots) in by_kind {
            let old = old.cloned();
            let mut among = None;
            if !judged_anew.contains(slots.min()?) {
                let concerned = self.concerned(old.as_ref()?, new.as_ref()?, engine);
                let concerned = concerned.map(|slots| slots - &judged_anew);
                if concerned.iter().all(RoaringBitmap::is_empty) {
                    continue;
                }
                among = Some(concerned);
            }
            kinds.push(Kind { old, new, slots, among, was: Default::default() });
            if kinds.len() > KINDS_OF_MOVES_MAX {
                return None;
            }
        }
        Some(kinds)
    }

    /// What an address of the prefix is once the prefix is nothing special any more.
    fn without_prefix(&self, id: u32, engine: &Engine) -> Option<Key> {
        let Place::Outside(prefix) = &self.slots.get(id)?.place else { return None };
        let class = wider(prefix).find_map(|wider| engine.class_of(&wider).cloned());
        Some(Key::outside(class.unwrap_or_default(), prefix.addr().is_ipv4()))
    }

    /// The slots whose egress, and those whose ingress programs can tell the two classes apart.
    fn concerned(&self, old: &Key, new: &Key, engine: &Engine) -> [RoaringBitmap; 2] {
        let has = |class: &Class, group: &GroupId| class.binary_search(group).is_ok();
        let left = old.class.iter().filter(|group| !has(&new.class, group));
        let joined = new.class.iter().filter(|group| !has(&old.class, group));
        let asked: BTreeSet<GroupId> = left
            .map(|group| self.slots.asked_as(*group))
            .chain(joined.map(|group| engine.groups().seen_as(*group)))
            .collect();
        let asked: Vec<GroupId> = asked.into_iter().collect();
        let mut concerned = [RoaringBitmap::new(), RoaringBitmap::new()];
        let [sources, destinations] = &mut concerned;
        for program in self.answers.seers_of(&asked, &self.slots) {
            let Some(judged) = self.slots.judged_by(program) else { continue };
            match self.answers.direction(program) {
                Some(Direction::Egress) => *sources |= judged,
                Some(Direction::Ingress) => *destinations |= judged,
                None => {}
            }
        }
        concerned
    }

    /// Column and row of a key.
    fn sides(&mut self, key: Option<&Key>, among: Option<&[RoaringBitmap; 2]>) -> [Parts; 2] {
        let Some(key) = key else { return Default::default() };
        let [sources, destinations] = match among {
            Some([sources, destinations]) => [Some(sources), Some(destinations)],
            None => [None, None],
        };
        [
            self.side(key, Direction::Ingress, sources),
            self.side(key, Direction::Egress, destinations),
        ]
    }

    fn apply(&mut self, moved: &[Moved], engine: &Engine) {
        let mut programs: BTreeSet<ProgramId> = BTreeSet::new();
        let mut classes: BTreeSet<Class> = BTreeSet::new();
        for Moved { id, old, new } in moved {
            for program in old.iter().flat_map(Key::programs) {
                self.answers.note(*id, program, false);
                programs.insert(program);
            }
            programs.extend(new.iter().flat_map(Key::programs));
            let nothing = (Guard::Absent, Class::default());
            let (guard, class) = match new {
                Some(new) => (new.guard, new.class.clone()),
                None if self.slots.outside.contains(*id) => {
                    match self.without_prefix(*id, engine) {
                        Some(key) => (key.guard, key.class),
                        None => nothing,
                    }
                }
                None => nothing,
            };
            if !self.slots.is_known(&class) {
                classes.insert(class.clone());
            }
            self.slots.change(*id, guard, class, engine.groups());
        }
        for class in classes {
            self.answers.prepare(&class, &self.slots, engine);
        }
        self.answers.follow(&programs, &self.slots, engine);
        for Moved { id, new, .. } in moved {
            for program in new.iter().flat_map(Key::programs) {
                self.answers.note(*id, program, true);
            }
        }
    }

    /// Compares what was with what is, each pair once.
    fn tell(&mut self, kinds: Vec<Kind>, change: &mut Change) {
        let mut told = RoaringBitmap::new();
        for kind in kinds.iter().filter(|kind| kind.among.is_none()) {
            told |= &kind.slots;
        }
        // Columns of slots of which only the class changed, with the sources asked about.
        let mut columns: Vec<(RoaringBitmap, RoaringBitmap)> = Vec::new();
        for kind in &kinds {
            columns.extend(
                kind.among.as_ref().map(|[sources, _]| (sources.clone(), kind.slots.clone())),
            );
        }
        for kind in kinds {
            let [column, row] = self.sides(kind.new.as_ref(), kind.among.as_ref());
            let [was_column, was_row] = &kind.was;
            for (before, after, src) in differences(was_column, &column) {
                change.altered.push(Altered { src, dst: kind.slots.clone(), before, after });
            }
            for (before, after, mut dst) in differences(was_row, &row) {
                match kind.among {
                    // What stands in the column of another slot is told there.
                    None => dst -= &told,
                    Some(_) => {
                        let is_source = |sources: &RoaringBitmap| {
                            kind.slots.min().is_some_and(|slot| sources.contains(slot))
                        };
                        for (_, slots) in columns.iter().filter(|(sources, _)| is_source(sources)) {
                            dst -= slots;
                        }
                    }
                }
                if !dst.is_empty() {
                    change.altered.push(Altered { src: kind.slots.clone(), dst, before, after });
                }
            }
        }
    }
}

impl Key {
    /// Of an endpoint.
    fn of(guard: Guard, class: Class, is_v4: bool) -> Self {
        Self { guard, class, is_v4, is_outside: false }
    }

    fn outside(class: Class, is_v4: bool) -> Self {
        Self { guard: Guard::Nobody, class, is_v4, is_outside: true }
    }

    fn programs(&self) -> impl Iterator<Item = ProgramId> + use<> {
        self.guard.programs()
    }
}

/// Prefixes that cover the prefix, the narrowest first, itself excluded.
fn wider(prefix: &IpNet) -> impl Iterator<Item = IpNet> + use<> {
    let prefix = *prefix;
    (0..prefix.prefix_len())
        .rev()
        .filter_map(move |length| IpNet::new(prefix.addr(), length).ok())
        .map(|wider| wider.trunc())
}

fn differences(old: &Parts, new: &Parts) -> Vec<(TrafficId, TrafficId, RoaringBitmap)> {
    let mut found = Vec::new();
    let mut gone: Parts = old.clone();
    for (after, now) in new {
        let mut come = now.clone();
        for ((before, was), (_, gone)) in old.iter().zip(&mut gone) {
            let both = was & now;
            if both.is_empty() {
                continue;
            }
            come -= &both;
            *gone -= &both;
            if before != after {
                found.push((*before, *after, both));
            }
        }
        if !come.is_empty() {
            found.push((TrafficId::NOTHING, *after, come));
        }
    }
    for (before, gone) in gone.into_iter().filter(|(_, gone)| !gone.is_empty()) {
        found.push((before, TrafficId::NOTHING, gone));
    }
    found
}
