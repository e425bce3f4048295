//! The inverted label index: which members have a label, and with which value.

use std::collections::HashMap;

use bulkhead_types::Labels;
use bulkhead_types::selector::Expr;
use roaring::RoaringBitmap;

use super::MemberId;

#[derive(Debug, Default)]
pub struct LabelIndex {
    everybody: RoaringBitmap,
    by_key: HashMap<String, Values>,
}

#[derive(Debug, Default)]
struct Values {
    present: RoaringBitmap,
    by_value: HashMap<String, RoaringBitmap>,
}

impl LabelIndex {
    pub fn insert(&mut self, member: MemberId, labels: &Labels) {
        self.everybody.insert(member.0);
        for (key, value) in labels {
            self.set(member, key, value);
        }
    }

    pub fn remove(&mut self, member: MemberId, labels: &Labels) {
        self.everybody.remove(member.0);
        for (key, value) in labels {
            self.unset(member, key, value);
        }
    }

    pub fn set(&mut self, member: MemberId, key: &str, value: &str) {
        if !self.by_key.contains_key(key) {
            self.by_key.insert(key.to_owned(), Values::default());
        }
        let Some(values) = self.by_key.get_mut(key) else { return };
        values.present.insert(member.0);
        match values.by_value.get_mut(value) {
            Some(members) => {
                members.insert(member.0);
            }
            None => {
                values.by_value.insert(value.to_owned(), RoaringBitmap::from_iter([member.0]));
            }
        }
    }

    pub fn unset(&mut self, member: MemberId, key: &str, value: &str) {
        let Some(values) = self.by_key.get_mut(key) else { return };
        values.present.remove(member.0);
        if let Some(members) = values.by_value.get_mut(value) {
            members.remove(member.0);
            if members.is_empty() {
                values.by_value.remove(value);
            }
        }
        if values.present.is_empty() {
            self.by_key.remove(key);
        }
    }

    /// How many members have the label with the value.
    pub fn count(&self, key: &str, value: &str) -> u64 {
        let members = self.by_key.get(key).and_then(|values| values.by_value.get(value));
        members.map_or(0, RoaringBitmap::len)
    }

    /// Everybody that the expression matches, by set algebra over the index.
    pub fn evaluate(&self, expr: &Expr) -> RoaringBitmap {
        match expr {
            Expr::All | Expr::Global => self.everybody.clone(),
            Expr::Has(key) => self.by_key.get(key).map(|v| v.present.clone()).unwrap_or_default(),
            Expr::Equals(key, value) => self.with_one_of(key, [value]),
            Expr::NotEquals(key, value) => self.but(self.with_one_of(key, [value])),
            Expr::Contains(key, part) => self.with(key, |found| found.contains(part.as_str())),
            Expr::StartsWith(key, part) => self.with(key, |found| found.starts_with(part.as_str())),
            Expr::EndsWith(key, part) => self.with(key, |found| found.ends_with(part.as_str())),
            Expr::In(key, values) => self.with_one_of(key, values),
            Expr::NotIn(key, values) => self.but(self.with_one_of(key, values)),
            Expr::Not(inner) => self.but(self.evaluate(inner)),
            Expr::And(operands) => operands
                .iter()
                .map(|operand| self.evaluate(operand))
                .reduce(|a, b| a & b)
                .unwrap_or_else(|| self.everybody.clone()),
            Expr::Or(operands) => operands
                .iter()
                .map(|operand| self.evaluate(operand))
                .reduce(|a, b| a | b)
                .unwrap_or_default(),
        }
    }

    fn with(&self, key: &str, holds: impl Fn(&str) -> bool) -> RoaringBitmap {
        let values = self.by_key.get(key).into_iter().flat_map(|values| &values.by_value);
        values
            .filter(|(value, _)| holds(value))
            .fold(RoaringBitmap::new(), |all, (_, members)| all | members)
    }

    fn with_one_of<'a>(
        &self,
        key: &str,
        wanted: impl IntoIterator<Item = &'a String>,
    ) -> RoaringBitmap {
        let Some(values) = self.by_key.get(key) else { return RoaringBitmap::new() };
        wanted
            .into_iter()
            .filter_map(|value| values.by_value.get(value))
            .fold(RoaringBitmap::new(), |all, members| all | members)
    }

    fn but(&self, members: RoaringBitmap) -> RoaringBitmap {
        &self.everybody - members
    }
}
