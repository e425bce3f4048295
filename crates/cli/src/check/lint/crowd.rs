//! Many label sets, filed so that a selector need not try each of them.

use std::collections::BTreeMap;

use bulkhead_types::selector::Expr;
use bulkhead_types::{Labels, Selector};

/// Label sets by number, and under each label who has it.
#[derive(Debug, Default)]
pub struct Crowd {
    members: Vec<Labels>,
    by_key: BTreeMap<String, Filed>,
}

#[derive(Debug, Default)]
struct Filed {
    present: Vec<usize>,
    by_value: BTreeMap<String, Vec<usize>>,
}

impl Crowd {
    pub fn of(members: Vec<Labels>) -> Self {
        let mut by_key: BTreeMap<String, Filed> = BTreeMap::new();
        for (number, labels) in members.iter().enumerate() {
            for (key, value) in labels {
                let filed = match by_key.get_mut(key) {
                    Some(filed) => filed,
                    None => by_key.entry(key.clone()).or_default(),
                };
                filed.present.push(number);
                match filed.by_value.get_mut(value) {
                    Some(list) => list.push(number),
                    None => drop(filed.by_value.insert(value.clone(), vec![number])),
                }
            }
        }
        Self { members, by_key }
    }

    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// What the label is with somebody or other.
    pub fn values(&self, key: &str) -> impl Iterator<Item = &str> {
        let values = self.by_key.get(key).map(|filed| filed.by_value.keys());
        values.into_iter().flatten().map(String::as_str)
    }

    pub fn has_key(&self, key: &str) -> bool {
        self.by_key.contains_key(key)
    }

    pub fn has_value(&self, key: &str, value: &str) -> bool {
        self.by_key.get(key).is_some_and(|filed| filed.by_value.contains_key(value))
    }

    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.by_key.keys().map(String::as_str)
    }

    /// The numbers of those that the selector matches.
    pub fn selected<'a>(&'a self, by: &'a Selector) -> impl Iterator<Item = usize> + 'a {
        let likely = self.likely(by.expr());
        let everybody = likely.is_none().then_some(0..self.members.len());
        let numbers = likely.into_iter().flatten().flatten().copied();
        numbers.chain(everybody.into_iter().flatten()).filter(move |number| self.is_in(*number, by))
    }

    /// Whether the member of that number matches.
    pub fn is_in(&self, number: usize, selector: &Selector) -> bool {
        self.members.get(number).is_some_and(|labels| selector.matches(labels))
    }

    /// Disjoint lists that hold all who may match, the shortest that are found; `None`: anybody may.
    fn likely(&self, expr: &Expr) -> Option<Vec<&[usize]>> {
        let with = |key: &str, value: &str| -> &[usize] {
            let filed = self.by_key.get(key);
            filed.and_then(|filed| filed.by_value.get(value)).map_or(&[], Vec::as_slice)
        };
        match expr {
            Expr::Equals(key, value) => Some(vec![with(key, value)]),
            Expr::In(key, values) => Some(values.iter().map(|value| with(key, value)).collect()),
            Expr::Has(key)
            | Expr::Contains(key, _)
            | Expr::StartsWith(key, _)
            | Expr::EndsWith(key, _) => {
                Some(vec![self.by_key.get(key).map_or(&[][..], |filed| &filed.present)])
            }
            Expr::And(operands) => {
                let lists = operands.iter().filter_map(|operand| self.likely(operand));
                lists.min_by_key(|lists| lists.iter().map(|list| list.len()).sum::<usize>())
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_matches_is_found_however_the_selector_is_written() {
        let words = |text: &str| -> Labels {
            text.split_whitespace()
                .filter_map(|word| word.split_once('='))
                .map(|(key, value)| (key.to_owned(), value.to_owned()))
                .collect()
        };
        let members = ["a=1 b=1", "a=2 b=1", "a=3", "", "b=2 c=x"].map(words).to_vec();
        let crowd = Crowd::of(members.clone());
        for text in [
            "all()",
            "a == '1'",
            "a in {'1', '3', '9'}",
            "has(b) && a != '1'",
            "!has(a)",
            "a == '1' || c == 'x'",
            "(a == '1' || a == '2') && b == '1'",
            "c starts with 'x' && has(b)",
            "a == 'none'",
            "has(none)",
            "a not in {'1'}",
        ] {
            let Ok(selector) = Selector::parse(text) else { panic!("{text}") };
            let slow: Vec<usize> =
                (0..members.len()).filter(|n| selector.matches(&members[*n])).collect();
            let mut fast: Vec<usize> = crowd.selected(&selector).collect();
            fast.sort_unstable();
            assert_eq!(fast, slow, "{text}");
        }
    }
}
