//! Selectors that find nobody, where there is somebody to find.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};

use bulkhead_api::ObjectKey;
use bulkhead_api::manifest::{Severity, nearest};
use bulkhead_policy::World;
use bulkhead_policy::facts::{
    NAMESPACE, NAMESPACE_PREFIX, NamedPort, SERVICE_ACCOUNT, SERVICE_ACCOUNT_PREFIX,
};
use bulkhead_policy::rule::{Policy, Side};
use bulkhead_types::selector::Expr;
use bulkhead_types::{Direction, Labels, Selector};

use super::crowd::Crowd;
use super::{rule_field, subject_field};
use crate::check::Pen;

/// Findings for which a word is looked for that was meant.
const HINTS_MAX: usize = 500;
/// Words among which one is looked for that is near to what was written.
const NEAR_MAX: usize = 5_000;

/// Every workload and network set, as selectors see them.
pub struct Everybody {
    /// Each set of labels once, however many workloads have it.
    workloads: Crowd,
    /// By the same numbers.
    ports: Vec<Vec<NamedPort>>,
    sets: Crowd,
    /// How often a word was looked for that is near to what was written.
    n_hints: Cell<usize>,
}

impl Everybody {
    pub fn of(world: &World) -> Self {
        let mut workloads: BTreeMap<Labels, Vec<NamedPort>> = BTreeMap::new();
        for endpoint in world.endpoints() {
            let ports = workloads.entry(world.labels_of(endpoint)).or_default();
            for port in &endpoint.ports {
                if !ports.contains(port) {
                    ports.push(port.clone());
                }
            }
        }
        let (workloads, ports) = workloads.into_iter().unzip();
        let sets = world.network_sets().map(|set| world.labels_of_set(set));
        Self {
            workloads: Crowd::of(workloads),
            ports,
            sets: Crowd::of(sets.collect()),
            n_hints: Cell::new(0),
        }
    }

    /// The named ports of each workload that is selected.
    pub fn ports<'a>(&'a self, by: &'a Selector) -> impl Iterator<Item = &'a NamedPort> {
        self.workloads.selected(by).filter_map(|number| self.ports.get(number)).flatten()
    }

    /// Whether some workload is selected by both.
    pub fn is_any_in_both(&self, one: &Selector, two: &Selector) -> bool {
        self.workloads.selected(one).any(|number| self.workloads.is_in(number, two))
    }

    fn is_any_workload(&self, selector: &Selector) -> bool {
        self.workloads.selected(selector).next().is_some()
    }

    /// Whether something with labels matches; sets count too.
    pub fn has_any(&self, selector: &Selector) -> bool {
        self.is_any_workload(selector) || self.sets.selected(selector).next().is_some()
    }

    fn has_key(&self, key: &str) -> bool {
        self.workloads.has_key(key) || self.sets.has_key(key)
    }

    fn has_value(&self, key: &str, value: &str) -> bool {
        self.workloads.has_value(key, value) || self.sets.has_value(key, value)
    }

    pub fn look_for(&self, policy: &Policy, key: &ObjectKey, pen: &mut Pen<'_>) {
        if self.workloads.is_empty() {
            return;
        }
        let field = subject_field(policy);
        self.unknown_labels(&policy.subject, Severity::Warning, key, field, pen);
        if !self.is_any_workload(&policy.subject) {
            let message = "the policy applies to no workload of these manifests".to_owned();
            pen.write(Severity::Warning, "applies-to-nobody", key, field, message, None);
        }
        let mut seen = BTreeSet::new();
        for direction in Direction::BOTH {
            for rule in policy.rules(direction).into_iter().flat_map(|rules| rules.iter()) {
                let field = rule_field(direction, rule.index);
                for (name, side) in [("source", &rule.src), ("destination", &rule.dst)] {
                    // Several lowered rules may come of one that was written.
                    let asked = [side.selector.as_ref(), side.not_selector.as_ref()];
                    let asked: Vec<&Selector> = asked.into_iter().flatten().collect();
                    let is_new = asked.iter().any(|s| {
                        seen.insert((direction, rule.index, name, s.canonical().to_owned()))
                    });
                    if is_new {
                        self.look_for_side(side, (name, direction, rule.index), key, &field, pen);
                    }
                }
            }
        }
    }

    fn look_for_side(
        &self,
        side: &Side,
        (name, direction, index): (&str, Direction, u32),
        key: &ObjectKey,
        field: &str,
        pen: &mut Pen<'_>,
    ) {
        let mut is_said = false;
        if let Some(not_selector) = &side.not_selector {
            is_said |= self.unknown_labels(not_selector, Severity::Note, key, field, pen);
        }
        let Some(selector) = &side.selector else { return };
        is_said |= self.unknown_labels(selector, Severity::Note, key, field, pen);
        if !is_said && !self.has_any(selector) {
            let message = format!(
                "the {name} of {direction} rule {index} matches nothing in these manifests"
            );
            pen.write(Severity::Note, "matches-nobody", key, field, message, None);
        }
    }

    fn near<'a>(&self, word: &str, known: impl Iterator<Item = &'a str>) -> Option<String> {
        let n_hints = self.n_hints.get();
        if n_hints == HINTS_MAX {
            return None;
        }
        self.n_hints.set(n_hints + 1);
        nearest(word, known.take(NEAR_MAX)).map(str::to_owned)
    }

    /// Labels that are asked for and that nobody has. A near miss is a warning, whatever the rest is.
    fn unknown_labels(
        &self,
        selector: &Selector,
        severity: Severity,
        key: &ObjectKey,
        field: &str,
        pen: &mut Pen<'_>,
    ) -> bool {
        let mut asked = Vec::new();
        wanted(selector.expr(), true, &mut asked);
        let mut is_said = false;
        for (label, value) in asked {
            // Nobody wrote down that a policy is about its own namespace.
            if label == NAMESPACE && value == Some(key.namespace.as_str()) {
                continue;
            }
            let (message, near) = match value {
                _ if !self.has_key(label) => {
                    let keys = self.workloads.keys().chain(self.sets.keys());
                    let keys = keys.filter(|known| prefix(known) == prefix(label));
                    let bare = &label[prefix(label).len()..];
                    let near = self.near(bare, keys.map(|known| &known[prefix(known).len()..]));
                    (format!("no {} has the label `{bare}`", who(label)), near)
                }
                Some(value) if !self.has_value(label, value) => {
                    let values = self.workloads.values(label).chain(self.sets.values(label));
                    (no_such_value(label, value), self.near(value, values))
                }
                _ => continue,
            };
            is_said = true;
            let severity = if near.is_some() { Severity::Warning } else { severity };
            let help = near.map(|near| format!("did you mean `{near}`?"));
            pen.write(severity, "unknown-label", key, field, message, help);
        }
        is_said
    }
}

/// The tests of a selector that ask for a label to be there, with the value where they name one.
fn wanted<'a>(expr: &'a Expr, is_wanted: bool, into: &mut Vec<(&'a str, Option<&'a str>)>) {
    match expr {
        Expr::Not(inner) => wanted(inner, !is_wanted, into),
        Expr::And(parts) | Expr::Or(parts) => {
            parts.iter().for_each(|part| wanted(part, is_wanted, into));
        }
        Expr::Has(key)
        | Expr::Contains(key, _)
        | Expr::StartsWith(key, _)
        | Expr::EndsWith(key, _)
            if is_wanted =>
        {
            into.push((key, None));
        }
        Expr::Equals(key, value) if is_wanted => into.push((key, Some(value))),
        Expr::In(key, values) if is_wanted => {
            into.extend(values.iter().map(|value| (key.as_str(), Some(value.as_str()))));
        }
        _ => {}
    }
}

fn prefix(label: &str) -> &'static str {
    [NAMESPACE_PREFIX, SERVICE_ACCOUNT_PREFIX]
        .into_iter()
        .find(|prefix| label.starts_with(prefix))
        .unwrap_or_default()
}

fn who(label: &str) -> &'static str {
    match prefix(label) {
        NAMESPACE_PREFIX => "namespace of a workload",
        SERVICE_ACCOUNT_PREFIX => "service account of a workload",
        _ => "workload or network set",
    }
}

fn no_such_value(label: &str, value: &str) -> String {
    match label {
        NAMESPACE => format!("no workload or network set is in the namespace `{value}`"),
        SERVICE_ACCOUNT => format!("no workload has the service account `{value}`"),
        _ => {
            let bare = &label[prefix(label).len()..];
            format!("no {} has the label `{bare}` with the value `{value}`", who(label))
        }
    }
}
