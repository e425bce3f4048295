//! What a selector demands of single labels, so that an index need not try every selector on every
//! label set.
//!
//! Invariant: restrictions are necessary, never sufficient: whatever matches the selector satisfies
//! them, and what satisfies them must still be matched.

use std::collections::{BTreeMap, BTreeSet};

use super::expr::Expr;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Restriction {
    pub must_be_present: bool,
    pub must_be_absent: bool,
    /// Where known, the label's value is one of these.
    pub must_have_one_of: Option<BTreeSet<String>>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Restrictions {
    /// Nothing can match.
    Impossible,
    /// By label key; a key that is missing here may be anything.
    Labels(BTreeMap<String, Restriction>),
}

pub(super) fn restrictions(expr: &Expr) -> Restrictions {
    let map = of(expr);
    if map.values().any(is_impossible) {
        Restrictions::Impossible
    } else {
        Restrictions::Labels(map)
    }
}

fn of(expr: &Expr) -> BTreeMap<String, Restriction> {
    match expr {
        Expr::Has(key)
        | Expr::Contains(key, _)
        | Expr::StartsWith(key, _)
        | Expr::EndsWith(key, _) => present(key, None),
        Expr::Equals(key, value) => present(key, Some(BTreeSet::from([value.clone()]))),
        Expr::In(key, values) => present(key, Some(values.clone())),
        Expr::Not(inner) => match &**inner {
            Expr::Has(key) => {
                let absent = Restriction { must_be_absent: true, ..Restriction::default() };
                BTreeMap::from([(key.clone(), absent)])
            }
            _ => BTreeMap::new(),
        },
        Expr::And(operands) => operands.iter().map(of).fold(BTreeMap::new(), both),
        Expr::Or(operands) => operands.iter().map(of).reduce(either).unwrap_or_default(),
        Expr::All | Expr::Global | Expr::NotEquals(..) | Expr::NotIn(..) => BTreeMap::new(),
    }
}

fn present(key: &str, values: Option<BTreeSet<String>>) -> BTreeMap<String, Restriction> {
    let restriction =
        Restriction { must_be_present: true, must_be_absent: false, must_have_one_of: values };
    BTreeMap::from([(key.to_owned(), restriction)])
}

fn is_impossible(restriction: &Restriction) -> bool {
    (restriction.must_be_present && restriction.must_be_absent)
        || restriction.must_have_one_of.as_ref().is_some_and(BTreeSet::is_empty)
}

fn both(
    mut left: BTreeMap<String, Restriction>,
    right: BTreeMap<String, Restriction>,
) -> BTreeMap<String, Restriction> {
    for (key, more) in right {
        let kept = left.entry(key).or_default();
        kept.must_be_present |= more.must_be_present;
        kept.must_be_absent |= more.must_be_absent;
        kept.must_have_one_of = match (kept.must_have_one_of.take(), more.must_have_one_of) {
            (Some(a), Some(b)) => Some(a.intersection(&b).cloned().collect()),
            (a, b) => a.or(b),
        };
    }
    left
}

/// An impossible branch never matches, so the other one alone restricts.
fn either(
    mut left: BTreeMap<String, Restriction>,
    mut right: BTreeMap<String, Restriction>,
) -> BTreeMap<String, Restriction> {
    if left.values().any(is_impossible) {
        return right;
    }
    if right.values().any(is_impossible) {
        return left;
    }
    left.retain(|key, _| right.contains_key(key));
    for (key, kept) in &mut left {
        let other = right.remove(key).unwrap_or_default();
        kept.must_be_present &= other.must_be_present;
        kept.must_be_absent &= other.must_be_absent;
        kept.must_have_one_of = match (kept.must_have_one_of.take(), other.must_have_one_of) {
            (Some(a), Some(b)) => Some(a.union(&b).cloned().collect()),
            _ => None,
        };
    }
    left.retain(|_, kept| *kept != Restriction::default());
    left
}
