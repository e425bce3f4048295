//! The world outside as ranges of addresses.
//!
//! An address that an endpoint has is that endpoint and not outside. A range may run across such
//! addresses, but never begins or ends with one: that makes the fewest ranges.

use std::collections::BTreeSet;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;

use super::{Place, Reach, Traffic};

/// Inclusive; both ends of one IP version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Range {
    pub first: IpAddr,
    pub last: IpAddr,
}

/// A stretch of addresses of one slot.
#[derive(Clone, Copy, Debug)]
pub struct Segment {
    pub range: Range,
    pub slot: u32,
}

pub fn roots() -> [IpNet; 2] {
    [IpNet::from(IpAddr::V4(Ipv4Addr::UNSPECIFIED)), IpNet::from(IpAddr::V6(Ipv6Addr::UNSPECIFIED))]
        .map(|address| IpNet::new(address.addr(), 0).unwrap_or(address))
}

impl Range {
    pub fn of(prefix: &IpNet) -> Self {
        Self { first: prefix.network(), last: prefix.broadcast() }
    }

    pub fn is_v4(&self) -> bool {
        self.first.is_ipv4()
    }

    pub fn contains(&self, address: IpAddr) -> bool {
        self.first <= address && address <= self.last
    }
}

/// `10.0.0.0-10.0.0.255`, or the one address.
impl fmt::Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.first == self.last {
            write!(f, "{}", self.first)
        } else {
            write!(f, "{}-{}", self.first, self.last)
        }
    }
}

impl Reach {
    /// Every address outside, in order, by the slot that it is in. Stretches that hold nothing but
    /// endpoints are left out.
    pub fn segments(&self) -> Vec<Segment> {
        let taken = self.taken();
        let mut segments = Vec::new();
        let mut push = |first: Option<IpAddr>, last: Option<IpAddr>, slot: u32| {
            let (Some(first), Some(last)) = (first, last) else { return };
            if first <= last && !is_full(&Range { first, last }, &taken) {
                segments.push(Segment { range: Range { first, last }, slot });
            }
        };
        // Prefixes around the place that is reached, and the first address not yet spoken for.
        let mut open: Vec<(Range, u32)> = Vec::new();
        let mut next: Option<IpAddr> = None;
        for (prefix, slot) in self.slots.prefixes() {
            let range = Range::of(&prefix);
            while let Some((wider, of_wider)) = open.pop_if(|(w, _)| !w.contains(range.first)) {
                push(next, Some(wider.last), of_wider);
                next = after(wider.last);
            }
            if let Some((_, of_wider)) = open.last() {
                push(next, before(range.first), *of_wider);
            }
            next = Some(range.first);
            open.push((range, slot));
        }
        while let Some((wider, slot)) = open.pop() {
            push(next, Some(wider.last), slot);
            next = after(wider.last);
        }
        segments
    }

    /// What the slot lets in from somewhere outside.
    pub fn let_in(&mut self, dst: u32) -> Traffic {
        let Some(slot) = self.slot(dst) else { return Traffic::nothing() };
        let is_v4 = slot.is_v4();
        let outside = self.slots.outside.clone();
        let mut whole = super::TrafficId::NOTHING;
        for (traffic, sources) in self.column(dst) {
            if !sources.is_disjoint(&outside) {
                whole = self.answers.pool.join(whole, traffic);
            }
        }
        self.pool().get(whole).of_family(is_v4)
    }

    /// Addresses that endpoints have, host endpoints too.
    pub fn taken(&self) -> BTreeSet<IpAddr> {
        let address = |(_, slot): (u32, &super::Slot)| match &slot.place {
            Place::Endpoint(_, address) => Some(*address),
            Place::Outside(_) => None,
        };
        let of_hosts = self.hosts.values().flatten().copied();
        self.slots.all().filter_map(address).chain(of_hosts).collect()
    }
}

/// The fewest ranges over which the value is the same. `segments` are those of [`Reach::segments`].
pub fn ranges<V: PartialEq>(
    segments: &[Segment],
    taken: &BTreeSet<IpAddr>,
    value_of: impl Fn(u32) -> V,
) -> Vec<(Range, V)> {
    let mut ranges: Vec<(Range, V)> = Vec::new();
    for segment in segments {
        let value = value_of(segment.slot);
        match ranges.last_mut() {
            Some((range, last)) if *last == value && range.is_v4() == segment.range.is_v4() => {
                range.last = segment.range.last;
            }
            _ => ranges.push((segment.range, value)),
        }
    }
    for (range, _) in &mut ranges {
        while let Some(next) = after(range.first).filter(|_| taken.contains(&range.first)) {
            range.first = next;
        }
        while let Some(next) = before(range.last).filter(|_| taken.contains(&range.last)) {
            range.last = next;
        }
    }
    ranges
}

/// Whether endpoints have every address of the range.
pub fn is_full(range: &Range, taken: &BTreeSet<IpAddr>) -> bool {
    let size = number(range.last).saturating_sub(number(range.first));
    let is_small = usize::try_from(size).is_ok_and(|size| size < taken.len());
    is_small && {
        let held = taken.range(range.first..=range.last).count();
        u128::try_from(held).is_ok_and(|held| held > size)
    }
}

fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => u128::from(u32::from(address)),
        IpAddr::V6(address) => u128::from(address),
    }
}

/// The next address of the same IP version.
pub fn after(address: IpAddr) -> Option<IpAddr> {
    match address {
        IpAddr::V4(address) => u32::from(address).checked_add(1).map(|n| Ipv4Addr::from(n).into()),
        IpAddr::V6(address) => u128::from(address).checked_add(1).map(|n| Ipv6Addr::from(n).into()),
    }
}

pub fn before(address: IpAddr) -> Option<IpAddr> {
    match address {
        IpAddr::V4(address) => u32::from(address).checked_sub(1).map(|n| Ipv4Addr::from(n).into()),
        IpAddr::V6(address) => u128::from(address).checked_sub(1).map(|n| Ipv6Addr::from(n).into()),
    }
}
