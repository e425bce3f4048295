//! Where a selector is filed, so that only personas that may match it try it.

use std::collections::BTreeSet;

use bulkhead_types::Selector;
use bulkhead_types::selector::{Expr, Restrictions};

use super::labels::{KeyId, LabelId, LabelIndex};
use super::personas::PersonaId;

#[derive(Clone, Debug)]
pub enum Anchor {
    /// Matches nobody, ever.
    Never,
    /// Whoever matches has one of the labels.
    Values(Box<[LabelId]>),
    /// Whoever matches has the key.
    Present(KeyId),
    /// Anybody may match; what the selector says depends on these keys. Sorted.
    Loose(Box<[KeyId]>),
}

impl Anchor {
    /// The test that fewest personas pass today and under which fewest selectors are filed, so that
    /// neither a crowd of personas nor a crowd of selectors meets in one place.
    pub fn of(selector: &Selector, index: &mut LabelIndex) -> Self {
        if let Some((_, test)) = best(selector.expr(), index) {
            return test.anchor(index);
        }
        // Alternatives: what all of them have in common.
        let Restrictions::Labels(restrictions) = selector.restrictions() else {
            return Anchor::Never;
        };
        let with_values = restrictions
            .iter()
            .filter_map(|(key, r)| Some(Test::Values(key, r.must_have_one_of.as_ref()?)))
            .min_by_key(|test| test.weigh(index));
        let present = || {
            let (key, _) = restrictions.iter().find(|(_, r)| r.must_be_present)?;
            Some(Test::Present(key))
        };
        if let Some(test) = with_values.or_else(present) {
            return test.anchor(index);
        }
        let mut keys = Vec::new();
        selector.expr().each_key(&mut |key| keys.push(index.intern_key(key)));
        keys.sort_unstable();
        keys.dedup();
        Anchor::Loose(keys.into())
    }

    /// Who may match; `None`: anybody.
    pub fn candidates(&self, index: &LabelIndex) -> Option<Vec<PersonaId>> {
        match self {
            Anchor::Never => Some(Vec::new()),
            Anchor::Values(labels) => {
                Some(labels.iter().flat_map(|label| index.with_label(*label)).collect())
            }
            Anchor::Present(key) => Some(index.with_key(*key).collect()),
            Anchor::Loose(_) => None,
        }
    }
}

/// A necessary condition that the index can look up.
enum Test<'a> {
    Value(&'a str, &'a str),
    Values(&'a str, &'a BTreeSet<String>),
    Present(&'a str),
}

impl Test<'_> {
    fn weigh(&self, index: &LabelIndex) -> usize {
        let one = |key, value: &str| index.find(key, value).map_or(0, |id| index.weight(id));
        match self {
            Test::Value(key, value) => one(*key, value),
            Test::Values(key, values) => values.iter().map(|value| one(*key, value)).sum(),
            Test::Present(key) => index.find_key(key).map_or(0, |id| index.weight_of_key(id)),
        }
    }

    fn anchor(&self, index: &mut LabelIndex) -> Anchor {
        match self {
            Test::Value(key, value) => Anchor::Values([index.intern(key, value).label].into()),
            Test::Values(key, values) => {
                Anchor::Values(values.iter().map(|value| index.intern(key, value).label).collect())
            }
            Test::Present(key) => Anchor::Present(index.intern_key(key)),
        }
    }
}

fn best<'a>(expr: &'a Expr, index: &LabelIndex) -> Option<(usize, Test<'a>)> {
    let test = match expr {
        Expr::Equals(key, value) => Test::Value(key, value),
        Expr::In(key, values) => Test::Values(key, values),
        Expr::Has(key)
        | Expr::Contains(key, _)
        | Expr::StartsWith(key, _)
        | Expr::EndsWith(key, _) => Test::Present(key),
        Expr::And(operands) => {
            let tests = operands.iter().filter_map(|operand| best(operand, index));
            return tests.min_by_key(|(weight, _)| *weight);
        }
        _ => return None,
    };
    Some((test.weigh(index), test))
}
