//! Policies that another API server let in: it may know fields, words and types that we do not.
//!
//! INVARIANT(never-opens): what is not understood makes a policy allow less, never more. A rule that
//! allows and is not understood is left out; any other one denies all that its understood part matches.
//! Where something beside the rules is not understood, that is so of every rule.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::defaulting;
use crate::kinds::Resource;
use crate::strict;
use crate::validate;

/// Where [`read_as_denying`] leaves its findings for who tells the policy's status.
pub const ANNOTATION: &str = "bulkhead.dev/not-understood";

/// Findings that are told.
const TOLD_MAX: usize = 10;

/// Reads a policy so that it can be understood, and notes what was not.
pub fn read_as_denying(resource: &Resource, object: &mut Value) {
    if resource.id.policy_kind().is_none() {
        return;
    }
    annotate(object, None);
    let mut known = object.clone();
    let unknown = strict::prune(resource.schema().slot(), &mut known);
    let mut faults: Vec<(String, String)> =
        unknown.into_iter().map(|path| (path.clone(), format!("`{path}` is unknown"))).collect();
    let wrong = validate::structure(resource, &known);
    faults.extend(wrong.into_iter().map(|error| (error.path.clone(), error.to_string())));
    // Nothing else decides a packet.
    faults.retain(|(path, _)| path.starts_with("spec"));
    if faults.is_empty() {
        return;
    }
    let mut rules: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    let mut fields: Vec<String> = Vec::new();
    for (path, _) in &faults {
        match rule_of(path) {
            Some((direction, index)) => rules.entry(direction).or_default().push(index),
            None => fields.extend(field_of(path)),
        }
    }
    *object = known;
    if let Some(spec) = object.get_mut("spec").and_then(Value::as_object_mut) {
        spec.retain(|name, _| !fields.contains(name));
    }
    // Directions are written down before rules go: a policy without rules still decides.
    defaulting::complete(resource, object);
    for direction in ["ingress", "egress"] {
        let list = object.pointer_mut(&format!("/spec/{direction}")).and_then(Value::as_array_mut);
        let Some(list) = list else { continue };
        // Whom the policy is about may not be understood: then it allows nobody anything.
        let is_hurt = |index: usize| {
            !fields.is_empty() || rules.get(direction).is_some_and(|hurt| hurt.contains(&index))
        };
        let old = std::mem::take(list);
        let read = |(index, rule)| if is_hurt(index) { denying(rule) } else { Some(rule) };
        *list = old.into_iter().enumerate().filter_map(read).collect();
    }
    // What is wrong in what is left of a rule that denies.
    for error in validate::structure(resource, object) {
        let Some((direction, index)) = rule_of(&error.path) else { continue };
        if let Some(rule) = object.pointer_mut(&format!("/spec/{direction}/{index}")) {
            *rule = json!({"action": "Deny"});
        }
    }
    annotate(object, Some(faults.into_iter().map(|(_, why)| why).take(TOLD_MAX).collect()));
}

/// What [`read_as_denying`] noted on an object.
pub fn not_understood(annotations: Option<&BTreeMap<String, String>>) -> Vec<String> {
    let text = annotations.and_then(|annotations| annotations.get(ANNOTATION));
    text.and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default()
}

/// `None` for a rule that would have allowed.
fn denying(mut rule: Value) -> Option<Value> {
    let fields = rule.as_object_mut()?;
    match fields.get("action").map(|action| action.as_str().unwrap_or("?")) {
        None | Some("Allow" | "Accept" | "Log") => None,
        Some(_) => {
            fields.insert("action".to_owned(), Value::from("Deny"));
            Some(rule)
        }
    }
}

/// `spec.ingress[2].from` is of rule 2 of `ingress`.
fn rule_of(path: &str) -> Option<(&str, usize)> {
    let rest = path.strip_prefix("spec.")?;
    let (direction, rest) = rest.split_once('[')?;
    let (index, _) = rest.split_once(']')?;
    if !matches!(direction, "ingress" | "egress") {
        return None;
    }
    Some((direction, index.parse().ok()?))
}

/// The field of `spec` that a path leads into.
fn field_of(path: &str) -> Option<String> {
    let rest = path.strip_prefix("spec.")?;
    rest.split(['.', '[']).next().map(str::to_owned)
}

fn annotate(object: &mut Value, findings: Option<Vec<String>>) {
    let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) else { return };
    match findings {
        None => {
            if let Some(annotations) =
                metadata.get_mut("annotations").and_then(Value::as_object_mut)
            {
                annotations.remove(ANNOTATION);
            }
        }
        Some(findings) => {
            let annotations =
                metadata.entry("annotations").or_insert_with(|| Value::Object(Map::new()));
            if let Some(annotations) = annotations.as_object_mut() {
                annotations.insert(ANNOTATION.to_owned(), json!(findings).to_string().into());
            }
        }
    }
}

#[cfg(test)]
mod tests;
