//! Rows: disjoint intervals that answer for every protocol and port.

use std::sync::Arc;

use bulkhead_types::{Decision, Packet, Protocol};
use serde::{Deserialize, Serialize};

use crate::id::RuleId;

/// A decision with the rule that made it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Leaf {
    pub decision: Decision,
    pub rule: RuleId,
}

/// What holds from a span's start to the next span's.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Outcome {
    Leaf(Leaf),
    /// Decided by source port: `(first source port, leaf)`, sorted, the first at 0.
    BySource(Vec<(u16, Leaf)>),
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Span {
    /// First key of the span; see [`Row`] for what the key is.
    pub start: u16,
    pub outcome: Outcome,
}

/// INVARIANT(spans-total): never empty, sorted, the first starts at 0, no two neighbours alike.
///
/// Cheap to clone: most rows of a world differ in one protocol and share the others.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(from = "Vec<Span>", into = "Vec<Span>")]
pub struct Spans(Arc<[Span]>);

impl From<Vec<Span>> for Spans {
    fn from(spans: Vec<Span>) -> Self {
        Self(spans.into())
    }
}

impl From<Spans> for Vec<Span> {
    fn from(spans: Spans) -> Self {
        spans.0.to_vec()
    }
}

/// One program's whole answer about one class.
///
/// The key of a span is the destination port for TCP, UDP and SCTP, `type << 8 | code` for ICMP and
/// ICMPv6, and the protocol number for every other protocol.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Row {
    pub tcp: Spans,
    pub udp: Spans,
    pub sctp: Spans,
    pub icmp: Spans,
    pub icmpv6: Spans,
    pub other: Spans,
}

impl Spans {
    /// One answer for every key.
    pub fn uniform(leaf: Leaf) -> Self {
        Self(Arc::new([Span { start: 0, outcome: Outcome::Leaf(leaf) }]))
    }

    /// Joins equal neighbours. `None` where the spans are empty, unsorted or do not start at 0.
    pub fn new(spans: Vec<Span>) -> Option<Self> {
        if spans.first().is_none_or(|first| first.start != 0) {
            return None;
        }
        if spans.windows(2).any(|pair| matches!(pair, [a, b] if a.start >= b.start)) {
            return None;
        }
        let mut joined = spans;
        joined.dedup_by(|next, kept| next.outcome == kept.outcome);
        Some(Self(joined.into()))
    }

    pub fn as_slice(&self) -> &[Span] {
        &self.0
    }

    pub fn find(&self, key: u16, src_port: u16) -> Option<Leaf> {
        let after = self.0.partition_point(|span| span.start <= key);
        match &self.0.get(after.checked_sub(1)?)?.outcome {
            Outcome::Leaf(leaf) => Some(*leaf),
            Outcome::BySource(leaves) => {
                let after = leaves.partition_point(|(start, _)| *start <= src_port);
                leaves.get(after.checked_sub(1)?).map(|(_, leaf)| *leaf)
            }
        }
    }

    /// Every leaf, in order.
    pub fn leaves(&self) -> impl Iterator<Item = Leaf> + '_ {
        self.0.iter().flat_map(|span| {
            let (one, many) = match &span.outcome {
                Outcome::Leaf(leaf) => (Some(*leaf), &[][..]),
                Outcome::BySource(leaves) => (None, leaves.as_slice()),
            };
            one.into_iter().chain(many.iter().map(|(_, leaf)| *leaf))
        })
    }

    pub(crate) fn write_canonical(&self, bytes: &mut Vec<u8>) {
        bytes.extend_from_slice(&(self.0.len() as u32).to_le_bytes());
        for span in self.0.iter() {
            bytes.extend_from_slice(&span.start.to_le_bytes());
            match &span.outcome {
                Outcome::Leaf(leaf) => {
                    bytes.push(0);
                    write_leaf(*leaf, bytes);
                }
                Outcome::BySource(leaves) => {
                    bytes.push(1);
                    bytes.extend_from_slice(&(leaves.len() as u32).to_le_bytes());
                    for (start, leaf) in leaves {
                        bytes.extend_from_slice(&start.to_le_bytes());
                        write_leaf(*leaf, bytes);
                    }
                }
            }
        }
    }
}

fn write_leaf(leaf: Leaf, bytes: &mut Vec<u8>) {
    bytes.push(u8::from(leaf.decision == Decision::Allow));
    bytes.extend_from_slice(&leaf.rule.0.to_le_bytes());
}

impl Row {
    pub fn uniform(leaf: Leaf) -> Self {
        let spans = Spans::uniform(leaf);
        Self {
            tcp: spans.clone(),
            udp: spans.clone(),
            sctp: spans.clone(),
            icmp: spans.clone(),
            icmpv6: spans.clone(),
            other: spans,
        }
    }

    /// In the order tcp, udp, sctp, icmp, icmpv6, other.
    pub fn all(&self) -> [&Spans; 6] {
        [&self.tcp, &self.udp, &self.sctp, &self.icmp, &self.icmpv6, &self.other]
    }

    /// The leaf for a packet; `None` only where a `Spans` invariant is broken.
    pub fn find(&self, packet: &Packet) -> Option<Leaf> {
        let icmp_key = u16::from_be_bytes([packet.icmp_type, packet.icmp_code]);
        match packet.protocol {
            Protocol::TCP => self.tcp.find(packet.dst_port, packet.src_port),
            Protocol::UDP => self.udp.find(packet.dst_port, packet.src_port),
            Protocol::SCTP => self.sctp.find(packet.dst_port, packet.src_port),
            Protocol::ICMP => self.icmp.find(icmp_key, 0),
            Protocol::ICMPV6 => self.icmpv6.find(icmp_key, 0),
            Protocol(number) => self.other.find(u16::from(number), 0),
        }
    }
}
