//! Facts about built-in Kubernetes lists that generated schemas lack: how items are told apart, how
//! strategic merge treats them, and which structs are owned as a whole.

use super::{ListType, PatchMerge};

/// One line a field: definition (without its package), field, how it merges.
const LISTS: &[(&str, &str, ListFact)] = &[
    ("PodSpec", "containers", map(&["name"], "name")),
    ("PodSpec", "initContainers", map(&["name"], "name")),
    ("PodSpec", "ephemeralContainers", map(&["name"], "name")),
    ("PodSpec", "volumes", retain(&["name"], "name")),
    ("PodSpec", "imagePullSecrets", map(&["name"], "name")),
    ("PodSpec", "hostAliases", map(&["ip"], "ip")),
    (
        "PodSpec",
        "topologySpreadConstraints",
        map(&["topologyKey", "whenUnsatisfiable"], "topologyKey"),
    ),
    ("PodSpec", "schedulingGates", map(&["name"], "name")),
    ("PodSpec", "resourceClaims", retain(&["name"], "name")),
    ("Container", "env", map(&["name"], "name")),
    ("Container", "ports", map(&["containerPort", "protocol"], "containerPort")),
    ("Container", "volumeMounts", map(&["mountPath"], "mountPath")),
    ("Container", "volumeDevices", map(&["devicePath"], "devicePath")),
    ("EphemeralContainer", "env", map(&["name"], "name")),
    ("EphemeralContainer", "ports", map(&["containerPort", "protocol"], "containerPort")),
    ("EphemeralContainer", "volumeMounts", map(&["mountPath"], "mountPath")),
    ("EphemeralContainer", "volumeDevices", map(&["devicePath"], "devicePath")),
    ("ResourceRequirements", "claims", map_only(&["name"])),
    ("PodStatus", "conditions", map(&["type"], "type")),
    ("PodStatus", "podIPs", map(&["ip"], "ip")),
    ("PodStatus", "hostIPs", merge_only("ip")),
    ("PodStatus", "resourceClaimStatuses", retain(&["name"], "name")),
    ("ServiceSpec", "ports", map(&["port", "protocol"], "port")),
    ("ServiceStatus", "conditions", map(&["type"], "type")),
    ("ServiceAccount", "secrets", map(&["name"], "name")),
    ("ServiceAccount", "imagePullSecrets", map(&["name"], "name")),
    ("NodeSpec", "podCIDRs", SET),
    ("NodeStatus", "addresses", map(&["type"], "type")),
    ("NodeStatus", "conditions", map(&["type"], "type")),
    ("NamespaceStatus", "conditions", map(&["type"], "type")),
    ("ObjectMeta", "finalizers", SET),
    ("ObjectMeta", "ownerReferences", map(&["uid"], "uid")),
    ("Endpoint", "addresses", SET_ONLY),
    ("PolicyStatus", "conditions", map_only(&["type"])),
    ("ObjectStatus", "conditions", map_only(&["type"])),
];

/// Structs that have one owner and are replaced whole.
const ATOMIC: &[&str] = &[
    "LabelSelector",
    "ObjectReference",
    "LocalObjectReference",
    "TypedLocalObjectReference",
    "SecretKeySelector",
    "ConfigMapKeySelector",
    "ObjectFieldSelector",
    "ResourceFieldSelector",
    "NodeSelector",
    "NodeSelectorTerm",
    "OwnerReference",
    "SecretReference",
    "EndpointPort",
];

const ATOMIC_FIELDS: &[(&str, &str)] = &[("PodSpec", "nodeSelector"), ("ServiceSpec", "selector")];

/// Key fields that may be absent, and what they then mean.
const KEY_DEFAULTS: &[(&str, &str, &str)] =
    &[("ContainerPort", "protocol", "TCP"), ("ServicePort", "protocol", "TCP")];

#[derive(Clone, Copy)]
struct ListFact {
    list: ListKind,
    merge: Option<PatchMerge>,
}

#[derive(Clone, Copy)]
enum ListKind {
    Atomic,
    Set,
    Map(&'static [&'static str]),
}

const SET: ListFact =
    ListFact { list: ListKind::Set, merge: Some(PatchMerge { key: None, retain_keys: false }) };
const SET_ONLY: ListFact = ListFact { list: ListKind::Set, merge: None };

const fn map(keys: &'static [&'static str], merge_key: &'static str) -> ListFact {
    let merge = Some(PatchMerge { key: Some(merge_key), retain_keys: false });
    ListFact { list: ListKind::Map(keys), merge }
}

const fn retain(keys: &'static [&'static str], merge_key: &'static str) -> ListFact {
    let merge = Some(PatchMerge { key: Some(merge_key), retain_keys: true });
    ListFact { list: ListKind::Map(keys), merge }
}

const fn map_only(keys: &'static [&'static str]) -> ListFact {
    ListFact { list: ListKind::Map(keys), merge: None }
}

const fn merge_only(merge_key: &'static str) -> ListFact {
    let merge = Some(PatchMerge { key: Some(merge_key), retain_keys: false });
    ListFact { list: ListKind::Atomic, merge }
}

fn short(definition: &str) -> &str {
    definition.rsplit('.').next().unwrap_or(definition)
}

pub(super) fn list_facts(definition: &str, field: &str) -> (ListType, Option<PatchMerge>) {
    let name = short(definition);
    let found = LISTS.iter().find(|(owner, key, _)| *owner == name && *key == field);
    let Some((_, _, fact)) = found else { return (ListType::Atomic, None) };
    let list = match fact.list {
        ListKind::Atomic => ListType::Atomic,
        ListKind::Set => ListType::Set,
        ListKind::Map(keys) => ListType::Map(keys.to_vec()),
    };
    (list, fact.merge)
}

pub(super) fn is_atomic_struct(definition: &str) -> bool {
    definition.starts_with("io.k8s.") && ATOMIC.contains(&short(definition))
}

pub(super) fn is_atomic_field(definition: &str, field: &str) -> bool {
    ATOMIC_FIELDS.contains(&(short(definition), field))
}

pub(super) fn key_default(definition: &str, field: &str) -> Option<&'static str> {
    let name = short(definition);
    let found = KEY_DEFAULTS.iter().find(|(owner, key, _)| *owner == name && *key == field);
    found.map(|(_, _, value)| *value)
}
