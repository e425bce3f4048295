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

#[cfg(test)]
mod tests {
    use bulkhead_wire::RuleId;
    use bulkhead_wire::row::{Leaf, Span};

    use super::*;

    fn mk_row(allowed: &[(u16, u16)]) -> Row {
        let leaf = |decision| Leaf { decision, rule: RuleId(1) };
        let (allow, deny) =
            (Outcome::Leaf(leaf(Decision::Allow)), Outcome::Leaf(leaf(Decision::Deny)));
        let mut spans = vec![Span { start: 0, outcome: deny.clone() }];
        for (first, last) in allowed {
            spans.push(Span { start: *first, outcome: allow.clone() });
            spans.push(Span { start: last + 1, outcome: deny.clone() });
        }
        Row { tcp: Spans::new(spans).unwrap(), ..Row::uniform(leaf(Decision::Deny)) }
    }

    #[test]
    fn only_what_takes_something_away_is_tighter() {
        let (none, some) = (mk_row(&[]), mk_row(&[(80, 90)]));
        for (old, new, expected) in [
            (&none, &some, false),
            (&some, &some, false),
            (&some, &mk_row(&[(80, 89)]), true),
            (&some, &mk_row(&[(70, 99)]), false),
            (&some, &mk_row(&[(90, 99)]), true),
        ] {
            assert_eq!(is_tighter(Some(old), Some(new)), expected, "{old:?}\n{new:?}");
        }
        assert!(is_tighter(Some(&some), None) && !is_tighter(Some(&none), None));
        assert!(!is_tighter(None, Some(&none)));
    }
}
