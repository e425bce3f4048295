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
use crate::check::Pen;

/// Policies of one tier and order that are held against one another.
const SAME_ORDER_MAX: usize = 300;

pub fn check(lint: &Lint<'_>, pen: &mut Pen<'_>) {
    tiers(lint, pen);
    let mut places: BTreeMap<(&str, Order), Vec<&Policy>> = BTreeMap::new();
    for policy in lint.policies.iter().filter(|policy| policy.staged.is_none()) {
        places.entry((&policy.tier, policy.order)).or_default().push(policy);
    }
    for ((tier, order), policies) in places {
        if policies.len() > SAME_ORDER_MAX {
            continue;
        }
        for (at, later) in policies.iter().enumerate() {
            let earlier = policies.iter().take(at);
            let clash = earlier.filter_map(|earlier| Some((earlier, clash(earlier, later, lint)?)));
            if let Some((earlier, (direction, one, two))) = clash.into_iter().next() {
                report(tier, order, earlier, later, (direction, one, two), pen);
            }
        }
    }
}

/// Two rules that decide differently about what both match, where both policies apply to somebody.
fn clash(earlier: &Policy, later: &Policy, lint: &Lint<'_>) -> Option<(Direction, u32, u32)> {
    let kubernetes = PolicyKind::KubernetesNetworkPolicy;
    if earlier.id.kind == kubernetes && later.id.kind == kubernetes {
        return None;
    }
    let mut both = lint.everybody.selected(&earlier.subject);
    both.find(|workload| later.subject.matches(&workload.labels))?;
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
        (Some(one), Some(two)) => {
            everybody.selected(one).any(|somebody| two.matches(&somebody.labels))
        }
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
