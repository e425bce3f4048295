//! Whether what objects refer to exists in the same manifests.

use std::collections::{BTreeMap, BTreeSet};

use bulkhead_api::manifest::{Severity, nearest};
use bulkhead_api::object::Kind;
use bulkhead_api::{Object, ObjectKey, addressing};
use bulkhead_policy::rule::Tier;

use super::Pen;

mod traffic;

/// `everybody` are the objects with a pod for each owner, and addresses.
pub fn check(objects: &[&Object], everybody: &[Object], pen: &mut Pen<'_>) {
    traffic::check(everybody, pen);
    tiers(objects, pen);
    namespaces(objects, pen);
    unnamed(objects, pen);
    addresses(objects, pen);
}

/// A policy in a tier that does not exist is judged after all others and closed: never meant.
fn tiers(objects: &[&Object], pen: &mut Pen<'_>) {
    let mut known: BTreeSet<String> = Tier::built_in().into_iter().map(|tier| tier.name).collect();
    let declared = objects.iter().filter(|object| object.kind() == Kind::Tier);
    known.extend(declared.map(|object| object.key().name));
    for object in objects {
        let tier = match object {
            Object::NetworkPolicy(policy) => policy.spec.tier.as_deref(),
            Object::GlobalNetworkPolicy(policy) => policy.spec.common.tier.as_deref(),
            Object::StagedNetworkPolicy(policy) => policy.spec.policy.tier.as_deref(),
            Object::StagedGlobalNetworkPolicy(policy) => policy.spec.policy.common.tier.as_deref(),
            _ => None,
        };
        let Some(tier) = tier.filter(|tier| !tier.is_empty() && !known.contains(*tier)) else {
            continue;
        };
        let names: Vec<&str> = known.iter().map(String::as_str).collect();
        pen.write(
            Severity::Error,
            "no-such-tier",
            &object.key(),
            "spec.tier",
            format!("there is no tier `{tier}`"),
            Some(match nearest(tier, names.iter().copied()) {
                Some(near) => format!("did you mean `{near}`? Otherwise declare it"),
                None => format!("declare it, or use one of: {}", names.join(", ")),
            }),
        );
    }
}

/// Objects without a namespace, where others name one: said once.
fn unnamed(objects: &[&Object], pen: &mut Pen<'_>) {
    let namespaced = objects.iter().filter(|object| object.kind().is_namespaced());
    let named = |object: &Object| object.metadata().namespace.clone();
    let has_others =
        namespaced.clone().any(|object| named(object).is_some_and(|name| name != "default"));
    let mut bare = namespaced.filter(|object| named(object).is_none());
    let (true, Some(first)) = (has_others, bare.next()) else { return };
    let message = match bare.count() {
        0 => "names no namespace, and is read as one of `default`".to_owned(),
        n => format!("names no namespace, as {n} more objects, and is read as one of `default`"),
    };
    let help = Some("other objects of these manifests name one: say which is meant".to_owned());
    pen.write(Severity::Note, "no-namespace", &first.key(), "metadata", message, help);
}

/// Said once for each namespace. Only where manifests declare namespaces at all: a folder of bare
/// policies need not.
fn namespaces(objects: &[&Object], pen: &mut Pen<'_>) {
    let declared: BTreeSet<String> = objects
        .iter()
        .filter(|object| object.kind() == Kind::Namespace)
        .map(|object| object.key().name)
        .collect();
    if declared.is_empty() {
        return;
    }
    let mut users: BTreeMap<String, (ObjectKey, usize)> = BTreeMap::new();
    for key in objects.iter().map(|object| object.key()) {
        if key.kind.is_namespaced() && key.namespace != "default" {
            users.entry(key.namespace.clone()).or_insert_with(|| (key, 0)).1 += 1;
        }
    }
    for (namespace, (first, n_objects)) in users {
        if declared.contains(&namespace) {
            continue;
        }
        pen.write(
            Severity::Warning,
            "no-such-namespace",
            &first,
            "metadata.namespace",
            format!("no manifest declares the namespace `{namespace}`, used {n_objects} times"),
            Some("its labels are unknown here: namespace selectors see its name only".to_owned()),
        );
    }
}

fn addresses(objects: &[&Object], pen: &mut Pen<'_>) {
    let mut owners: BTreeMap<std::net::IpAddr, ObjectKey> = BTreeMap::new();
    for object in objects {
        if matches!(object, Object::Pod(pod) if !addressing::has_own_network(pod)) {
            continue;
        }
        for address in addressing::addresses(object) {
            let Some(owner) = owners.get(&address) else {
                owners.insert(address, object.key());
                continue;
            };
            let message = format!("{address} is also the address of {owner}");
            let help =
                "two workloads cannot share an address: rules for either would hold for both";
            pen.write(
                Severity::Warning,
                "shared-address",
                &object.key(),
                if object.kind() == Kind::Pod { "status" } else { "spec.addresses" },
                message,
                Some(help.to_owned()),
            );
        }
    }
}
