//! `projectcalico.org/v3`: tiers, policies and network sets.

use serde_json::Value;

use super::selector::{self, Global};
use super::{address, calico_rule, domains, read};
use crate::field::{self, FieldError};
use crate::meta;

const RULES_MAX: usize = 1024;

/// Order and default action of the tiers that always exist.
const BUILT_IN_TIERS: &[(&str, f64, &str)] = &[
    ("kube-admin", 1_000.0, "Pass"),
    ("default", 1_000_000.0, "Deny"),
    ("kube-baseline", 10_000_000.0, "Pass"),
];

pub(super) fn tier(object: &Value, errors: &mut Vec<FieldError>) {
    let name = meta::name(object);
    let spec = object.get("spec").unwrap_or(&Value::Null);
    let action = spec.get("defaultAction");
    if let Some(action) = action
        && !matches!(action.as_str(), Some("Deny" | "Pass"))
    {
        errors.push(FieldError::not_supported("spec.defaultAction", action, &["Deny", "Pass"]));
    }
    let Some((_, order, default)) = BUILT_IN_TIERS.iter().find(|(tier, _, _)| *tier == name) else {
        return;
    };
    let given = spec.get("order").cloned().unwrap_or_default();
    if given.as_f64() != Some(*order) {
        let rule = format!("the order of the built-in tier `{name}` is {order} and cannot change");
        errors.push(FieldError::invalid("spec.order", &given, rule));
    }
    let word = action.and_then(Value::as_str).unwrap_or("Deny");
    if word != *default {
        let rule = format!(
            "the default action of the built-in tier `{name}` is {default} and cannot change"
        );
        errors.push(FieldError::invalid("spec.defaultAction", &Value::from(word), rule));
    }
}

pub(super) fn network_set(object: &Value, errors: &mut Vec<FieldError>) {
    let Some(spec) = object.get("spec") else { return };
    for (path, net) in read::indexed(spec, "nets", "spec") {
        address::net(net, &path, errors);
    }
    domains::list(spec, "allowedEgressDomains", "spec", errors);
}

/// As the enforced kind, with a word about what is to become of that.
pub(super) fn staged_policy(object: &Value, global: bool, errors: &mut Vec<FieldError>) {
    policy(object, global, errors);
    empty_when_deleting(object, errors);
}

pub(super) fn empty_when_deleting(object: &Value, errors: &mut Vec<FieldError>) {
    let Some(spec) = object.get("spec").and_then(Value::as_object) else { return };
    if spec.get("stagedAction").and_then(Value::as_str) != Some("Delete") {
        return;
    }
    // What defaulting adds says nothing.
    const SILENT: &[&str] = &["stagedAction", "tier", "types", "policyTypes"];
    let says = |(key, value): &(&String, &Value)| {
        let is_empty = value.as_object().is_some_and(serde_json::Map::is_empty)
            || value.as_array().is_some_and(Vec::is_empty);
        !SILENT.contains(&key.as_str()) && !is_empty
    };
    for (key, _) in spec.iter().filter(says) {
        let rule = "a policy that is to be deleted says nothing else";
        errors.push(FieldError::forbidden(field::child("spec", key), rule));
    }
}

pub(super) fn policy(object: &Value, global: bool, errors: &mut Vec<FieldError>) {
    let nothing = Value::Object(serde_json::Map::new());
    let spec = object.get("spec").unwrap_or(&nothing);
    policy_name(object, global, errors);
    if let Some(tier) = spec.get("tier") {
        for why in super::names::dns_label(tier.as_str().unwrap_or_default()) {
            errors.push(FieldError::invalid("spec.tier", tier, why));
        }
    }
    for key in ["selector", "namespaceSelector", "serviceAccountSelector"] {
        selector::text(spec.get(key), &field::child("spec", key), Global::Forbidden, errors);
    }
    distinct_types(spec, errors);
    for (path, hint) in read::indexed(spec, "performanceHints", "spec") {
        const HINTS: &[&str] = &["AssumeNeededOnEveryNode"];
        if !hint.as_str().is_some_and(|word| HINTS.contains(&word)) {
            errors.push(FieldError::not_supported(path, hint, HINTS));
        }
    }
    if global {
        host_flags(spec, errors);
    }
    for direction in ["ingress", "egress"] {
        let count = read::items(spec, direction).len();
        if count > RULES_MAX {
            errors.push(FieldError::too_many(field::child("spec", direction), count, RULES_MAX));
            continue;
        }
        for (path, rule) in read::indexed(spec, direction, "spec") {
            calico_rule::check(rule, &path, direction, errors);
            if global {
                calico_rule::names_its_namespace(rule, &path, errors);
            }
        }
    }
}

/// Kinds of policy that upstream keeps under names of their own: `knp.default.<name>`.
const CONVERTED: &[&str] = &["knp.default.", "ossg.default."];

/// At most one dot, which upstream once used for the tier: `tier.name`.
fn policy_name(object: &Value, global: bool, errors: &mut Vec<FieldError>) {
    let name = meta::name(object);
    let converted = !global && CONVERTED.iter().any(|prefix| name.starts_with(prefix));
    if name.matches('.').count() > 1 && !converted {
        let kind = if global { "GlobalNetworkPolicy" } else { "NetworkPolicy" };
        let rule = format!("the name of a {kind} may hold one dot at most");
        errors.push(FieldError::invalid("metadata.name", &Value::from(name), rule));
    }
}

fn distinct_types(spec: &Value, errors: &mut Vec<FieldError>) {
    let types = read::items(spec, "types");
    for (path, word) in read::indexed(spec, "types", "spec") {
        let first = types.iter().position(|other| other == word);
        if first.is_some_and(|at| path != field::item("spec.types", at)) {
            errors.push(FieldError::duplicate(path, word));
        }
    }
}

/// `doNotTrack`, `preDNAT` and `applyOnForward` say where on a host a policy acts.
fn host_flags(spec: &Value, errors: &mut Vec<FieldError>) {
    let set = |key: &str| spec.get(key).and_then(Value::as_bool) == Some(true);
    let (untracked, pre_dnat) = (set("doNotTrack"), set("preDNAT"));
    let truth = Value::Bool(true);
    if untracked && pre_dnat {
        let rule = "preDNAT and doNotTrack cannot both be true";
        errors.push(FieldError::invalid("spec.preDNAT", &truth, rule));
    }
    let egress = !read::items(spec, "egress").is_empty()
        || read::items(spec, "types").iter().any(|word| word == "Egress");
    if pre_dnat && egress {
        let rule = "a preDNAT policy cannot have egress rules or the type Egress";
        errors.push(FieldError::invalid("spec.preDNAT", &truth, rule));
    }
    if (untracked || pre_dnat) && !set("applyOnForward") {
        let given = spec.get("applyOnForward").cloned().unwrap_or(Value::Bool(false));
        let rule = "must be true when preDNAT or doNotTrack is true";
        errors.push(FieldError::invalid("spec.applyOnForward", &given, rule));
    }
}
