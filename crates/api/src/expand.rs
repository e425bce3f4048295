//! Owners of pods to pods: what a cluster's controllers would make of manifests.
//!
//! A Deployment, ReplicaSet, StatefulSet, DaemonSet, Job, CronJob or ReplicationController becomes
//! one representative pod made from its template: policy cannot tell replicas apart. Where the
//! objects also hold pods that descend from the owner, these stand for it and nothing is made.
//!
//! A representative is called like its owner. Where that name is taken by a pod, a workload or
//! another owner, it is called `name-kind`, such as `web-statefulset`. It names its owner as
//! controller, so that tools can call it `shop/web[Deployment]`.
//!
//! Invariants:
//! - Depends only on the set of objects, not on their order.
//! - Every owner that stands at the top of its family gives at least one pod, or a remark says why
//!   not. Owners that own one another in a circle are broken up at the first by key, and named.

mod family;
mod template;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use crate::manifest::Severity;
use crate::object::{Kind, Object, ObjectKey};

use family::Family;

/// Kinds that make pods.
pub const OWNERS: [Kind; 7] = [
    Kind::Deployment,
    Kind::ReplicaSet,
    Kind::StatefulSet,
    Kind::DaemonSet,
    Kind::Job,
    Kind::CronJob,
    Kind::ReplicationController,
];

/// Something to say about a field of an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remark {
    pub severity: Severity,
    pub code: &'static str,
    pub object: ObjectKey,
    pub field: &'static str,
    pub message: String,
    pub help: Option<String>,
}

/// What came of the owners.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Expansion {
    /// The pods made, each with the owner that it stands for, in the order of owners' keys.
    pub pods: Vec<(ObjectKey, Object)>,
    pub remarks: Vec<Remark>,
}

/// The pods that the owners among `objects` stand for and that are not there already.
pub fn expand<'a>(objects: impl IntoIterator<Item = &'a Object>) -> Expansion {
    let by_key: BTreeMap<ObjectKey, &Object> = objects.into_iter().map(|o| (o.key(), o)).collect();
    let family = Family::of(&by_key);
    let mut expansion = Expansion { pods: Vec::new(), remarks: family.remarks(&by_key) };

    let roots: Vec<(&ObjectKey, &Object)> = by_key
        .iter()
        .map(|(key, object)| (key, *object))
        .filter(|(key, _)| OWNERS.contains(&key.kind) && family.is_root(key))
        .collect();
    let mut names = Names::of(&by_key, &roots);
    for (key, owner) in roots {
        if family.has_pods(key) {
            continue;
        }
        let name = names.name(key);
        match template::pod(owner, key, name) {
            Some(pod) => expansion.pods.push((key.clone(), Object::Pod(Box::new(pod)))),
            None => expansion.remarks.push(Remark {
                severity: Severity::Warning,
                code: "no-template",
                object: key.clone(),
                field: "spec",
                message: format!("{key} has no pod template"),
                help: Some("no pod stands for it: no verdict is about it".to_owned()),
            }),
        }
    }
    expansion
}

/// What representatives may be called.
struct Names {
    /// By namespace and name, how many pods, workloads and owners are called so.
    wanted: BTreeMap<(String, String), usize>,
}

impl Names {
    fn of(objects: &BTreeMap<ObjectKey, &Object>, roots: &[(&ObjectKey, &Object)]) -> Self {
        let there = objects.keys().filter(|key| matches!(key.kind, Kind::Pod | Kind::Workload));
        let mut wanted = BTreeMap::new();
        for key in there.chain(roots.iter().map(|(key, _)| *key)) {
            *wanted.entry((key.namespace.clone(), key.name.clone())).or_default() += 1;
        }
        Self { wanted }
    }

    /// The owner's own name where nobody else wants it, else with the kind added until it is free.
    fn name(&mut self, owner: &ObjectKey) -> String {
        let mut wish = (owner.namespace.clone(), owner.name.clone());
        if self.wanted.get(&wish) == Some(&1) {
            return wish.1;
        }
        while self.wanted.contains_key(&wish) {
            wish.1 = format!("{}-{}", wish.1, owner.kind.api().1.to_ascii_lowercase());
        }
        self.wanted.insert(wish.clone(), 1);
        wish.1
    }
}
