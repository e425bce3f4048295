//! Labels that nodes say of themselves, on their Node objects.
//!
//! Host endpoints are selected by such labels, so a node that could say anything could choose the
//! policies that hold it. It may say only what the rules allow, and never in the place of what somebody
//! else has said: the keys that are a node's own are listed in an annotation (decision 0017).

use std::collections::BTreeSet;

use bulkhead_api::object::Kind;
use bulkhead_apimachinery::kinds;
use bulkhead_types::Labels;
use serde_json::{Map, Value};

use crate::objects::{Objects, Place};

/// The keys that the node's agent has set and may change, with commas between.
pub const OWN_KEYS: &str = "node.bulkhead.dev/own-labels";
/// What a node may say unless `--node-label` says otherwise: where it stands and what it is.
pub const ALLOWED: [&str; 5] = [
    "cloud.bulkhead.dev/",
    "host.bulkhead.dev/",
    "topology.kubernetes.io/region",
    "topology.kubernetes.io/zone",
    "node.kubernetes.io/instance-type",
];
/// Labels that one node may have by its own word.
const LABELS_MAX: usize = 64;

/// Which keys a node may set: those that begin with a prefix that ends in `/`, or are equal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LabelRules(Vec<String>);

/// Writes them; cheap to clone.
#[derive(Clone)]
pub struct LabelDesk {
    /// `None`: the nodes are a cluster's, which labels them itself.
    objects: Option<Objects>,
    rules: LabelRules,
}

impl LabelRules {
    pub fn new(allowed: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self(allowed.into_iter().map(Into::into).collect())
    }

    pub fn allows(&self, key: &str) -> bool {
        self.0.iter().any(|rule| rule == key || (rule.ends_with('/') && key.starts_with(rule)))
    }
}

impl Default for LabelRules {
    fn default() -> Self {
        Self::new(ALLOWED)
    }
}

impl LabelDesk {
    pub fn new(objects: Option<Objects>, rules: LabelRules) -> Self {
        Self { objects, rules }
    }

    /// Puts a node's word on its object. What it may not say is logged and left out.
    pub async fn take(&self, node: &str, labels: &Labels) {
        let Some(objects) = &self.objects else { return };
        let (said, refused): (Vec<_>, Vec<_>) =
            labels.iter().partition(|(key, _)| self.rules.allows(key));
        if !refused.is_empty() {
            let keys: Vec<&str> = refused.iter().map(|(key, _)| key.as_str()).collect();
            tracing::warn!(%node, ?keys, "a node may not label itself so (--node-label)");
        }
        let said: Labels =
            said.into_iter().take(LABELS_MAX).map(|(k, v)| (k.clone(), v.clone())).collect();
        let place = Place { resource: kinds::by_id(Kind::Node), namespace: "", name: node };
        if let Err(error) = objects.edit(place, |object| put(object, &said)).await {
            tracing::warn!(%node, %error, "a node's labels cannot be written");
        }
    }
}

/// The labels of a Node object as they are once the node has said these.
fn put(object: &mut Value, said: &Labels) {
    let own: BTreeSet<String> = object
        .pointer("/metadata/annotations")
        .and_then(|annotations| annotations.get(OWN_KEYS))
        .and_then(Value::as_str)
        .map(|keys| keys.split(',').map(str::to_owned).collect())
        .unwrap_or_default();
    let Some(labels) = entry(object, "labels") else { return };
    labels.retain(|key, _| !own.contains(key) || said.contains_key(key));
    let mut now = BTreeSet::new();
    for (key, value) in said {
        if own.contains(key) || !labels.contains_key(key) {
            labels.insert(key.clone(), value.clone().into());
            now.insert(key.as_str());
        }
    }
    let keys = now.into_iter().collect::<Vec<_>>().join(",");
    if own.is_empty() && keys.is_empty() {
        return;
    }
    let Some(annotations) = entry(object, "annotations") else { return };
    match keys.is_empty() {
        true => annotations.remove(OWN_KEYS),
        false => annotations.insert(OWN_KEYS.to_owned(), keys.into()),
    };
}

fn entry<'a>(object: &'a mut Value, name: &str) -> Option<&'a mut Map<String, Value>> {
    let metadata = object.get_mut("metadata")?.as_object_mut()?;
    let field = metadata.entry(name).or_insert_with(|| Value::Object(Map::new()));
    if field.is_null() {
        *field = Value::Object(Map::new());
    }
    field.as_object_mut()
}

#[cfg(test)]
mod tests;
