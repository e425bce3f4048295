//! Which Log rules a packet has matched on its way to the rule that decides.
//!
//! Rows have many intervals and few different lists, so a canvas and its layers hold numbers of lists.
//! A program without Log rules knows one list, the empty one.

use bulkhead_types::LOGGED_MAX;
use bulkhead_wire::RuleId;
use rustc_hash::FxHashMap;

/// Number of a list, for one painter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Logs(u32);

/// Equal lists have one number. A list holds each rule once, in order, and at most [`LOGGED_MAX`].
#[derive(Debug, Default)]
pub struct LogLists {
    lists: Vec<Box<[RuleId]>>,
    numbers: FxHashMap<Box<[RuleId]>, Logs>,
}

impl Logs {
    pub const NONE: Logs = Logs(0);

    pub fn is_none(self) -> bool {
        self == Self::NONE
    }
}

impl LogLists {
    pub fn get(&self, logs: Logs) -> &[RuleId] {
        let place = (logs.0 as usize).checked_sub(1);
        place.and_then(|place| self.lists.get(place)).map_or(&[], |list| list)
    }

    /// The list with one more rule at its end.
    pub fn add(&mut self, logs: Logs, rule: RuleId) -> Logs {
        self.join_all(logs, &[rule])
    }

    /// What the first tier logs and then the next.
    pub fn join(&mut self, first: Logs, next: Logs) -> Logs {
        match (first.is_none(), next.is_none()) {
            (true, _) => next,
            (_, true) => first,
            _ => {
                let next: Vec<RuleId> = self.get(next).to_vec();
                self.join_all(first, &next)
            }
        }
    }

    fn join_all(&mut self, first: Logs, next: &[RuleId]) -> Logs {
        let mut list = self.get(first).to_vec();
        for rule in next {
            if list.len() < LOGGED_MAX && !list.contains(rule) {
                list.push(*rule);
            }
        }
        if let Some(known) = self.numbers.get(list.as_slice()) {
            return *known;
        }
        self.lists.push(list.clone().into());
        let number = Logs(self.lists.len() as u32);
        self.numbers.insert(list.into(), number);
        number
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_numbered_by_content_and_hold_each_rule_once() {
        let mut lists = LogLists::default();
        let [one, two] = [1, 2].map(|rule| lists.add(Logs::NONE, RuleId(rule)));
        let both = lists.join(one, two);
        assert_eq!(lists.get(both), [RuleId(1), RuleId(2)]);
        assert_eq!(lists.add(one, RuleId(2)), both);
        assert_eq!(lists.add(both, RuleId(1)), both);
        assert_ne!(lists.join(two, one), both);
        assert_eq!(lists.join(Logs::NONE, both), both);
        assert_eq!(lists.join(both, Logs::NONE), both);
        assert_eq!(lists.get(Logs::NONE), []);
    }

    #[test]
    fn only_the_first_rules_are_kept() {
        let mut lists = LogLists::default();
        let all = (0..100).fold(Logs::NONE, |logs, rule| lists.add(logs, RuleId(rule)));
        let first: Vec<RuleId> = (0..LOGGED_MAX as u64).map(RuleId).collect();
        assert_eq!(lists.get(all), first);
        assert_eq!(lists.join(all, all), all);
    }
}
