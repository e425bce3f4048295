//! Services, accounts and profiles that others name, and ways in that lead nowhere.

use std::collections::{BTreeMap, BTreeSet};

use bulkhead_api::calico::{EntityRule, GlobalNetworkPolicy, NetworkPolicy};
use bulkhead_api::entry::{self, EntryError};
use bulkhead_api::manifest::{Severity, nearest};
use bulkhead_api::object::Kind;
use bulkhead_api::service::{ServiceError, Services};
use bulkhead_api::{Object, ObjectKey};

use crate::check::Pen;

/// `everybody` are the objects with a pod for each owner, and addresses.
pub fn check(everybody: &[Object], pen: &mut Pen<'_>) {
    let services = Services::of(everybody);
    entries(everybody, &services, pen);
    selectors(everybody, &services, pen);
    rules(everybody, pen);
    profiles(everybody, pen);
}

fn entries(objects: &[Object], services: &Services<'_>, pen: &mut Pen<'_>) {
    let (entries, broken) = entry::entries(objects);
    let mut report = |object: &ObjectKey, field: &str, error: EntryError| {
        let (severity, help) = match &error {
            EntryError::Kind(_) => (Severity::Note, "where it leads is unknown here"),
            _ => (Severity::Warning, "traffic from outside gets no further than this"),
        };
        let (message, help) = (error.to_string(), Some(help.to_owned()));
        pen.write(severity, "dangling-backend", object, field, message, help);
    };
    for broken in broken {
        report(&broken.object, &broken.field, broken.error);
    }
    for entry in entries {
        // A Service that finds nobody is said once, of the Service.
        if let Err(error) = entry.targets(services)
            && !matches!(error, ServiceError::NoBackend { .. })
        {
            report(&entry.object, &entry.field, error.into());
        }
    }
}

/// Services whose selector finds nobody, where there is somebody to find.
fn selectors(objects: &[Object], services: &Services<'_>, pen: &mut Pen<'_>) {
    let has_workloads = objects.iter().any(|o| matches!(o, Object::Pod(_) | Object::Workload(_)));
    for object in objects.iter().filter(|_| has_workloads) {
        let Object::Service(service) = object else { continue };
        let key = object.key();
        let selector = service.spec.as_ref().and_then(|spec| spec.selector.as_ref());
        let is_elsewhere = service.spec.as_ref().and_then(|spec| spec.type_.as_deref());
        if selector.is_none_or(BTreeMap::is_empty) || is_elsewhere == Some("ExternalName") {
            continue;
        }
        if services.selected(&key.namespace, service).next().is_none() {
            let message = "the service selects no workload of its namespace".to_owned();
            pen.write(Severity::Note, "service-without-pods", &key, "spec.selector", message, None);
        }
    }
}

/// What Calico rules name: services, and service accounts where the namespace declares some.
fn rules(objects: &[Object], pen: &mut Pen<'_>) {
    let named = |kind: Kind| {
        let keys = objects.iter().map(Object::key).filter(move |key| key.kind == kind);
        keys.map(|key| (key.namespace, key.name)).collect::<BTreeSet<_>>()
    };
    let (services, accounts) = (named(Kind::Service), named(Kind::ServiceAccount));
    let with_accounts: BTreeSet<&str> = accounts.iter().map(|(ns, _)| ns.as_str()).collect();
    for object in objects {
        for (field, side) in sides(object) {
            let own = object.key().namespace;
            if let Some(service) = &side.services
                && let Some(name) = &service.name
            {
                let namespace = service.namespace.clone().unwrap_or_else(|| own.clone());
                let id = (namespace, name.clone());
                if !services.contains(&id) {
                    let (namespace, name) = &id;
                    let known = services.iter().filter(|(ns, _)| ns == namespace);
                    let near = nearest(name, known.map(|(_, name)| name.as_str()));
                    pen.write(
                        Severity::Warning,
                        "no-such-service",
                        &object.key(),
                        &format!("{field}.services"),
                        format!("there is no Service `{namespace}/{name}` in these manifests"),
                        near.map(|near| format!("did you mean `{near}`?")),
                    );
                }
            }
            // With a namespace selector the accounts may be anywhere.
            let names = side.service_accounts.iter().flat_map(|m| m.names.iter().flatten());
            let is_here = side.namespace_selector.is_none() && with_accounts.contains(&*own);
            for name in names.filter(|_| is_here) {
                let is_known = accounts.contains(&(own.clone(), name.clone()));
                if !is_known && name != "default" {
                    pen.write(
                        Severity::Warning,
                        "no-such-service-account",
                        &object.key(),
                        &format!("{field}.serviceAccounts"),
                        format!("there is no ServiceAccount `{own}/{name}` in these manifests"),
                        None,
                    );
                }
            }
        }
        pod_account(object, &accounts, &with_accounts, pen);
    }
}

fn pod_account(
    object: &Object,
    accounts: &BTreeSet<(String, String)>,
    with_accounts: &BTreeSet<&str>,
    pen: &mut Pen<'_>,
) {
    let Object::Pod(pod) = object else { return };
    let key = object.key();
    let name = pod.spec.as_ref().and_then(|spec| spec.service_account_name.clone());
    let Some(name) = name.filter(|name| !name.is_empty() && name != "default") else { return };
    if !with_accounts.contains(&*key.namespace)
        || accounts.contains(&(key.namespace.clone(), name.clone()))
    {
        return;
    }
    let message =
        format!("there is no ServiceAccount `{}/{name}` in these manifests", key.namespace);
    let help = Some("its labels are unknown here".to_owned());
    let field = "spec.serviceAccountName";
    pen.write(Severity::Warning, "no-such-service-account", &key, field, message, help);
}

/// Both sides of every rule of a Calico policy, with their fields.
fn sides(object: &Object) -> Vec<(String, &EntityRule)> {
    let (ingress, egress) = match object {
        Object::NetworkPolicy(policy) => {
            let NetworkPolicy { spec, .. } = &**policy;
            (&spec.ingress, &spec.egress)
        }
        Object::GlobalNetworkPolicy(policy) => {
            let GlobalNetworkPolicy { spec, .. } = &**policy;
            (&spec.common.ingress, &spec.common.egress)
        }
        _ => return Vec::new(),
    };
    let mut sides = Vec::new();
    for (direction, rules) in [("ingress", ingress), ("egress", egress)] {
        for (index, rule) in rules.iter().flatten().enumerate() {
            for (name, side) in [("source", &rule.source), ("destination", &rule.destination)] {
                let field = format!("spec.{direction}[{index}].{name}");
                sides.extend(side.as_ref().map(|side| (field, side)));
            }
        }
    }
    sides
}

/// Profiles of host endpoints. Those of namespaces and service accounts make themselves.
fn profiles(objects: &[Object], pen: &mut Pen<'_>) {
    let known: BTreeSet<String> = objects
        .iter()
        .map(Object::key)
        .filter(|key| key.kind == Kind::Profile)
        .map(|key| key.name)
        .collect();
    for object in objects {
        let Object::HostEndpoint(host) = object else { continue };
        for (at, name) in host.spec.profiles.iter().flatten().enumerate() {
            let is_built_in = name == "projectcalico-default-allow"
                || name.starts_with("kns.")
                || name.starts_with("ksa.");
            if is_built_in || known.contains(name) {
                continue;
            }
            let near = nearest(name, known.iter().map(String::as_str));
            pen.write(
                Severity::Warning,
                "no-such-profile",
                &object.key(),
                &format!("spec.profiles[{at}]"),
                format!("there is no Profile `{name}`"),
                near.map(|near| format!("did you mean `{near}`?")),
            );
        }
    }
}
