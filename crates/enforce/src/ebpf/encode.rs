//! Rows as the kernel reads them.

use bulkhead_enforce_abi::{LEAF_ALLOW, Row, RowPart, Span};
use bulkhead_types::Decision;
use bulkhead_wire::row::{self, Leaf, Outcome};
use bulkhead_wire::{RuleId, Spans};

use crate::limits::{SOURCES_PER_SPAN_MAX, SPANS_PER_PART_MAX};
use crate::realized::EXTENT_PART;

/// How many elements of the spans array a row takes; `None` where one part has more than the kernel's
/// search can reach.
pub fn n_spans(row: &row::Row) -> Option<u32> {
    row.all().into_iter().map(part_spans).sum::<Option<usize>>().map(|n| n as u32)
}

fn part_spans(spans: &Spans) -> Option<usize> {
    let spans = spans.as_slice();
    if let [only] = spans
        && matches!(only.outcome, Outcome::Leaf(_))
    {
        return Some(0);
    }
    let sources = spans.iter().map(|span| match &span.outcome {
        Outcome::Leaf(_) => Some(0),
        Outcome::BySource(leaves) => (leaves.len() <= SOURCES_PER_SPAN_MAX).then_some(leaves.len()),
    });
    let sources = sources.sum::<Option<usize>>()?;
    (spans.len() <= SPANS_PER_PART_MAX).then_some(spans.len() + sources)
}

/// The row and its spans, which are to lie from `start` on. `None` where `rule` knows no slot.
pub fn encode(
    row: &row::Row,
    start: u32,
    rule: &impl Fn(RuleId) -> Option<u32>,
) -> Option<(Row, Vec<Span>)> {
    let mut encoded = Row::default();
    let mut spans = Vec::new();
    for (part, of_protocol) in encoded.parts.iter_mut().zip(row.all()) {
        *part = encode_part(of_protocol, start, &mut spans, rule)?;
    }
    if let Some(extent) = encoded.parts.get_mut(EXTENT_PART) {
        *extent = RowPart { value: start, n_spans: spans.len() as u32 };
    }
    Some((encoded, spans))
}

fn encode_part(
    of_protocol: &Spans,
    start: u32,
    spans: &mut Vec<Span>,
    rule: &impl Fn(RuleId) -> Option<u32>,
) -> Option<RowPart> {
    let list = of_protocol.as_slice();
    if let [only] = list
        && let Outcome::Leaf(leaf) = &only.outcome
    {
        return Some(RowPart { value: encode_leaf(*leaf, rule)?, n_spans: 0 });
    }
    let first = start + spans.len() as u32;
    let mut sources_at = first + list.len() as u32;
    let mut sources = Vec::new();
    for span in list {
        let (n_sources, value) = match &span.outcome {
            Outcome::Leaf(leaf) => (0, encode_leaf(*leaf, rule)?),
            Outcome::BySource(leaves) => {
                for (from, leaf) in leaves {
                    let value = encode_leaf(*leaf, rule)?;
                    sources.push(Span { start: *from, n_sources: 0, value });
                }
                let at = sources_at;
                sources_at += leaves.len() as u32;
                (u16::try_from(leaves.len()).ok()?, at)
            }
        };
        spans.push(Span { start: span.start, n_sources, value });
    }
    spans.append(&mut sources);
    Some(RowPart { value: first, n_spans: list.len() as u32 })
}

fn encode_leaf(leaf: Leaf, rule: &impl Fn(RuleId) -> Option<u32>) -> Option<u32> {
    let slot = rule(leaf.rule)?;
    Some(match leaf.decision {
        Decision::Allow => slot | LEAF_ALLOW,
        Decision::Deny => slot,
    })
}
