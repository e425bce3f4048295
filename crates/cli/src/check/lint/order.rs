//! Policies and tiers that only their names put in order.

use std::collections::BTreeMap;

use bulkhead_api::ObjectKey;
use bulkhead_api::manifest::Severity;
use bulkhead_api::object::Kind;
use bulkhead_policy::cover;
use bulkhead_policy::rule::{Action, Order, Policy, Rule, Side};
use bulkhead_types::{Direction, PolicyKind};

use super::Lint;
use super::everybody::Everybody;
use super::homes::not_compared;
use crate::check::Pen;

/// Pairs of policies of one tier and order that are held against one another.
const PAIRS_MAX: usize = 50_000;

pub fn check(lint: &Lint<'_>, pen: &mut Pen<'_>) {
    tiers(lint, pen);
    let mut places: BTreeMap<(&str, Order), Vec<&Policy>> = BTreeMap::new();
    for policy in lint.policies.iter().filter(|policy| policy.staged.is_none()) {
        places.entry((&policy.tier, policy.order)).or_default().push(policy);
    }
    for ((tier, order), policies) in places {
        same_place(tier, order, &policies, lint, pen);
    }
}

fn same_place(tier: &str, order: Order, policies: &[&Policy], lint: &Lint<'_>, pen: &mut Pen<'_>) {
    let is_kubernetes = |policy: &Policy| policy.id.kind == PolicyKind::KubernetesNetworkPolicy;
    // Two of Kubernetes only add to one another.
    let (mut all, mut others): (Vec<&Policy>, Vec<&Policy>) = (Vec::new(), Vec::new());
    let mut n_pairs = 0usize;
    for later in policies {
        let earlier = if is_kubernetes(later) { &others } else { &all };
        n_pairs += earlier.len();
        if n_pairs > PAIRS_MAX {
            let message = format!(
                "whether policies of the same order in tier {tier} contradict this one was not looked \
                 for, nor of those after it: there are more than {PAIRS_MAX} pairs"
            );
            return not_compared(&ObjectKey::from(&later.id), "metadata.name", message, pen);
        }
        let clash =
            earlier.iter().find_map(|earlier| Some((*earlier, clash(earlier, later, lint)?)));
        if let Some((earlier, rules)) = clash {
            report(tier, order, earlier, later, rules, pen);
        }
        all.push(later);
        if !is_kubernetes(later) {
            others.push(later);
        }
    }
}

/// Two rules that decide differently about what both match, where both policies apply to somebody.
fn clash(earlier: &Policy, later: &Policy, lint: &Lint<'_>) -> Option<(Direction, u32, u32)> {
    if !lint.everybody.is_any_in_both(&earlier.subject, &later.subject) {
        return None;
    }
    for direction in Direction::BOTH {
        let (Some(ones), Some(twos)) = (earlier.rules(direction), later.rules(direction)) else {
            continue;
        };
        for one in ones.iter() {
            let two = twos.iter().find(|two| is_conflict(one, two, direction, &lint.everybody));
            if let Some(two) = two {
                return Some((direction, one.index, two.index));
            }
        }
    }
    None
}

fn is_conflict(one: &Rule, two: &Rule, direction: Direction, everybody: &Everybody) -> bool {
    let decides = |rule: &Rule| rule.action != Action::Log && rule.http.is_none();
    let remote = |rule: &Rule| rule.local_and_remote(direction).1.clone();
    decides(one)
        && decides(two)
        && one.action != two.action
        && !cover::are_apart(one, two)
        && do_meet(&remote(one), &remote(two), everybody)
}

/// Whether somebody is selected by both.
fn do_meet(one: &Side, two: &Side, everybody: &Everybody) -> bool {
    match (&one.selector, &two.selector) {
        (Some(one), Some(two)) => everybody.is_any_in_both(one, two),
        (Some(only), None) | (None, Some(only)) => everybody.has_any(only),
        (None, None) => true,
    }
}

fn report(
    tier: &str,
    order: Order,
    earlier: &Policy,
    later: &Policy,
    (direction, one, two): (Direction, u32, u32),
    pen: &mut Pen<'_>,
) {
    let order = order.get();
    let written = if order.is_finite() { format!("order {order}") } else { "no order".to_owned() };
    let message = format!(
        "{} has {written} in tier {tier} too: of its {direction} rule {one} and rule {two} here, which \
         say different things, only the names tell the first",
        earlier.id
    );
    let field = match later.order.get().is_finite() {
        true => "spec.order",
        false => "spec",
    };
    pen.write(
        Severity::Warning,
        "same-order",
        &ObjectKey::from(&later.id),
        field,
        message,
        Some("give them different orders".to_owned()),
    );
}

fn tiers(lint: &Lint<'_>, pen: &mut Pen<'_>) {
    let mut by_order: BTreeMap<Order, Vec<&str>> = BTreeMap::new();
    for tier in lint.tiers.values() {
        by_order.entry(tier.order).or_default().push(&tier.name);
    }
    for (order, names) in by_order {
        let [.., first, last] = names.as_slice() else { continue };
        let built_in = ["kube-admin", "default", "kube-baseline"];
        let (declared, other) = match built_in.contains(last) {
            true => (first, last),
            false => (last, first),
        };
        let order = order.get();
        let written = if order.is_finite() { format!("{order}") } else { "unset".to_owned() };
        let (namespace, name) = (String::new(), (*declared).to_owned());
        pen.write(
            Severity::Warning,
            "same-tier-order",
            &ObjectKey { kind: Kind::Tier, namespace, name },
            "spec.order",
            format!(
                "the tier `{other}` has the same order ({written}): only the names tell the first"
            ),
            Some("give each tier an order of its own".to_owned()),
        );
    }
}
