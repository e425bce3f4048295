//! `projectcalico.org/v3`: host endpoints, profiles and node settings.

use serde_json::Value;

use super::{address, calico_rule, names, ports, read, selector};
use crate::field::{self, FieldError};

/// What Linux allows.
const INTERFACE_BYTES_MAX: usize = 15;
const HOST_ACTIONS: &[&str] = &["Accept", "Drop", "Return"];
const SWITCH: &[&str] = &["Disabled", "Enabled"];

pub(super) fn endpoint(object: &Value, errors: &mut Vec<FieldError>) {
    let nothing = Value::Null;
    let spec = object.get("spec").unwrap_or(&nothing);
    if read::text(spec, "node").is_empty() {
        errors.push(FieldError::required("spec.node", "a host endpoint belongs to one node"));
    }
    let interface = read::text(spec, "interfaceName");
    if interface.len() > INTERFACE_BYTES_MAX {
        errors.push(FieldError::too_long("spec.interfaceName", INTERFACE_BYTES_MAX));
    }
    if interface.is_empty() && read::items(spec, "expectedIPs").is_empty() {
        let rule = "give an interface, `*` for all of the node, or expectedIPs";
        errors.push(FieldError::required("spec.interfaceName", rule));
    }
    for (path, value) in read::indexed(spec, "expectedIPs", "spec") {
        address::address(value, &path, errors);
    }
    for (path, name) in read::indexed(spec, "profiles", "spec") {
        for why in names::dns_subdomain(name.as_str().unwrap_or_default()) {
            errors.push(FieldError::invalid(&path, name, why));
        }
    }
    for (path, port) in read::indexed(spec, "ports", "spec") {
        if read::text(port, "name").is_empty() {
            errors.push(FieldError::required(field::child(&path, "name"), ""));
        }
        let number = port.get("port").cloned().unwrap_or_default();
        ports::number(&number, &field::child(&path, "port"), errors);
    }
}

pub(super) fn profile(object: &Value, errors: &mut Vec<FieldError>) {
    let Some(spec) = object.get("spec") else { return };
    for direction in ["ingress", "egress"] {
        for (path, rule) in read::indexed(spec, direction, "spec") {
            calico_rule::check(rule, &path, direction, errors);
        }
    }
    for (key, value) in read::entries(spec, "labelsToApply") {
        let path = "spec.labelsToApply";
        for why in names::label_key(key) {
            errors.push(FieldError::invalid(path, &key.as_str().into(), why));
        }
        for why in names::label_value(value.as_str().unwrap_or_default()) {
            errors.push(FieldError::invalid(path, value, why));
        }
    }
}

pub(super) fn settings(object: &Value, errors: &mut Vec<FieldError>) {
    let Some(spec) = object.get("spec") else { return };
    one_of(spec, "defaultEndpointToHostAction", "spec", HOST_ACTIONS, errors);
    for list in ["failsafeInboundHostPorts", "failsafeOutboundHostPorts"] {
        for (path, port) in read::indexed(spec, list, "spec") {
            let number = port.get("port").cloned().unwrap_or_default();
            ports::number(&number, &field::child(&path, "port"), errors);
            let protocol = read::text(port, "protocol").to_ascii_uppercase();
            if !protocol.is_empty() {
                let path = field::child(&path, "protocol");
                ports::transport(Some(&Value::from(protocol)), &path, errors);
            }
            if let Some(net) = port.get("net") {
                address::net(net, &field::child(&path, "net"), errors);
            }
        }
    }
}

pub(super) fn controllers(object: &Value, errors: &mut Vec<FieldError>) {
    let path = "spec.controllers.node.hostEndpoint";
    let Some(made) = object.pointer("/spec/controllers/node/hostEndpoint") else { return };
    one_of(made, "autoCreate", path, SWITCH, errors);
    one_of(made, "createDefaultHostEndpoint", path, SWITCH, errors);
    for (path, template) in read::indexed(made, "templates", path) {
        if read::text(template, "generateName").is_empty() {
            errors.push(FieldError::required(field::child(&path, "generateName"), ""));
        }
        for (path, net) in read::indexed(template, "interfaceCIDRs", &path) {
            address::net(net, &path, errors);
        }
        let nodes = template.get("nodeSelector");
        let path = field::child(&path, "nodeSelector");
        selector::text(nodes, &path, selector::Global::Forbidden, errors);
    }
}

fn one_of(
    spec: &Value,
    key: &str,
    path: &str,
    words: &'static [&'static str],
    errors: &mut Vec<FieldError>,
) {
    let Some(value) = spec.get(key) else { return };
    let holds = |text: &str| words.iter().any(|word| word.eq_ignore_ascii_case(text));
    if !value.as_str().is_some_and(holds) {
        errors.push(FieldError::not_supported(field::child(path, key), value, words));
    }
}
