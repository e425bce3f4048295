//! Every address and prefix that anything is known about, with its class.
//!
//! Invariant: the class of a prefix holds the groups of every tracked prefix that covers it, itself
//! included, so the class of any address is that of the longest tracked prefix over it.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;

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
    dirty: BTreeSet<IpNet>,
}

#[derive(Debug, Default)]
struct Tracked {
    /// Members with exactly this prefix.
    carriers: Vec<MemberId>,
    /// Groups of rule nets with exactly this prefix.
    nets: Vec<GroupId>,
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

impl Addresses {
    pub fn add_carrier(&mut self, prefix: IpNet, member: MemberId) {
        self.track(prefix).carriers.push(member);
    }

    pub fn remove_carrier(&mut self, prefix: IpNet, member: MemberId) {
        if let Some(tracked) = self.tracked.get_mut(&prefix) {
            tracked.carriers.retain(|carrier| *carrier != member);
        }
        self.dirty.insert(prefix);
    }

    pub fn add_net(&mut self, prefix: IpNet, group: GroupId) {
        self.track(prefix).nets.push(group);
    }

    pub fn remove_net(&mut self, prefix: IpNet, group: GroupId) {
        if let Some(tracked) = self.tracked.get_mut(&prefix) {
            tracked.nets.retain(|net| *net != group);
        }
        self.dirty.insert(prefix);
    }

    /// Says that groups of the prefix's carriers changed.
    pub fn touch(&mut self, prefix: IpNet) {
        self.dirty.insert(prefix);
    }

    pub fn carriers(&self, prefix: &IpNet) -> &[MemberId] {
        self.tracked.get(prefix).map_or(&[], |tracked| &tracked.carriers)
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
    /// `groups_of` gives a member's groups.
    pub fn settle(&mut self, mut groups_of: impl FnMut(MemberId) -> Vec<GroupId>) -> Vec<Move> {
        let dirty = std::mem::take(&mut self.dirty);
        let mut concerned: BTreeSet<IpNet> = BTreeSet::new();
        for prefix in dirty {
            concerned.extend(self.within(prefix));
        }
        let mut moves = Vec::new();
        for prefix in concerned {
            let old = self.class(&prefix).cloned();
            let new = self.is_tracked(&prefix).then(|| {
                let mut groups: Vec<GroupId> = Vec::new();
                for wider in self.above(&prefix).chain([prefix]) {
                    let Some(tracked) = self.tracked.get(&wider) else { continue };
                    groups.extend(&tracked.nets);
                    groups.extend(tracked.carriers.iter().flat_map(|member| groups_of(*member)));
                }
                groups.sort_unstable();
                groups.dedup();
                groups
            });
            let new = new.map(|groups| self.intern(groups));
            match &new {
                None => self.untrack(&prefix),
                Some(class) => {
                    if let Some(tracked) = self.tracked.get_mut(&prefix) {
                        tracked.class = Some(Arc::clone(class));
                    }
                }
            }
            if old != new {
                moves.push(Move { prefix, old, new });
            }
        }
        moves
    }

    fn track(&mut self, prefix: IpNet) -> &mut Tracked {
        self.dirty.insert(prefix);
        let lengths = match prefix {
            IpNet::V4(_) => &mut self.lengths_v4,
            IpNet::V6(_) => &mut self.lengths_v6,
        };
        self.tracked.entry(prefix).or_insert_with(|| {
            *lengths.entry(prefix.prefix_len()).or_default() += 1;
            Tracked::default()
        })
    }

    fn is_tracked(&self, prefix: &IpNet) -> bool {
        self.tracked.get(prefix).is_some_and(|t| !t.carriers.is_empty() || !t.nets.is_empty())
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

    fn intern(&mut self, groups: Vec<GroupId>) -> Class {
        if let Some(class) = self.classes.get(groups.as_slice()) {
            return Arc::clone(class);
        }
        let class: Class = groups.into();
        self.classes.insert(Arc::clone(&class));
        class
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
