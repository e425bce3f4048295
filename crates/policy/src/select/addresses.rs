//! Every address and prefix that anything is known about, with its class.
//!
//! Invariant: the class of a prefix holds the groups of every tracked prefix that covers it, itself
//! included, so the class of any address is that of the longest tracked prefix over it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use hashbrown::HashSet;
use ipnet::IpNet;

use super::MemberId;
use super::groups::GroupId;

/// The groups of an address, sorted. Equal classes share memory.
pub type Class = Arc<[GroupId]>;

#[derive(Debug, Default)]
pub struct Addresses {
    tracked: BTreeMap<IpNet, Tracked>,
    /// How many tracked prefixes have which length, for IPv4 and IPv6.
    lengths_v4: BTreeMap<u8, usize>,
    lengths_v6: BTreeMap<u8, usize>,
    classes: HashSet<Class>,
    /// How many classes the last sweep left.
    n_swept: usize,
    dirty: Vec<IpNet>,
}

#[derive(Debug, Default)]
struct Tracked {
    /// Members with exactly this prefix. Nearly always one.
    carriers: Few,
    /// Groups of rule nets with exactly this prefix.
    nets: Few,
    /// `None` until first computed.
    class: Option<Class>,
}

/// A prefix whose class changed. `None`: not tracked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Move {
    pub prefix: IpNet,
    pub old: Option<Class>,
    pub new: Option<Class>,
}

impl Tracked {
    /// Adds the groups that the prefix is in by itself, whatever covers it.
    fn add_groups(
        &self,
        groups_of: &mut impl FnMut(MemberId) -> Arc<[GroupId]>,
        groups: &mut Vec<GroupId>,
    ) {
        groups.extend(self.nets.as_slice().iter().copied().map(GroupId));
        for member in self.carriers.as_slice() {
            groups.extend(groups_of(MemberId(*member)).iter());
        }
    }
}

impl Addresses {
    pub fn add_carrier(&mut self, prefix: IpNet, member: MemberId) {
        self.track(prefix).carriers.push(member.0);
    }

    pub fn remove_carrier(&mut self, prefix: IpNet, member: MemberId) {
        if let Some(tracked) = self.tracked.get_mut(&prefix) {
            tracked.carriers.remove_all(member.0);
        }
        self.dirty.push(prefix);
    }

    pub fn add_net(&mut self, prefix: IpNet, group: GroupId) {
        self.track(prefix).nets.push(group.0);
    }

    pub fn remove_net(&mut self, prefix: IpNet, group: GroupId) {
        if let Some(tracked) = self.tracked.get_mut(&prefix) {
            tracked.nets.remove_all(group.0);
        }
        self.dirty.push(prefix);
    }

    /// Says that groups of the prefix's carriers changed.
    pub fn touch(&mut self, prefix: IpNet) {
        self.dirty.push(prefix);
    }

    pub fn carriers(&self, prefix: &IpNet) -> impl Iterator<Item = MemberId> + use<'_> {
        let tracked = self.tracked.get(prefix).into_iter();
        tracked.flat_map(|tracked| tracked.carriers.as_slice()).copied().map(MemberId)
    }

    /// The class of a tracked prefix.
    pub fn class(&self, prefix: &IpNet) -> Option<&Class> {
        self.tracked.get(prefix)?.class.as_ref()
    }

    /// The class of the longest tracked prefix that covers `prefix` and is not `prefix`.
    pub fn class_above(&self, prefix: &IpNet) -> Option<&Class> {
        self.above(prefix).find_map(|wider| self.class(&wider))
    }

    /// Tracked prefixes within `prefix`, itself included.
    pub fn within(&self, prefix: IpNet) -> impl Iterator<Item = IpNet> + '_ {
        let last = IpNet::from(prefix.broadcast());
        self.tracked
            .range(prefix..=last)
            .map(|(within, _)| *within)
            .filter(move |within| prefix.contains(within))
    }

    /// Computes the classes of everything touched since the last time.
    /// `groups_of` gives a member's groups; `on_moved` is told whose own addresses came to another
    /// class.
    pub fn settle(
        &mut self,
        mut groups_of: impl FnMut(MemberId) -> Arc<[GroupId]>,
        mut on_moved: impl FnMut(MemberId),
    ) -> Vec<Move> {
        let mut concerned = std::mem::take(&mut self.dirty);
        concerned.sort_unstable();
        concerned.dedup();
        if concerned.iter().any(|prefix| prefix.prefix_len() < prefix.max_prefix_len()) {
            let covered: BTreeSet<IpNet> =
                concerned.into_iter().flat_map(|prefix| self.covered(prefix)).collect();
            concerned = covered.into_iter().collect();
        }
        let mut moves = Vec::new();
        let mut groups: Vec<GroupId> = Vec::new();
        for prefix in concerned {
            groups.clear();
            for wider in self.above(&prefix).filter_map(|wider| self.tracked.get(&wider)) {
                wider.add_groups(&mut groups_of, &mut groups);
            }
            let Some(tracked) = self.tracked.get_mut(&prefix) else { continue };
            if tracked.carriers.is_empty() && tracked.nets.is_empty() {
                let old = tracked.class.take();
                self.untrack(&prefix);
                moves.extend(old.map(|old| Move { prefix, old: Some(old), new: None }));
                continue;
            }
            tracked.add_groups(&mut groups_of, &mut groups);
            groups.sort_unstable();
            groups.dedup();
            if tracked.class.as_deref().is_some_and(|old| *old == *groups) {
                continue;
            }
            let class = intern(&mut self.classes, &groups);
            let old = tracked.class.replace(Arc::clone(&class));
            moves.push(Move { prefix, old, new: Some(class) });
            if prefix.prefix_len() == prefix.max_prefix_len() {
                tracked.carriers.as_slice().iter().for_each(|id| on_moved(MemberId(*id)));
            }
        }
        moves
    }

    /// As [`Addresses::within`], and `prefix` itself even where it is not tracked.
    fn covered(&self, prefix: IpNet) -> Vec<IpNet> {
        if prefix.prefix_len() == prefix.max_prefix_len() {
            return vec![prefix];
        }
        self.within(prefix).collect()
    }

    fn track(&mut self, prefix: IpNet) -> &mut Tracked {
        self.dirty.push(prefix);
        let lengths = match prefix {
            IpNet::V4(_) => &mut self.lengths_v4,
            IpNet::V6(_) => &mut self.lengths_v6,
        };
        self.tracked.entry(prefix).or_insert_with(|| {
            *lengths.entry(prefix.prefix_len()).or_default() += 1;
            Tracked::default()
        })
    }

    fn untrack(&mut self, prefix: &IpNet) {
        if self.tracked.remove(prefix).is_none() {
            return;
        }
        let lengths = match prefix {
            IpNet::V4(_) => &mut self.lengths_v4,
            IpNet::V6(_) => &mut self.lengths_v6,
        };
        if let Some(count) = lengths.get_mut(&prefix.prefix_len()) {
            *count -= 1;
            if *count == 0 {
                lengths.remove(&prefix.prefix_len());
            }
        }
    }

    /// Prefixes of tracked lengths that cover `prefix`, longest first, itself excluded.
    fn above(&self, prefix: &IpNet) -> impl Iterator<Item = IpNet> + use<'_> {
        let prefix = *prefix;
        let lengths = match prefix {
            IpNet::V4(_) => &self.lengths_v4,
            IpNet::V6(_) => &self.lengths_v6,
        };
        lengths
            .range(..prefix.prefix_len())
            .rev()
            .filter_map(move |(length, _)| IpNet::new(prefix.addr(), *length).ok())
            .map(|wider| wider.trunc())
    }

    /// Whether nothing is held.
    pub fn is_idle(&self) -> bool {
        self.tracked.is_empty() && self.lengths_v4.is_empty() && self.lengths_v6.is_empty()
    }

    /// Forgets classes that no prefix is in any more, when there may be as many of them as of others.
    pub fn sweep(&mut self) {
        if self.classes.len() > 2 * self.n_swept + 1024 {
            self.classes.retain(|class| Arc::strong_count(class) > 1);
            self.n_swept = self.classes.len();
        }
    }
}

fn intern(classes: &mut HashSet<Class>, groups: &[GroupId]) -> Class {
    if let Some(class) = classes.get(groups) {
        return Arc::clone(class);
    }
    let class: Class = groups.into();
    classes.insert(Arc::clone(&class));
    class
}

/// A list of numbers that is nearly always empty or of one.
#[derive(Debug, Default)]
enum Few {
    #[default]
    None,
    One(u32),
    #[expect(clippy::box_collection, reason = "rare, and a vector would make every list larger")]
    Many(Box<Vec<u32>>),
}

impl Few {
    fn as_slice(&self) -> &[u32] {
        match self {
            Few::None => &[],
            Few::One(one) => std::slice::from_ref(one),
            Few::Many(many) => many,
        }
    }

    fn is_empty(&self) -> bool {
        self.as_slice().is_empty()
    }

    fn push(&mut self, id: u32) {
        match self {
            Few::None => *self = Few::One(id),
            Few::One(one) => *self = Few::Many(Box::new(vec![*one, id])),
            Few::Many(many) => many.push(id),
        }
    }

    fn remove_all(&mut self, id: u32) {
        match self {
            Few::None => {}
            Few::One(one) if *one == id => *self = Few::None,
            Few::One(_) => {}
            Few::Many(many) => {
                many.retain(|kept| *kept != id);
                match many.as_slice() {
                    [] => *self = Few::None,
                    [one] => *self = Few::One(*one),
                    _ => {}
                }
            }
        }
    }
}
