//! Whether one selector's matches are among another's, without looking at any labels.
//!
//! Invariants: sound, not complete: `true` is a proof; `false` only means that none was found. Work is
//! bounded by [`STEPS_MAX`], however the selectors are nested.

use super::expr::Expr;

/// Steps of one search for a proof.
const STEPS_MAX: u32 = 10_000;

/// Whether everything that `narrow` matches, `wide` matches too.
pub(super) fn implies(narrow: &Expr, wide: &Expr) -> bool {
    Search { steps: STEPS_MAX }.implies(narrow, wide)
}

/// Whether nothing matches both.
pub(super) fn excludes(a: &Expr, b: &Expr) -> bool {
    Search { steps: STEPS_MAX }.excludes(a, b)
}

struct Search {
    steps: u32,
}

impl Search {
    fn implies(&mut self, narrow: &Expr, wide: &Expr) -> bool {
        if narrow == wide {
            return true;
        }
        if self.steps == 0 {
            return false;
        }
        self.steps -= 1;
        // What must be shown of all parts comes first: those steps lose nothing.
        match (narrow, wide) {
            (_, Expr::All | Expr::Global) => return true,
            (_, Expr::And(parts)) => return parts.iter().all(|part| self.implies(narrow, part)),
            (Expr::Or(parts), _) => return parts.iter().all(|part| self.implies(part, wide)),
            _ => {}
        }
        match (narrow, wide) {
            (Expr::And(parts), _) if parts.iter().any(|part| self.implies(part, wide)) => true,
            (_, Expr::Or(parts)) => parts.iter().any(|part| self.implies(narrow, part)),
            (Expr::Not(a), Expr::Not(b)) => self.implies(b, a),
            (_, Expr::Not(b)) => self.excludes(narrow, b),
            (Expr::Not(inner), Expr::NotEquals(key, value)) => {
                self.implies(&Expr::Equals(key.clone(), value.clone()), inner)
            }
            (Expr::Not(inner), Expr::NotIn(key, values)) => {
                self.implies(&Expr::In(key.clone(), values.clone()), inner)
            }
            _ => tests(narrow, wide),
        }
    }

    fn excludes(&mut self, a: &Expr, b: &Expr) -> bool {
        if self.steps == 0 {
            return false;
        }
        self.steps -= 1;
        match (a, b) {
            (Expr::Or(parts), other) | (other, Expr::Or(parts)) => {
                parts.iter().all(|part| self.excludes(part, other))
            }
            (Expr::And(parts), other) | (other, Expr::And(parts)) => {
                parts.iter().any(|part| self.excludes(part, other))
            }
            (Expr::Not(inner), other) | (other, Expr::Not(inner)) => self.implies(other, inner),
            (Expr::NotEquals(key, value), other) | (other, Expr::NotEquals(key, value)) => {
                self.implies(other, &Expr::Equals(key.clone(), value.clone()))
            }
            (Expr::NotIn(key, values), other) | (other, Expr::NotIn(key, values)) => {
                self.implies(other, &Expr::In(key.clone(), values.clone()))
            }
            _ => match (values_of(a), values_of(b)) {
                (Some((one, values)), _) if same_key(one, b) => values.iter().all(|v| !holds(b, v)),
                (_, Some((one, values))) if same_key(one, a) => values.iter().all(|v| !holds(a, v)),
                _ => false,
            },
        }
    }
}

/// Between tests of one label each.
fn tests(narrow: &Expr, wide: &Expr) -> bool {
    let Some(key) = key_of(narrow) else { return false };
    if !same_key(key, wide) {
        return false;
    }
    if let Some((_, values)) = values_of(narrow) {
        return values.iter().all(|value| holds(wide, value));
    }
    match (narrow, wide) {
        (
            Expr::Has(_) | Expr::Contains(..) | Expr::StartsWith(..) | Expr::EndsWith(..),
            Expr::Has(_),
        ) => true,
        (Expr::StartsWith(_, a), Expr::StartsWith(_, b)) => a.starts_with(b.as_str()),
        (Expr::EndsWith(_, a), Expr::EndsWith(_, b)) => a.ends_with(b.as_str()),
        (
            Expr::StartsWith(_, a) | Expr::EndsWith(_, a) | Expr::Contains(_, a),
            Expr::Contains(_, b),
        ) => a.contains(b.as_str()),
        (Expr::NotIn(_, values), Expr::NotEquals(_, value)) => values.contains(value),
        (Expr::NotIn(_, more), Expr::NotIn(_, fewer)) => fewer.is_subset(more),
        (Expr::NotEquals(_, value), Expr::NotIn(_, values)) => {
            values.len() == 1 && values.contains(value)
        }
        _ => false,
    }
}

/// The values that a test allows, where it lists them.
fn values_of(expr: &Expr) -> Option<(&str, Vec<&str>)> {
    match expr {
        Expr::Equals(key, value) => Some((key, vec![value])),
        Expr::In(key, values) => Some((key, values.iter().map(String::as_str).collect())),
        _ => None,
    }
}

fn key_of(expr: &Expr) -> Option<&str> {
    match expr {
        Expr::Has(key)
        | Expr::Equals(key, _)
        | Expr::NotEquals(key, _)
        | Expr::Contains(key, _)
        | Expr::StartsWith(key, _)
        | Expr::EndsWith(key, _)
        | Expr::In(key, _)
        | Expr::NotIn(key, _) => Some(key),
        _ => None,
    }
}

fn same_key(key: &str, expr: &Expr) -> bool {
    key_of(expr) == Some(key)
}

/// Whether a test of one label holds of a value that is there.
fn holds(test: &Expr, value: &str) -> bool {
    match test {
        Expr::Has(_) => true,
        Expr::Equals(_, wanted) => value == wanted,
        Expr::NotEquals(_, wanted) => value != wanted,
        Expr::Contains(_, part) => value.contains(part.as_str()),
        Expr::StartsWith(_, part) => value.starts_with(part.as_str()),
        Expr::EndsWith(_, part) => value.ends_with(part.as_str()),
        Expr::In(_, values) => values.contains(value),
        Expr::NotIn(_, values) => !values.contains(value),
        _ => false,
    }
}
