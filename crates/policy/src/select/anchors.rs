//! Where a selector is filed, so that only personas that may match it try it.

use std::collections::BTreeSet;

use bulkhead_types::Selector;
use bulkhead_types::selector::{Expr, Restrictions};
use hashbrown::HashMap;

use super::labels::LabelIndex;
use super::personas::{PersonaId, Sight};
use super::selectors::SelectorId;

#[derive(Clone, Debug)]
pub enum Anchor {
    /// Matches nobody, ever.
    Never,
    Values(String, Vec<String>),
    Present(String),
    Loose,
}

#[derive(Debug, Default)]
pub struct Anchors {
    by_key: HashMap<String, Filed>,
    loose: BTreeSet<SelectorId>,
    loose_by_key: HashMap<String, BTreeSet<SelectorId>>,
}

/// Selectors filed under one label key. Sorted.
#[derive(Debug, Default)]
struct Filed {
    present: Vec<SelectorId>,
    by_value: HashMap<String, Vec<SelectorId>>,
}

impl Anchor {
    /// Who may match.
    pub fn candidates(&self, index: &LabelIndex) -> Option<Vec<PersonaId>> {
        match self {
            Anchor::Never => Some(Vec::new()),
            Anchor::Values(key, values) => {
                Some(values.iter().flat_map(|value| index.with_value(key, value)).collect())
            }
            Anchor::Present(key) => Some(index.present(key).collect()),
            Anchor::Loose => None,
        }
    }
}

impl Anchors {
    pub fn is_idle(&self) -> bool {
        self.by_key.is_empty() && self.loose.is_empty() && self.loose_by_key.is_empty()
    }

    /// The test that fewest personas pass today and under which fewest selectors are filed, so that
    /// neither a crowd of personas nor a crowd of selectors meets in one place.
    pub fn anchor_of(&self, selector: &Selector, index: &LabelIndex) -> Anchor {
        if let Some((_, anchor)) = self.best(selector.expr(), index) {
            return match anchor {
                Test::Value(key, value) => Anchor::Values(key.to_owned(), vec![value.to_owned()]),
                Test::Values(key, values) => {
                    Anchor::Values(key.to_owned(), values.iter().cloned().collect())
                }
                Test::Present(key) => Anchor::Present(key.to_owned()),
            };
        }
        // Alternatives: what all of them have in common.
        let Restrictions::Labels(restrictions) = selector.restrictions() else {
            return Anchor::Never;
        };
        let with_values = restrictions
            .iter()
            .filter_map(|(key, r)| Some((key, r.must_have_one_of.as_ref()?)))
            .min_by_key(|(key, values)| self.weigh_all(key, values, index));
        if let Some((key, values)) = with_values {
            return Anchor::Values(key.clone(), values.iter().cloned().collect());
        }
        let present = restrictions.iter().find(|(_, r)| r.must_be_present);
        present.map_or(Anchor::Loose, |(key, _)| Anchor::Present(key.clone()))
    }

    fn best<'a>(&self, expr: &'a Expr, index: &LabelIndex) -> Option<(usize, Test<'a>)> {
        match expr {
            Expr::Equals(key, value) => {
                Some((self.weigh(key, value, index), Test::Value(key, value)))
            }
            Expr::In(key, values) => {
                Some((self.weigh_all(key, values, index), Test::Values(key, values)))
            }
            Expr::Has(key)
            | Expr::Contains(key, _)
            | Expr::StartsWith(key, _)
            | Expr::EndsWith(key, _) => {
                let filed = self.by_key.get(key).map_or(0, |filed| filed.present.len());
                Some((index.n_present(key) + filed, Test::Present(key)))
            }
            Expr::And(operands) => operands
                .iter()
                .filter_map(|operand| self.best(operand, index))
                .min_by_key(|(weight, _)| *weight),
            _ => None,
        }
    }

    fn weigh(&self, key: &str, value: &str, index: &LabelIndex) -> usize {
        let filed = self.by_key.get(key).and_then(|filed| filed.by_value.get(value));
        index.count(key, value) + filed.map_or(0, Vec::len)
    }

    fn weigh_all(&self, key: &str, values: &BTreeSet<String>, index: &LabelIndex) -> usize {
        values.iter().map(|value| self.weigh(key, value, index)).sum()
    }

    /// The selectors that may match a persona which is seen so for the first time, unsorted.
    pub fn candidates(&self, sight: &Sight) -> Vec<SelectorId> {
        let mut candidates: Vec<SelectorId> = self.loose.iter().copied().collect();
        self.add_anchored(sight, &mut candidates);
        candidates
    }

    /// The selectors that may match a persona otherwise than before.
    pub fn candidates_of_change(&self, old: &Sight, new: &Sight) -> Vec<SelectorId> {
        let mut candidates = Vec::new();
        self.add_anchored(new, &mut candidates);
        let mut add_loose = |from: &Sight, to: &Sight| {
            for (key, value) in from.iter() {
                if to.value(key) != Some(value) {
                    candidates.extend(self.loose_by_key.get(&**key).into_iter().flatten());
                }
            }
        };
        add_loose(old, new);
        add_loose(new, old);
        candidates
    }

    fn add_anchored(&self, sight: &Sight, candidates: &mut Vec<SelectorId>) {
        for (key, value) in sight.iter() {
            let Some(filed) = self.by_key.get(&**key) else { continue };
            candidates.extend(&filed.present);
            candidates.extend(filed.by_value.get(&**value).into_iter().flatten());
        }
    }

    /// Ids only grow, so each list stays sorted.
    pub fn file(&mut self, id: SelectorId, anchor: &Anchor, selector: &Selector) {
        match anchor {
            Anchor::Never => {}
            Anchor::Present(key) => entry(&mut self.by_key, key).present.push(id),
            Anchor::Values(key, values) => {
                let filed = entry(&mut self.by_key, key);
                for value in values {
                    entry(&mut filed.by_value, value).push(id);
                }
            }
            Anchor::Loose => {
                self.loose.insert(id);
                selector.expr().each_key(&mut |key| {
                    entry(&mut self.loose_by_key, key).insert(id);
                });
            }
        }
    }

    pub fn strike(&mut self, id: SelectorId, anchor: &Anchor, selector: &Selector) {
        match anchor {
            Anchor::Never => {}
            Anchor::Present(key) | Anchor::Values(key, _) => {
                let Some(filed) = self.by_key.get_mut(key) else { return };
                let values = if let Anchor::Values(_, values) = anchor { &values[..] } else { &[] };
                if values.is_empty() {
                    strike_from(&mut filed.present, id);
                }
                for value in values {
                    let Some(list) = filed.by_value.get_mut(value) else { continue };
                    strike_from(list, id);
                    if list.is_empty() {
                        filed.by_value.remove(value);
                    }
                }
                if filed.present.is_empty() && filed.by_value.is_empty() {
                    self.by_key.remove(key);
                }
            }
            Anchor::Loose => {
                self.loose.remove(&id);
                selector.expr().each_key(&mut |key| {
                    let Some(set) = self.loose_by_key.get_mut(key) else { return };
                    set.remove(&id);
                    if set.is_empty() {
                        self.loose_by_key.remove(key);
                    }
                });
            }
        }
    }
}

/// A necessary condition that the index can look up.
enum Test<'a> {
    Value(&'a str, &'a str),
    Values(&'a str, &'a BTreeSet<String>),
    Present(&'a str),
}

fn entry<'a, V: Default>(map: &'a mut HashMap<String, V>, key: &str) -> &'a mut V {
    map.entry(key.to_owned()).or_default()
}

fn strike_from(list: &mut Vec<SelectorId>, id: SelectorId) {
    if let Ok(place) = list.binary_search(&id) {
        list.remove(place);
    }
}
