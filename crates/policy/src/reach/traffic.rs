//! A set of connections between two addresses: which protocols, to which ports, from which ports.
//!
//! Invariant: canonical. Equal sets are equal values, whatever rules they came from.
//!
//! A connection has a port from 1 to 65535 at each end: port 0 is nobody's, so it is in no set.

use std::sync::Arc;

use bulkhead_types::{Decision, Protocol};
use bulkhead_wire::Row;
use bulkhead_wire::row::{Leaf, Outcome, Spans};

use crate::resolve::brush::Space;
use crate::resolve::paint::{Interval, normalise, subtract};

/// The sets of each key space, in the order of [`Space::ALL`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Traffic([Vec<Piece>; 6]);

/// A run of keys with the source ports from which they are reached. See [`Space`] for what keys are.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Piece {
    pub first: u16,
    pub last: u16,
    pub sources: Sources,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Sources {
    Any,
    /// Sorted, disjoint, apart from each other, not empty and not all.
    Only(Arc<[Interval]>),
}

const PORTS: Interval = (1, u16::MAX);

impl Traffic {
    pub fn nothing() -> Self {
        Self::default()
    }

    pub fn everything() -> Self {
        let piece = |&(first, last): &Interval| Piece { first, last, sources: Sources::Any };
        Self(Space::ALL.map(|space| keys_of(space).iter().map(piece).collect()))
    }

    /// All of a protocol to one port; nothing where the protocol has none.
    pub fn to_port(protocol: Protocol, port: u16) -> Self {
        let piece = Piece { first: port, last: port, sources: Sources::Any };
        let own = |space| space == Space::Ports(protocol) && port > 0;
        Self(Space::ALL.map(|space| if own(space) { vec![piece.clone()] } else { Vec::new() }))
    }

    /// What a row allows.
    pub fn allowed_by(row: &Row) -> Self {
        Self::where_leaf(row, |leaf| leaf.decision == Decision::Allow)
    }

    /// What the row's leaves that pass the test decide.
    pub fn where_leaf(row: &Row, passes: impl Fn(Leaf) -> bool) -> Self {
        let mut spaces = row.all().into_iter().zip(Space::ALL);
        let mut next = || spaces.next().map(|(spans, space)| pieces(spans, space, &passes));
        Self(std::array::from_fn(|_| next().unwrap_or_default()))
    }

    pub fn is_empty(&self) -> bool {
        self.0.iter().all(Vec::is_empty)
    }

    pub fn space(&self, space: Space) -> &[Piece] {
        let mut spaces = self.0.iter().zip(Space::ALL);
        spaces.find(|(_, known)| *known == space).map_or(&[], |(pieces, _)| pieces)
    }

    /// Without the ICMP of the other IP version.
    #[must_use]
    pub fn of_family(&self, is_v4: bool) -> Self {
        let foreign = Space::Icmp(if is_v4 { Protocol::ICMPV6 } else { Protocol::ICMP });
        let mut own = self.clone();
        for (pieces, space) in own.0.iter_mut().zip(Space::ALL) {
            if space == foreign {
                pieces.clear();
            }
        }
        own
    }

    #[must_use]
    pub fn and(&self, other: &Self) -> Self {
        self.combine(other, |a, b| Some(meet(a?, b?)).flatten())
    }

    #[must_use]
    pub fn or(&self, other: &Self) -> Self {
        self.combine(other, |a, b| match (a, b) {
            (Some(a), Some(b)) => Some(join(a, b)),
            (one, None) | (None, one) => one.cloned(),
        })
    }

    #[must_use]
    pub fn but_not(&self, other: &Self) -> Self {
        self.combine(other, |a, b| match b {
            None => a.cloned(),
            Some(b) => without(a?, b),
        })
    }

    /// Whether the packet's protocol, ports and ICMP type are in the set.
    pub fn contains(&self, packet: &bulkhead_types::Packet) -> bool {
        let (space, key) = match packet.protocol {
            protocol if protocol.has_ports() => (Space::Ports(protocol), packet.dst_port),
            protocol if protocol.is_icmp() => {
                let key = u16::from_be_bytes([packet.icmp_type, packet.icmp_code]);
                (Space::Icmp(protocol), key)
            }
            Protocol(number) => (Space::Other, u16::from(number)),
        };
        let piece = self.space(space).iter().find(|p| p.first <= key && key <= p.last);
        piece.is_some_and(|piece| match &piece.sources {
            Sources::Any => true,
            Sources::Only(ports) => {
                ports.iter().any(|(first, last)| (*first..=*last).contains(&packet.src_port))
            }
        })
    }

    fn combine(
        &self,
        other: &Self,
        op: impl Fn(Option<&Sources>, Option<&Sources>) -> Option<Sources>,
    ) -> Self {
        let mut pairs = self.0.iter().zip(&other.0);
        Self(std::array::from_fn(|_| {
            pairs.next().map(|(a, b)| combine(a, b, &op)).unwrap_or_default()
        }))
    }
}

/// Every key that the space has.
pub fn keys_of(space: Space) -> &'static [Interval] {
    match space {
        Space::Ports(_) => &[PORTS],
        Space::Icmp(_) => &[(0, u16::MAX)],
        // Protocols with a space of their own are not here.
        Space::Other => &[(0, 0), (2, 5), (7, 16), (18, 57), (59, 131), (133, 255)],
    }
}

fn pieces(spans: &Spans, space: Space, passes: &impl Fn(Leaf) -> bool) -> Vec<Piece> {
    let spans = spans.as_slice();
    let mut found: Vec<Piece> = Vec::new();
    for (position, span) in spans.iter().enumerate() {
        let Some(sources) = sources_of(&span.outcome, passes) else { continue };
        let next = spans.get(position + 1).map(|next| next.start);
        let last = next.map_or(u16::MAX, |next| next.saturating_sub(1));
        for &(low, high) in keys_of(space) {
            let (first, last) = (span.start.max(low), last.min(high));
            if first <= last {
                push(&mut found, Piece { first, last, sources: sources.clone() });
            }
        }
    }
    found
}

fn sources_of(outcome: &Outcome, passes: &impl Fn(Leaf) -> bool) -> Option<Sources> {
    let leaves = match outcome {
        Outcome::Leaf(leaf) => return passes(*leaf).then_some(Sources::Any),
        Outcome::BySource(leaves) => leaves,
    };
    let mut ports = Vec::new();
    for (position, (start, leaf)) in leaves.iter().enumerate() {
        if passes(*leaf) {
            let next = leaves.get(position + 1).map(|(next, _)| *next);
            ports.push((*start, next.map_or(u16::MAX, |next| next.saturating_sub(1))));
        }
    }
    only(ports)
}

/// `None`: no port at all.
fn only(ports: Vec<Interval>) -> Option<Sources> {
    let real = ports.into_iter().map(|(first, last)| (first.max(PORTS.0), last));
    let ports = normalise(real.filter(|(first, last)| first <= last).collect());
    match ports.as_slice() {
        [] => None,
        [all] if *all == PORTS => Some(Sources::Any),
        _ => Some(Sources::Only(ports.into())),
    }
}

fn list(sources: &Sources) -> &[Interval] {
    match sources {
        Sources::Any => &[PORTS],
        Sources::Only(ports) => ports,
    }
}

fn join(a: &Sources, b: &Sources) -> Sources {
    only(list(a).iter().chain(list(b)).copied().collect()).unwrap_or(Sources::Any)
}

fn meet(a: &Sources, b: &Sources) -> Option<Sources> {
    match (a, b) {
        (Sources::Any, other) | (other, Sources::Any) => Some(other.clone()),
        _ => {
            let outside = subtract(&[PORTS], list(b));
            only(subtract(list(a), &outside))
        }
    }
}

fn without(a: &Sources, b: &Sources) -> Option<Sources> {
    match b {
        Sources::Any => None,
        Sources::Only(ports) => only(subtract(list(a), ports)),
    }
}

/// Joins the piece to the last one where they touch and are alike.
fn push(pieces: &mut Vec<Piece>, piece: Piece) {
    match pieces.last_mut() {
        Some(last)
            if last.sources == piece.sources && last.last.checked_add(1) == Some(piece.first) =>
        {
            last.last = piece.last;
        }
        _ => pieces.push(piece),
    }
}

/// Walks both lists from cut to cut.
fn combine(
    a: &[Piece],
    b: &[Piece],
    op: &impl Fn(Option<&Sources>, Option<&Sources>) -> Option<Sources>,
) -> Vec<Piece> {
    let mut combined = Vec::with_capacity(a.len().max(b.len()));
    let (mut a, mut b) = (a.iter().peekable(), b.iter().peekable());
    // The first key that is not yet dealt with.
    let mut key: u32 = 0;
    loop {
        while a.next_if(|piece| u32::from(piece.last) < key).is_some() {}
        while b.next_if(|piece| u32::from(piece.last) < key).is_some() {}
        let heads = [a.peek(), b.peek()];
        let Some(first) = heads.iter().flatten().map(|piece| piece.first).min() else { break };
        key = key.max(u32::from(first));
        let cuts = heads.iter().flatten().map(|piece| {
            let first = u32::from(piece.first);
            if key < first { first - 1 } else { u32::from(piece.last) }
        });
        let Some(last) = cuts.min() else { break };
        let [in_a, in_b] = heads.map(|head| {
            head.filter(|piece| u32::from(piece.first) <= key).map(|piece| &piece.sources)
        });
        if let (Some(sources), Ok(first), Ok(last)) =
            (op(in_a, in_b), u16::try_from(key), u16::try_from(last))
        {
            push(&mut combined, Piece { first, last, sources });
        }
        key = last + 1;
    }
    combined
}
