//! What is understood but probably not meant.

use bulkhead_api::calico::PolicyType;
use bulkhead_api::manifest::Severity;
use bulkhead_api::{Object, ObjectKey};
use bulkhead_policy::World;
use bulkhead_policy::facts::Inventory;
use bulkhead_policy::rule::{Action, Policy, Rule, Side};
use bulkhead_types::{Direction, Labels, PolicyKind, Selector};

use super::Pen;

pub fn check(objects: &[Object], world: &World, pen: &mut Pen<'_>) {
    for object in objects {
        inert_rules(object, pen);
        empty_peers(object, pen);
    }
    let broken = pen.broken();
    let labels = Everybody::of(objects);
    for policy in world.policies() {
        let key = ObjectKey::from(&policy.id);
        if broken.contains(&key.to_string()) {
            continue;
        }
        unreachable_rules(policy, &key, pen);
        only_logs(policy, &key, pen);
        labels.look_for(policy, &key, pen);
    }
}

/// Rules of a direction that the policy's types leave out.
fn inert_rules(object: &Object, pen: &mut Pen<'_>) {
    let (types, n_rules, field) = match object {
        Object::KubernetesNetworkPolicy(policy) => {
            let Some(spec) = &policy.spec else { return };
            let types = spec.policy_types.clone().unwrap_or_default();
            let count = |n: Option<usize>| n.unwrap_or(0);
            let n_rules = [
                count(spec.ingress.as_ref().map(Vec::len)),
                count(spec.egress.as_ref().map(Vec::len)),
            ];
            (types, n_rules, "spec.policyTypes")
        }
        Object::NetworkPolicy(policy) => {
            let spec = &policy.spec;
            (names(spec.types.as_deref()), lengths(&spec.ingress, &spec.egress), "spec.types")
        }
        Object::GlobalNetworkPolicy(policy) => {
            let spec = &policy.spec.common;
            (names(spec.types.as_deref()), lengths(&spec.ingress, &spec.egress), "spec.types")
        }
        _ => return,
    };
    if types.is_empty() {
        return;
    }
    for (direction, name, n) in
        [("ingress", "Ingress", n_rules[0]), ("egress", "Egress", n_rules[1])]
    {
        if n > 0 && !types.iter().any(|written| written == name) {
            pen.write(
                Severity::Warning,
                "inert-rules",
                &object.key(),
                &format!("spec.{direction}"),
                format!("the {direction} rules have no effect: `{field}` lacks {name}"),
                Some(format!("add {name} to `{field}`, or remove the rules")),
            );
        }
    }
}

fn names(types: Option<&[PolicyType]>) -> Vec<String> {
    types.into_iter().flatten().map(|written| format!("{written:?}")).collect()
}

fn lengths<T>(ingress: &Option<Vec<T>>, egress: &Option<Vec<T>>) -> [usize; 2] {
    [ingress, egress].map(|rules| rules.as_ref().map_or(0, Vec::len))
}

/// In Kubernetes an empty list of peers is everybody, which often surprises.
fn empty_peers(object: &Object, pen: &mut Pen<'_>) {
    let Object::KubernetesNetworkPolicy(policy) = object else { return };
    let Some(spec) = &policy.spec else { return };
    let ingress = spec.ingress.iter().flatten().map(|rule| &rule.from);
    let egress = spec.egress.iter().flatten().map(|rule| &rule.to);
    let all = ingress.enumerate().map(|(i, peers)| (format!("spec.ingress[{i}].from"), peers));
    let all = all.chain(egress.enumerate().map(|(i, p)| (format!("spec.egress[{i}].to"), p)));
    for (field, peers) in all {
        if peers.as_ref().is_some_and(Vec::is_empty) {
            pen.write(
                Severity::Warning,
                "empty-peers",
                &object.key(),
                &field,
                format!("`{field}` is empty, which means everybody"),
                Some("to allow nobody, leave out the whole rule".to_owned()),
            );
        }
    }
}

fn unreachable_rules(policy: &Policy, key: &ObjectKey, pen: &mut Pen<'_>) {
    for direction in Direction::BOTH {
        let rules = policy.rules(direction).map(|rules| &**rules).unwrap_or_default();
        // Kubernetes rules only allow: one that is wider than the rest is a habit, not a slip.
        let is_final = |rule: &&Rule| {
            rule.action != Action::Log && **rule == Rule::any(rule.index, rule.action)
        };
        let Some(last) = rules.iter().find(is_final) else { continue };
        let Some(next) = rules.iter().find(|rule| rule.index > last.index) else { continue };
        if policy.id.kind == PolicyKind::KubernetesNetworkPolicy {
            continue;
        }
        pen.write(
            Severity::Warning,
            "unreachable-rule",
            key,
            &format!("spec.{direction}[{}]", next.index),
            format!("never reached: rule {} before it matches everything", last.index),
            Some("move it up, or remove it".to_owned()),
        );
    }
}

/// A policy that only logs still makes its tier decide.
fn only_logs(policy: &Policy, key: &ObjectKey, pen: &mut Pen<'_>) {
    for direction in Direction::BOTH {
        let rules = policy.rules(direction).map(|rules| &**rules).unwrap_or_default();
        if !rules.is_empty() && rules.iter().all(|rule| rule.action == Action::Log) {
            pen.write(
                Severity::Warning,
                "only-logs",
                key,
                &format!("spec.{direction}"),
                format!("all {direction} rules log and none decides: the tier's default follows"),
                Some("add a last rule with the action Pass or Allow to log alone".to_owned()),
            );
        }
    }
}

/// The labels of every workload and network set.
struct Everybody {
    workloads: Vec<Labels>,
    all: Vec<Labels>,
}

impl Everybody {
    fn of(objects: &[Object]) -> Self {
        let mut inventory = Inventory::default();
        for object in objects {
            inventory.upsert(object);
        }
        let workloads: Vec<Labels> =
            inventory.endpoints.values().map(|endpoint| inventory.labels_of(endpoint)).collect();
        let sets = inventory.network_sets.values().map(|set| inventory.labels_of_set(set));
        let all = workloads.iter().cloned().chain(sets).collect();
        Self { workloads, all }
    }

    /// Selectors that match nothing, where there is something to match.
    fn look_for(&self, policy: &Policy, key: &ObjectKey, pen: &mut Pen<'_>) {
        if self.workloads.is_empty() {
            return;
        }
        if !self.workloads.iter().any(|labels| policy.subject.matches(labels)) {
            let field = match policy.id.kind {
                PolicyKind::KubernetesNetworkPolicy => "spec.podSelector",
                _ => "spec.selector",
            };
            let message = "the policy applies to no workload of these manifests".to_owned();
            pen.write(Severity::Note, "applies-to-nobody", key, field, message, None);
        }
        for direction in Direction::BOTH {
            for rule in policy.rules(direction).into_iter().flat_map(|rules| rules.iter()) {
                for (name, side) in [("source", &rule.src), ("destination", &rule.dst)] {
                    if self.is_nobody(side) {
                        let message = format!(
                            "the {name} of {direction} rule {} matches nothing in these manifests",
                            rule.index
                        );
                        let field = format!("spec.{direction}[{}]", rule.index);
                        pen.write(Severity::Note, "matches-nobody", key, &field, message, None);
                    }
                }
            }
        }
    }

    fn is_nobody(&self, side: &Side) -> bool {
        let matches = |selector: &Selector| self.all.iter().any(|labels| selector.matches(labels));
        side.selector.as_ref().is_some_and(|selector| !matches(selector))
    }
}
