//! The tree of a selector and what it means.
//!
//! Invariant: an absent label fails every test but `!=` and `not in`, which it passes.

use std::collections::BTreeSet;

use crate::Labels;

/// One parsed expression. `Not` never holds a `Not`: the parser cancels pairs.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Expr {
    All,
    /// Means "has no namespace", but only as the whole of a rule's namespace selector; whoever
    /// lowers that selector replaces it. Elsewhere it is true of everything.
    Global,
    Has(String),
    Equals(String, String),
    NotEquals(String, String),
    Contains(String, String),
    StartsWith(String, String),
    EndsWith(String, String),
    In(String, BTreeSet<String>),
    NotIn(String, BTreeSet<String>),
    Not(Box<Expr>),
    And(Vec<Expr>),
    Or(Vec<Expr>),
}

/// Anything that can say the value of a label, so that callers may keep labels in their own form.
pub trait LabelLookup {
    fn label(&self, key: &str) -> Option<&str>;
}

impl LabelLookup for Labels {
    fn label(&self, key: &str) -> Option<&str> {
        self.get(key).map(String::as_str)
    }
}

impl Expr {
    pub fn matches(&self, labels: &impl LabelLookup) -> bool {
        let test = |key: &str, holds: &dyn Fn(&str) -> bool| labels.label(key).is_some_and(holds);
        match self {
            Expr::All | Expr::Global => true,
            Expr::Has(key) => labels.label(key).is_some(),
            Expr::Equals(key, value) => test(key, &|found| found == value),
            Expr::NotEquals(key, value) => !test(key, &|found| found == value),
            Expr::Contains(key, part) => test(key, &|found| found.contains(part.as_str())),
            Expr::StartsWith(key, part) => test(key, &|found| found.starts_with(part.as_str())),
            Expr::EndsWith(key, part) => test(key, &|found| found.ends_with(part.as_str())),
            Expr::In(key, values) => test(key, &|found| values.contains(found)),
            Expr::NotIn(key, values) => !test(key, &|found| values.contains(found)),
            Expr::Not(inner) => !inner.matches(labels),
            Expr::And(operands) => operands.iter().all(|operand| operand.matches(labels)),
            Expr::Or(operands) => operands.iter().any(|operand| operand.matches(labels)),
        }
    }

    /// Whether `global()` occurs anywhere.
    pub fn mentions_global(&self) -> bool {
        match self {
            Expr::Global => true,
            Expr::Not(inner) => inner.mentions_global(),
            Expr::And(operands) | Expr::Or(operands) => operands.iter().any(Expr::mentions_global),
            _ => false,
        }
    }

    /// Calls `visit` with the key of every label test.
    pub fn each_key<'a>(&'a self, visit: &mut impl FnMut(&'a str)) {
        match self {
            Expr::All | Expr::Global => {}
            Expr::Has(key)
            | Expr::Equals(key, _)
            | Expr::NotEquals(key, _)
            | Expr::Contains(key, _)
            | Expr::StartsWith(key, _)
            | Expr::EndsWith(key, _)
            | Expr::In(key, _)
            | Expr::NotIn(key, _) => visit(key),
            Expr::Not(inner) => inner.each_key(visit),
            Expr::And(operands) | Expr::Or(operands) => {
                operands.iter().for_each(|operand| operand.each_key(visit));
            }
        }
    }

    pub(super) fn map_keys(&self, map: &dyn Fn(&str) -> String) -> Expr {
        let all = |operands: &[Expr]| operands.iter().map(|o| o.map_keys(map)).collect();
        match self {
            Expr::All => Expr::All,
            Expr::Global => Expr::Global,
            Expr::Has(key) => Expr::Has(map(key)),
            Expr::Equals(key, value) => Expr::Equals(map(key), value.clone()),
            Expr::NotEquals(key, value) => Expr::NotEquals(map(key), value.clone()),
            Expr::Contains(key, part) => Expr::Contains(map(key), part.clone()),
            Expr::StartsWith(key, part) => Expr::StartsWith(map(key), part.clone()),
            Expr::EndsWith(key, part) => Expr::EndsWith(map(key), part.clone()),
            Expr::In(key, values) => Expr::In(map(key), values.clone()),
            Expr::NotIn(key, values) => Expr::NotIn(map(key), values.clone()),
            Expr::Not(inner) => Expr::Not(Box::new(inner.map_keys(map))),
            Expr::And(operands) => Expr::And(all(operands)),
            Expr::Or(operands) => Expr::Or(all(operands)),
        }
    }
}
