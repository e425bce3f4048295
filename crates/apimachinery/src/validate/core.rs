//! What pods, services, endpoint slices and workloads must say for policy to understand them.

use std::collections::BTreeSet;

use bulkhead_types::Mac;
use serde_json::Value;

use super::{address, names, ports, read, selector};
use crate::field::{self, FieldError};

pub(super) fn pod(object: &Value, errors: &mut Vec<FieldError>) {
    let Some(spec) = object.get("spec") else {
        errors.push(FieldError::required("spec", ""));
        return;
    };
    if read::items(spec, "containers").is_empty() {
        errors.push(FieldError::required("spec.containers", ""));
    }
    let mut seen = BTreeSet::new();
    for list in ["initContainers", "containers", "ephemeralContainers"] {
        for (path, container) in read::indexed(spec, list, "spec") {
            container_rules(container, &path, &mut seen, errors);
        }
    }
    if let Some(node) = spec.get("nodeName") {
        let why = names::dns_subdomain(node.as_str().unwrap_or_default()).into_iter();
        errors.extend(why.map(|why| FieldError::invalid("spec.nodeName", node, why)));
    }
    if let Some(policy) = spec.get("restartPolicy") {
        const POLICIES: &[&str] = &["Always", "Never", "OnFailure"];
        if !policy.as_str().is_some_and(|word| POLICIES.contains(&word)) {
            errors.push(FieldError::not_supported("spec.restartPolicy", policy, POLICIES));
        }
    }
    pod_status(object, errors);
}

fn container_rules<'a>(
    container: &'a Value,
    path: &str,
    seen: &mut BTreeSet<&'a str>,
    errors: &mut Vec<FieldError>,
) {
    let name = read::text(container, "name");
    let name_path = field::child(path, "name");
    for why in names::dns_label(name) {
        errors.push(FieldError::invalid(&name_path, &name.into(), why));
    }
    if !seen.insert(name) {
        errors.push(FieldError::duplicate(&name_path, &name.into()));
    }
    if read::text(container, "image").is_empty() {
        errors.push(FieldError::required(field::child(path, "image"), ""));
    }
    let mut port_names = BTreeSet::new();
    for (path, port) in read::indexed(container, "ports", path) {
        named_port(port, "containerPort", &path, &mut port_names, errors);
    }
}

/// A port object with a number under `key`, an optional protocol and an optional unique name.
fn named_port<'a>(
    port: &'a Value,
    key: &str,
    path: &str,
    seen: &mut BTreeSet<&'a str>,
    errors: &mut Vec<FieldError>,
) {
    if let Some(number) = port.get(key) {
        ports::number(number, &field::child(path, key), errors);
    }
    ports::transport(port.get("protocol"), &field::child(path, "protocol"), errors);
    let name = read::text(port, "name");
    if name.is_empty() {
        return;
    }
    let path = field::child(path, "name");
    for why in names::port_name(name) {
        errors.push(FieldError::invalid(&path, &name.into(), why));
    }
    if !seen.insert(name) {
        errors.push(FieldError::duplicate(&path, &name.into()));
    }
}

fn pod_status(object: &Value, errors: &mut Vec<FieldError>) {
    let Some(status) = object.get("status") else { return };
    if let Some(phase) = status.get("phase") {
        const PHASES: &[&str] = &["Failed", "Pending", "Running", "Succeeded", "Unknown"];
        if !phase.as_str().is_some_and(|word| PHASES.contains(&word)) {
            errors.push(FieldError::not_supported("status.phase", phase, PHASES));
        }
    }
    if let Some(ip) = status.get("podIP").filter(|ip| ip.as_str() != Some("")) {
        address::address(ip, "status.podIP", errors);
    }
    for (path, entry) in read::indexed(status, "podIPs", "status") {
        let ip = entry.get("ip").cloned().unwrap_or_default();
        address::address(&ip, &field::child(&path, "ip"), errors);
    }
}

pub(super) fn service(object: &Value, errors: &mut Vec<FieldError>) {
    let Some(spec) = object.get("spec") else { return };
    let mut seen = BTreeSet::new();
    let several = read::items(spec, "ports").len() > 1;
    for (path, port) in read::indexed(spec, "ports", "spec") {
        ports::transport(port.get("protocol"), &field::child(&path, "protocol"), errors);
        if let Some(number) = port.get("port") {
            ports::number(number, &field::child(&path, "port"), errors);
        }
        if let Some(target) = port.get("targetPort") {
            ports::number_or_name(target, &field::child(&path, "targetPort"), errors);
        }
        let name = read::text(port, "name");
        let name_path = field::child(&path, "name");
        if name.is_empty() && several {
            errors.push(FieldError::required(name_path, ""));
        } else if !name.is_empty() && !seen.insert(name) {
            errors.push(FieldError::duplicate(name_path, &name.into()));
        }
    }
    let typed = read::text(spec, "type");
    const TYPES: &[&str] = &["ClusterIP", "ExternalName", "LoadBalancer", "NodePort"];
    if !typed.is_empty() && !TYPES.contains(&typed) {
        errors.push(FieldError::not_supported("spec.type", &typed.into(), TYPES));
    }
    if let Some(ip) = spec.get("clusterIP").filter(|ip| !matches!(ip.as_str(), Some("" | "None"))) {
        address::address(ip, "spec.clusterIP", errors);
    }
    let as_selector = serde_json::json!({ "matchLabels": spec.get("selector") });
    selector::labels(Some(&as_selector), "spec.selector", errors);
}

pub(super) fn endpoint_slice(object: &Value, errors: &mut Vec<FieldError>) {
    const TYPES: &[&str] = &["FQDN", "IPv4", "IPv6"];
    let typed = read::text(object, "addressType");
    if typed.is_empty() {
        errors.push(FieldError::required("addressType", ""));
    } else if !TYPES.contains(&typed) {
        errors.push(FieldError::not_supported("addressType", &typed.into(), TYPES));
    }
    for (path, endpoint) in read::indexed(object, "endpoints", "") {
        let list = read::items(endpoint, "addresses");
        let addresses = field::child(&path, "addresses");
        if list.is_empty() {
            errors.push(FieldError::required(&addresses, "must contain at least 1 address"));
        }
        for (index, value) in list.iter().enumerate().filter(|_| typed != "FQDN") {
            let path = field::item(&addresses, index);
            let Some(ip) = address::address(value, &path, errors) else { continue };
            if ip.is_ipv6() != (typed == "IPv6") && TYPES.contains(&typed) {
                let rule = format!("must be an {typed} address");
                errors.push(FieldError::invalid(path, value, rule));
            }
        }
    }
    for (path, port) in read::indexed(object, "ports", "") {
        if let Some(number) = port.get("port") {
            ports::number(number, &field::child(&path, "port"), errors);
        }
        ports::transport(port.get("protocol"), &field::child(&path, "protocol"), errors);
    }
}

pub(super) fn workload(object: &Value, errors: &mut Vec<FieldError>) {
    const INTERFACE_BYTES_MAX: usize = 15;
    let Some(spec) = object.get("spec") else { return };
    let mut seen = BTreeSet::new();
    for (path, value) in read::indexed(spec, "addresses", "spec") {
        let Some(ip) = address::address(value, &path, errors) else { continue };
        if ip.is_unspecified() || ip.is_loopback() || ip.is_multicast() {
            let rule = "must be an address that other hosts can reach";
            errors.push(FieldError::invalid(&path, value, rule));
        }
        if !seen.insert(ip) {
            errors.push(FieldError::duplicate(path, value));
        }
    }
    let mut port_names = BTreeSet::new();
    for (path, port) in read::indexed(spec, "ports", "spec") {
        named_port(port, "port", &path, &mut port_names, errors);
    }
    for key in ["nodeName", "serviceAccountName"] {
        let Some(value) = spec.get(key) else { continue };
        let path = field::child("spec", key);
        let why = names::dns_subdomain(value.as_str().unwrap_or_default());
        errors.extend(why.into_iter().map(|why| FieldError::invalid(&path, value, why)));
    }
    if let Some(name) = spec.get("interface") {
        let text = name.as_str().unwrap_or_default();
        let odd = |c: char| c.is_whitespace() || c.is_control() || c == '/';
        if text.is_empty() || text.len() > INTERFACE_BYTES_MAX || text.contains(odd) {
            let rule =
                "must be the name of a network interface: 1 to 15 characters, no `/` or space";
            errors.push(FieldError::invalid("spec.interface", name, rule));
        }
    }
    if let Some(mac) = spec.get("mac")
        && mac.as_str().unwrap_or_default().parse::<Mac>().is_err()
    {
        let rule = "must be the link address of one interface, such as 02:00:5e:10:00:01";
        errors.push(FieldError::invalid("spec.mac", mac, rule));
    }
}
