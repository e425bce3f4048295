//! Who owns whom.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;

use super::{OWNERS, Remark};
use crate::manifest::Severity;
use crate::object::{Kind, Object, ObjectKey};

/// The label by which a Deployment tells its ReplicaSets apart; it ends their names.
const TEMPLATE_HASH: &str = "pod-template-hash";

pub(super) struct Family {
    /// The owner of an owner or pod, where it is among the objects. Free of circles.
    parents: BTreeMap<ObjectKey, ObjectKey>,
    /// Owners from which some pod descends.
    with_pods: BTreeSet<ObjectKey>,
    /// The members of each circle, which began at the first of them.
    circles: Vec<Vec<ObjectKey>>,
    /// Objects whose owner is not among the objects, with its name.
    orphans: Vec<(ObjectKey, String)>,
}

impl Family {
    pub fn of(objects: &BTreeMap<ObjectKey, &Object>) -> Self {
        let mut family = Self {
            parents: BTreeMap::new(),
            with_pods: BTreeSet::new(),
            circles: Vec::new(),
            orphans: Vec::new(),
        };
        for (key, object) in objects {
            if key.kind != Kind::Pod && !OWNERS.contains(&key.kind) {
                continue;
            }
            let Some(reference) = controller(object) else { continue };
            match parent(key, object, reference, objects) {
                Some(parent) => {
                    family.parents.insert(key.clone(), parent);
                }
                None if is_owner_kind(reference) => {
                    let name = format!("{} {}/{}", reference.kind, key.namespace, reference.name);
                    family.orphans.push((key.clone(), name));
                }
                // Pods of nodes and of custom controllers stand for themselves.
                None => {}
            }
        }
        family.break_circles();
        for pod in objects.keys().filter(|key| key.kind == Kind::Pod) {
            let mut next = family.parents.get(pod);
            while let Some(owner) = next {
                if !family.with_pods.insert(owner.clone()) {
                    break;
                }
                next = family.parents.get(owner);
            }
        }
        family
    }

    pub fn is_root(&self, key: &ObjectKey) -> bool {
        !self.parents.contains_key(key)
    }

    pub fn has_pods(&self, key: &ObjectKey) -> bool {
        self.with_pods.contains(key)
    }

    pub fn remarks(&self, objects: &BTreeMap<ObjectKey, &Object>) -> Vec<Remark> {
        let circles = self.circles.iter().filter_map(|members| {
            let first = members.first()?;
            let names: Vec<String> =
                members.iter().chain([first]).map(ToString::to_string).collect();
            Some(Remark {
                severity: Severity::Error,
                code: "owner-cycle",
                object: first.clone(),
                field: "metadata.ownerReferences",
                message: format!("the owners go round in a circle: {}", names.join(" -> ")),
                help: Some("remove the ownerReferences of the one that nobody made".to_owned()),
            })
        });
        // Said once for each owner that is missing; of pods alone it is the usual case.
        let has_owners = objects.keys().any(|key| OWNERS.contains(&key.kind));
        let mut seen = BTreeSet::new();
        let orphans = self.orphans.iter().filter(|(_, name)| has_owners && seen.insert(name));
        let orphans = orphans.map(|(key, name)| Remark {
            severity: Severity::Note,
            code: "no-such-owner",
            object: key.clone(),
            field: "metadata.ownerReferences",
            message: format!("its owner {name} is not in these manifests"),
            help: Some("it is taken to stand for itself".to_owned()),
        });
        circles.chain(orphans).collect()
    }

    /// Cuts every circle before its first member by key.
    fn break_circles(&mut self) {
        let mut settled: BTreeSet<ObjectKey> = BTreeSet::new();
        for start in self.parents.keys().cloned().collect::<Vec<_>>() {
            let mut path: Vec<ObjectKey> = Vec::new();
            let mut on_path: BTreeSet<ObjectKey> = BTreeSet::new();
            let mut next = Some(start);
            while let Some(key) = next {
                if settled.contains(&key) {
                    break;
                }
                if !on_path.insert(key.clone()) {
                    let begin = path.iter().position(|member| *member == key).unwrap_or(0);
                    self.cut(path.split_off(begin), &mut settled);
                    break;
                }
                next = self.parents.get(&key).cloned();
                path.push(key);
            }
            settled.extend(path);
        }
    }

    fn cut(&mut self, mut members: Vec<ObjectKey>, settled: &mut BTreeSet<ObjectKey>) {
        let first = members.iter().enumerate().min_by_key(|(_, key)| *key).map_or(0, |(at, _)| at);
        members.rotate_left(first);
        if let Some(first) = members.first() {
            self.parents.remove(first);
        }
        settled.extend(members.iter().cloned());
        self.circles.push(members);
    }
}

/// The reference that says who made the object.
fn controller(object: &Object) -> Option<&OwnerReference> {
    let references = object.metadata().owner_references.as_deref()?;
    let managing = references.iter().find(|reference| reference.controller == Some(true));
    managing.or_else(|| match references {
        [only] if only.controller.is_none() => Some(only),
        _ => None,
    })
}

fn is_owner_kind(reference: &OwnerReference) -> bool {
    owner_kind(reference).is_some()
}

/// By name and group; the version may be another than the one we know.
fn owner_kind(reference: &OwnerReference) -> Option<Kind> {
    let group = |version: &str| version.split_once('/').map_or("", |(group, _)| group).to_owned();
    OWNERS.into_iter().find(|kind| {
        let (version, name) = kind.api();
        name == reference.kind && group(version) == group(&reference.api_version)
    })
}

fn parent(
    key: &ObjectKey,
    object: &Object,
    reference: &OwnerReference,
    objects: &BTreeMap<ObjectKey, &Object>,
) -> Option<ObjectKey> {
    let kind = owner_kind(reference)?;
    let at = |kind, name: &str| ObjectKey {
        kind,
        namespace: key.namespace.clone(),
        name: name.to_owned(),
    };
    let direct = at(kind, &reference.name);
    if let Some(owner) = objects.get(&direct) {
        let uid = owner.metadata().uid.as_deref().filter(|uid| !uid.is_empty());
        // The same name, but made anew since: not the one that made this object.
        let is_other = uid.is_some_and(|uid| !reference.uid.is_empty() && reference.uid != uid);
        return (!is_other).then_some(direct);
    }
    // A list of pods without their ReplicaSets or Jobs: those are named after what made them.
    let grandparent = match kind {
        Kind::ReplicaSet => {
            let hash = object.metadata().labels.as_ref()?.get(TEMPLATE_HASH)?;
            at(Kind::Deployment, reference.name.strip_suffix(&format!("-{hash}"))?)
        }
        Kind::Job => {
            let (name, moment) = reference.name.rsplit_once('-')?;
            let is_moment = !moment.is_empty() && moment.bytes().all(|b| b.is_ascii_digit());
            is_moment.then(|| at(Kind::CronJob, name))?
        }
        _ => return None,
    };
    objects.contains_key(&grandparent).then_some(grandparent)
}
