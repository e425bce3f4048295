//! Rows as exact keys: what a row allows of one protocol is a *shape*, and most rows share a few.
//!
//! The kernel needs to know only what is allowed; which rule said so, user space asks the program. An
//! interval of ports becomes the blocks of 256 ports that it covers whole, and single ports at its
//! ends: at most 510 of these and 256 of those, whatever the interval.

use std::collections::HashMap;

use bulkhead_types::Decision;
use bulkhead_wire::row::{Outcome, Row, Spans};

use super::maps::{BLOCK, OTHER_PROTOCOLS, PORT_ALLOWED, SHAPE_ALL};
use super::objects::Element;

/// Ports from the first to the second.
type Ports = (u16, u16);

/// What is allowed, by ascending destination port. An empty list of source ports means all.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Shape(Vec<(Ports, Vec<Ports>)>);

const ALL: Ports = (0, u16::MAX);
const PORT_PROTOCOLS: [(usize, u8); 5] = [(0, 6), (1, 17), (2, 132), (3, 1), (4, 58)];

impl Shape {
    pub fn of(spans: &Spans) -> Self {
        let spans = spans.as_slice();
        let ends = spans.iter().skip(1).map(|span| span.start.saturating_sub(1)).chain([u16::MAX]);
        let mut allowed: Vec<(Ports, Vec<Ports>)> = Vec::new();
        for (span, end) in spans.iter().zip(ends) {
            let sources = match &span.outcome {
                Outcome::Leaf(leaf) if leaf.decision == Decision::Allow => Vec::new(),
                Outcome::Leaf(_) => continue,
                Outcome::BySource(leaves) => {
                    let starts: Vec<(u16, bool)> = leaves
                        .iter()
                        .map(|(start, leaf)| (*start, leaf.decision == Decision::Allow))
                        .collect();
                    match merged(&starts) {
                        sources if sources.is_empty() => continue,
                        sources if sources == [ALL] => Vec::new(),
                        sources => sources,
                    }
                }
            };
            match allowed.last_mut() {
                Some(((_, last), known))
                    if last.checked_add(1) == Some(span.start) && *known == sources =>
                {
                    *last = end;
                }
                _ => allowed.push(((span.start, end), sources)),
            }
        }
        Self(allowed)
    }

    fn is_none(&self) -> bool {
        self.0.is_empty()
    }

    fn is_all(&self) -> bool {
        matches!(self.0.as_slice(), [(ALL, sources)] if sources.is_empty())
    }
}

fn merged(starts: &[(u16, bool)]) -> Vec<Ports> {
    let ends = starts.iter().skip(1).map(|(start, _)| start.saturating_sub(1)).chain([u16::MAX]);
    let mut ports: Vec<Ports> = Vec::new();
    for ((start, is_allowed), end) in starts.iter().zip(ends) {
        if !is_allowed {
            continue;
        }
        match ports.last_mut() {
            Some((_, last)) if last.checked_add(1) == Some(*start) => *last = end,
            _ => ports.push((*start, end)),
        }
    }
    ports
}

/// The keys of an interval: the port's bytes, and whether it stands for a block.
fn keys((first, last): Ports) -> impl Iterator<Item = [u8; 4]> {
    let mut at = Some(u32::from(first));
    let last = u32::from(last);
    std::iter::from_fn(move || {
        let port = at.filter(|port| *port <= last)?;
        let [_, _, high, low] = port.to_be_bytes();
        let is_block = low == 0 && port + 255 <= last;
        at = Some(port + if is_block { 256 } else { 1 });
        Some([high, low, if is_block { BLOCK } else { 0 }, 0])
    })
}

/// Shapes by number, and the elements that say what they allow.
#[derive(Debug, Default)]
pub struct Shapes {
    numbers: HashMap<Shape, u32>,
    /// Elements of the map of ports that are not in the kernel yet.
    fresh: Vec<Element>,
    n_elements: usize,
}

impl Shapes {
    /// `(protocol, shape)` of everything that the row allows something of.
    pub fn parts(&mut self, row: &Row) -> Vec<([u8; 4], u32)> {
        let mut parts = Vec::new();
        for (index, protocol) in PORT_PROTOCOLS {
            let shape = row.all().get(index).map(|spans| Shape::of(spans)).unwrap_or_default();
            if !shape.is_none() {
                parts.push(([protocol, 0, 0, 0], self.number(shape)));
            }
        }
        let other = Shape::of(&row.other);
        let uniform = row.other.as_slice().len() == 1;
        if other.is_all() && uniform {
            parts.push((OTHER_PROTOCOLS.to_ne_bytes(), SHAPE_ALL));
            return parts;
        }
        for ((first, last), _) in other.0 {
            for protocol in first..=last.min(255) {
                let [_, protocol] = protocol.to_be_bytes();
                if !PORT_PROTOCOLS.iter().any(|(_, known)| *known == protocol) {
                    parts.push(([protocol, 0, 0, 0], SHAPE_ALL));
                }
            }
        }
        parts
    }

    fn number(&mut self, shape: Shape) -> u32 {
        if shape.is_all() {
            return SHAPE_ALL;
        }
        if let Some(number) = self.numbers.get(&shape) {
            return *number;
        }
        let sources: Vec<u32> = shape
            .0
            .iter()
            .map(|(_, sources)| match sources.as_slice() {
                [] => PORT_ALLOWED,
                some => self.number(Shape(some.iter().map(|ports| (*ports, vec![])).collect())),
            })
            .collect();
        let number = u32::try_from(self.numbers.len()).unwrap_or(u32::MAX - 2) + 2;
        for ((ports, _), value) in shape.0.iter().zip(sources) {
            for key in keys(*ports) {
                let key = [number.to_ne_bytes(), key].concat();
                self.fresh.push(Element { key, value: Some(value) });
                self.n_elements += 1;
            }
        }
        self.numbers.insert(shape, number);
        number
    }

    /// What must be written before a new row is used.
    pub fn take_fresh(&mut self) -> Vec<Element> {
        std::mem::take(&mut self.fresh)
    }

    pub fn n_elements(&self) -> usize {
        self.n_elements
    }
}

#[cfg(test)]
mod tests;
