//! Whether a name takes something away from an address: then flows to it are judged again.

use bulkhead_types::Decision;
use bulkhead_wire::row::{Outcome, Row, Spans};

/// Whether `new` may deny what `old` may allow. No row denies everything.
pub fn is_tighter(old: Option<&Row>, new: Option<&Row>) -> bool {
    let Some(old) = old else { return false };
    let Some(new) = new else {
        return old.all().into_iter().any(|spans| has(spans, Decision::Allow));
    };
    old.all().into_iter().zip(new.all()).any(|(old, new)| {
        let starts = old.as_slice().iter().chain(new.as_slice()).map(|span| span.start);
        let mut starts = starts;
        starts.any(|at| may(old, at, Decision::Allow) && may(new, at, Decision::Deny))
    })
}

fn has(spans: &Spans, decision: Decision) -> bool {
    spans.leaves().any(|leaf| leaf.decision == decision)
}

/// Whether some packet to this port comes to the decision, from whatever source port.
fn may(spans: &Spans, at: u16, decision: Decision) -> bool {
    let span = spans.as_slice().iter().rev().find(|span| span.start <= at);
    span.is_some_and(|span| match &span.outcome {
        Outcome::Leaf(leaf) => leaf.decision == decision,
        Outcome::BySource(leaves) => leaves.iter().any(|(_, leaf)| leaf.decision == decision),
    })
}
