//! Selectors that find nobody, where there is somebody to find.

use std::collections::{BTreeMap, BTreeSet};

use bulkhead_api::manifest::{Severity, nearest};
use bulkhead_api::{Object, ObjectKey};
use bulkhead_policy::facts::{
    Inventory, NAMESPACE, NAMESPACE_PREFIX, NamedPort, SERVICE_ACCOUNT, SERVICE_ACCOUNT_PREFIX,
};
use bulkhead_policy::rule::{Policy, Side};
use bulkhead_types::selector::Expr;
use bulkhead_types::{Direction, Labels, Selector};

use super::{rule_field, subject_field};
use crate::check::Pen;

/// Every workload and network set, as selectors see them.
pub struct Everybody {
    pub workloads: Vec<Somebody>,
    sets: Vec<Labels>,
    /// Every value of every label.
    values: BTreeMap<String, BTreeSet<String>>,
}

pub struct Somebody {
    pub labels: Labels,
    pub ports: Vec<NamedPort>,
}

impl Everybody {
    pub fn of(objects: &[Object]) -> Self {
        let mut inventory = Inventory::default();
        for object in objects {
            inventory.upsert(object);
        }
        let workloads: Vec<Somebody> = inventory
            .endpoints
            .values()
            .map(|endpoint| Somebody {
                labels: inventory.labels_of(endpoint),
                ports: endpoint.ports.clone(),
            })
            .collect();
        let sets: Vec<Labels> =
            inventory.network_sets.values().map(|set| inventory.labels_of_set(set)).collect();
        let mut values: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for labels in workloads.iter().map(|workload| &workload.labels).chain(&sets) {
            for (key, value) in labels {
                if let Some(known) = values.get_mut(key) {
                    if !known.contains(value) {
                        known.insert(value.clone());
                    }
                } else {
                    values.insert(key.clone(), BTreeSet::from([value.clone()]));
                }
            }
        }
        Self { workloads, sets, values }
    }

    pub fn selected<'a>(&'a self, by: &'a Selector) -> impl Iterator<Item = &'a Somebody> {
        self.workloads.iter().filter(move |workload| by.matches(&workload.labels))
    }

    /// Whether something with labels matches; sets count too.
    pub fn has_any(&self, selector: &Selector) -> bool {
        self.selected(selector).next().is_some() || self.sets.iter().any(|s| selector.matches(s))
    }

    pub fn look_for(&self, policy: &Policy, key: &ObjectKey, pen: &mut Pen<'_>) {
        if self.workloads.is_empty() {
            return;
        }
        let field = subject_field(policy);
        self.unknown_labels(&policy.subject, Severity::Warning, key, field, pen);
        if self.selected(&policy.subject).next().is_none() {
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
            let (message, near) = match (self.values.get(label), value) {
                (None, _) => {
                    let keys = self.values.keys().filter(|known| prefix(known) == prefix(label));
                    let bare = &label[prefix(label).len()..];
                    let near = near(bare, keys.map(|known| &known[prefix(known).len()..]));
                    (format!("no {} has the label `{bare}`", who(label)), near)
                }
                (Some(known), Some(value)) if !known.contains(value) => {
                    let near = near(value, known.iter().map(String::as_str));
                    (no_such_value(label, value), near)
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

fn near<'a>(word: &str, known: impl Iterator<Item = &'a str>) -> Option<String> {
    nearest(word, known).map(str::to_owned)
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
