//! What differs between two matrices, exactly: ranges of the outside are cut where they must be, and
//! joined where they can be.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use super::matrix::{Connection, End, Extent, Matrix};
use super::outside::{Range, after, before, is_full};
use super::traffic::Traffic;

/// What a pair of ends may do; empty: nothing.
pub type Allowance = Vec<(Extent, Arc<Traffic>)>;

/// A pair of ends that may do something else than before.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Difference {
    pub src: End,
    pub dst: End,
    pub before: Allowance,
    pub after: Allowance,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum DifferenceKind {
    Added,
    Removed,
    Altered,
}

/// Whether the workload is the source, the workload, and whether the outside is IPv4.
type Border = (bool, Arc<str>, bool);

#[derive(Default)]
struct Sides {
    pairs: BTreeMap<(End, End), Allowance>,
    borders: BTreeMap<Border, BTreeMap<Range, Allowance>>,
}

impl Difference {
    pub fn kind(&self) -> DifferenceKind {
        match (self.before.is_empty(), self.after.is_empty()) {
            (true, _) => DifferenceKind::Added,
            (_, true) => DifferenceKind::Removed,
            _ => DifferenceKind::Altered,
        }
    }

    /// What some pods may do that none could before, whatever they request.
    pub fn gained(&self) -> Traffic {
        whole(&self.after).but_not(&whole(&self.before))
    }

    /// What no pod may do any more, whatever it requests.
    pub fn lost(&self) -> Traffic {
        whole(&self.before).but_not(&whole(&self.after))
    }
}

impl Matrix {
    /// Sorted by source and destination.
    pub fn difference(&self, new: &Matrix) -> Vec<Difference> {
        let taken: BTreeSet<IpAddr> = self.taken.union(&new.taken).copied().collect();
        let (mut old, mut new) = (Sides::of(self), Sides::of(new));
        let mut found = Vec::new();
        let pairs: BTreeSet<_> = old.pairs.keys().chain(new.pairs.keys()).cloned().collect();
        for (src, dst) in pairs {
            let pair = (src, dst);
            let before = old.pairs.remove(&pair).unwrap_or_default();
            let after = new.pairs.remove(&pair).unwrap_or_default();
            if before != after {
                found.push(Difference { src: pair.0, dst: pair.1, before, after });
            }
        }
        let borders: BTreeSet<_> = old.borders.keys().chain(new.borders.keys()).cloned().collect();
        for border in borders {
            let before = old.borders.remove(&border).unwrap_or_default();
            let after = new.borders.remove(&border).unwrap_or_default();
            for (range, before, after) in cut(&before, &after, &taken) {
                let (outside, inside) = (End::Outside(range), End::Workload(border.1.clone()));
                let (src, dst) = if border.0 { (inside, outside) } else { (outside, inside) };
                found.push(Difference { src, dst, before, after });
            }
        }
        found.sort_unstable();
        found
    }
}

impl Sides {
    fn of(matrix: &Matrix) -> Self {
        let mut sides = Self::default();
        for Connection { src, dst, extent, allowed } in &matrix.connections {
            let allowance = match (src, dst) {
                (End::Workload(name), End::Outside(range)) => {
                    sides.border(true, name, range).entry(*range).or_default()
                }
                (End::Outside(range), End::Workload(name)) => {
                    sides.border(false, name, range).entry(*range).or_default()
                }
                _ => sides.pairs.entry((src.clone(), dst.clone())).or_default(),
            };
            allowance.push((extent.clone(), Arc::clone(allowed)));
        }
        for within in &matrix.within {
            let end = End::Workload(Arc::clone(&within.workload));
            let allowance = sides.pairs.entry((end.clone(), end)).or_default();
            allowance.push((within.extent.clone(), Arc::clone(&within.allowed)));
        }
        sides
    }

    fn border(
        &mut self,
        is_source: bool,
        name: &Arc<str>,
        range: &Range,
    ) -> &mut BTreeMap<Range, Allowance> {
        self.borders.entry((is_source, Arc::clone(name), range.is_v4())).or_default()
    }
}

fn whole(allowance: &Allowance) -> Traffic {
    let sure = allowance.iter().filter(|(extent, _)| extent.requests.is_none());
    sure.fold(Traffic::nothing(), |whole, (_, traffic)| whole.or(traffic))
}

/// The fewest ranges over which both are the same and differ from one another.
fn cut(
    old: &BTreeMap<Range, Allowance>,
    new: &BTreeMap<Range, Allowance>,
    taken: &BTreeSet<IpAddr>,
) -> Vec<(Range, Allowance, Allowance)> {
    let ranges = || old.keys().chain(new.keys());
    let starts: BTreeSet<IpAddr> =
        ranges().flat_map(|range| [Some(range.first), after(range.last)]).flatten().collect();
    let Some(last) = ranges().map(|range| range.last).max() else { return Vec::new() };
    let at = |side: &BTreeMap<Range, Allowance>, address: IpAddr| {
        let top = Range { first: address, last: highest(address) };
        let found = side.range(..=top).next_back();
        found.filter(|(range, _)| range.contains(address)).map(|(_, a)| a.clone())
    };
    let mut cut: Vec<(Range, Allowance, Allowance)> = Vec::new();
    for start in &starts {
        if *start > last {
            continue;
        }
        let next = starts.range((std::ops::Bound::Excluded(start), std::ops::Bound::Unbounded));
        let end = next.into_iter().next().and_then(|next| before(*next)).unwrap_or(last);
        let range = Range { first: *start, last: end };
        if is_full(&range, taken) {
            continue;
        }
        let was = at(old, *start).unwrap_or_default();
        let is = at(new, *start).unwrap_or_default();
        match cut.last_mut() {
            Some((wider, a, b)) if *a == was && *b == is => wider.last = end,
            _ => cut.push((range, was, is)),
        }
    }
    cut.retain(|(_, was, is)| was != is);
    cut
}

fn highest(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => IpAddr::from([u8::MAX; 4]),
        IpAddr::V6(_) => IpAddr::from([u8::MAX; 16]),
    }
}
