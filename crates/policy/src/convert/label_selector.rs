//! Label selectors of Kubernetes to selectors in words, and back where they can be.

use std::collections::{BTreeMap, BTreeSet};

use bulkhead_types::Selector;
use bulkhead_types::selector::Expr;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, LabelSelectorRequirement};

/// The tests that a label selector asks for; none for everything.
pub(super) fn tests(written: &LabelSelector) -> Vec<Expr> {
    let mut tests: Vec<Expr> = written
        .match_labels
        .iter()
        .flatten()
        .map(|(key, value)| Expr::Equals(key.clone(), value.clone()))
        .collect();
    for requirement in written.match_expressions.iter().flatten() {
        let key = requirement.key.clone();
        let values: BTreeSet<String> = requirement.values.iter().flatten().cloned().collect();
        // Others do not get here: a policy with them is broken.
        tests.push(match requirement.operator.as_str() {
            "In" => Expr::In(key, values),
            "NotIn" => Expr::NotIn(key, values),
            "Exists" => Expr::Has(key),
            _ => Expr::Not(Box::new(Expr::Has(key))),
        });
    }
    tests
}

/// In the words of the grammar; `all()` for no tests.
pub(super) fn text(tests: Vec<Expr>) -> String {
    Selector::conjunction(tests.into_iter().map(Selector::from)).to_string()
}

/// A selector as a conjunction of single tests, or why it is none.
pub(super) fn conjuncts(expr: &Expr) -> Result<Vec<Expr>, String> {
    match expr {
        Expr::All => Ok(Vec::new()),
        Expr::And(parts) => {
            let parts: Result<Vec<Vec<Expr>>, String> = parts.iter().map(conjuncts).collect();
            Ok(parts?.concat())
        }
        Expr::Has(_) | Expr::Equals(..) | Expr::In(..) | Expr::NotIn(..) => Ok(vec![expr.clone()]),
        Expr::NotEquals(key, value) => {
            Ok(vec![Expr::NotIn(key.clone(), BTreeSet::from([value.clone()]))])
        }
        Expr::Not(inner) if matches!(**inner, Expr::Has(_)) => Ok(vec![expr.clone()]),
        // `a == 'x' || a == 'y'` is a list of values.
        Expr::Or(parts) => values_of_one_key(parts)
            .map(|(key, values)| vec![Expr::In(key, values)])
            .ok_or_else(|| "label selectors have no `||` between different tests".to_owned()),
        Expr::Global => Err("label selectors have no `global()`".to_owned()),
        Expr::Contains(..) | Expr::StartsWith(..) | Expr::EndsWith(..) => {
            Err("label selectors cannot look at parts of values".to_owned())
        }
        Expr::Not(_) => Err("label selectors cannot negate this".to_owned()),
    }
}

fn values_of_one_key(parts: &[Expr]) -> Option<(String, BTreeSet<String>)> {
    let mut found: Option<String> = None;
    let mut values = BTreeSet::new();
    for part in parts {
        let key = match part {
            Expr::Equals(key, value) => {
                values.insert(value.clone());
                key
            }
            Expr::In(key, more) => {
                values.extend(more.iter().cloned());
                key
            }
            _ => return None,
        };
        if found.get_or_insert_with(|| key.clone()) != key {
            return None;
        }
    }
    Some((found?, values))
}

/// The tests as a label selector.
pub(super) fn written(tests: &[Expr]) -> LabelSelector {
    let mut labels: BTreeMap<String, String> = BTreeMap::new();
    let mut requirements = Vec::new();
    for test in tests {
        let (key, operator, values) = match test {
            Expr::Equals(key, value) if !labels.contains_key(key) => {
                labels.insert(key.clone(), value.clone());
                continue;
            }
            Expr::Equals(key, value) => (key, "In", vec![value.clone()]),
            Expr::In(key, values) => (key, "In", values.iter().cloned().collect()),
            Expr::NotIn(key, values) => (key, "NotIn", values.iter().cloned().collect()),
            Expr::Has(key) => (key, "Exists", Vec::new()),
            Expr::Not(inner) => match &**inner {
                Expr::Has(key) => (key, "DoesNotExist", Vec::new()),
                _ => continue,
            },
            _ => continue,
        };
        requirements.push(LabelSelectorRequirement {
            key: key.clone(),
            operator: operator.to_owned(),
            values: Some(values).filter(|values| !values.is_empty()),
        });
    }
    LabelSelector {
        match_labels: Some(labels).filter(|labels| !labels.is_empty()),
        match_expressions: Some(requirements).filter(|requirements| !requirements.is_empty()),
    }
}
