//! `networking.k8s.io/v1` NetworkPolicy.

use serde_json::Value;

use super::{address, ports, read, selector};
use crate::field::{self, FieldError};

/// What is to be deleted has no rules.
pub(super) fn staged(object: &Value, errors: &mut Vec<FieldError>) {
    check(object, errors);
    super::calico::empty_when_deleting(object, errors);
}

pub(super) fn check(object: &Value, errors: &mut Vec<FieldError>) {
    let Some(spec) = object.get("spec") else { return };
    selector::labels(spec.get("podSelector"), "spec.podSelector", errors);
    for (direction, peers) in [("ingress", "from"), ("egress", "to")] {
        for (path, rule) in read::indexed(spec, direction, "spec") {
            for (path, port) in read::indexed(rule, "ports", &path) {
                rule_port(port, &path, errors);
            }
            for (path, peer) in read::indexed(rule, peers, &path) {
                rule_peer(peer, &path, errors);
            }
        }
    }
    policy_types(spec, errors);
}

fn policy_types(spec: &Value, errors: &mut Vec<FieldError>) {
    const ALLOWED: &[&str] = &["Egress", "Ingress"];
    let types = read::items(spec, "policyTypes");
    if types.len() > ALLOWED.len() {
        let rule = "may not specify more than two policyTypes";
        errors.push(FieldError::invalid("spec.policyTypes", &Value::from(types), rule));
        return;
    }
    for (path, word) in read::indexed(spec, "policyTypes", "spec") {
        if !word.as_str().is_some_and(|word| ALLOWED.contains(&word)) {
            errors.push(FieldError::not_supported(path, word, ALLOWED));
        }
    }
}

fn rule_port(port: &Value, path: &str, errors: &mut Vec<FieldError>) {
    ports::transport(port.get("protocol"), &field::child(path, "protocol"), errors);
    let end_path = field::child(path, "endPort");
    let end = port.get("endPort");
    let Some(first) = port.get("port") else {
        if let Some(end) = end {
            let rule = "may not be specified when `port` is not specified";
            errors.push(FieldError::invalid(end_path, end, rule));
        }
        return;
    };
    ports::number_or_name(first, &field::child(path, "port"), errors);
    let Some(end) = end else { return };
    if first.is_string() {
        let rule = "may not be specified when `port` is non-numeric";
        errors.push(FieldError::invalid(end_path, end, rule));
    } else if end.as_i64() < first.as_i64() {
        let rule = "must be greater than or equal to `port`";
        errors.push(FieldError::invalid(end_path, end, rule));
    } else {
        ports::number(end, &end_path, errors);
    }
}

fn rule_peer(peer: &Value, path: &str, errors: &mut Vec<FieldError>) {
    let mut kinds = 0;
    for key in ["podSelector", "namespaceSelector"] {
        if let Some(labels) = peer.get(key) {
            kinds += 1;
            selector::labels(Some(labels), &field::child(path, key), errors);
        }
    }
    match peer.get("ipBlock") {
        None if kinds == 0 => errors.push(FieldError::required(path, "must specify a peer")),
        None => {}
        Some(_) if kinds > 0 => {
            let rule = "may not specify both ipBlock and another peer";
            errors.push(FieldError::forbidden(path, rule));
        }
        Some(block) => ip_block(block, &field::child(path, "ipBlock"), errors),
    }
}

fn ip_block(block: &Value, path: &str, errors: &mut Vec<FieldError>) {
    let cidr_path = field::child(path, "cidr");
    let Some(cidr) = block.get("cidr").filter(|cidr| cidr.as_str() != Some("")) else {
        errors.push(FieldError::required(cidr_path, ""));
        return;
    };
    let outer = address::cidr(cidr, &cidr_path, errors);
    for (path, except) in read::indexed(block, "except", path) {
        let inner = address::cidr(except, &path, errors);
        if let (Some(outer), Some(inner)) = (outer, inner)
            && (!outer.contains(&inner) || outer.prefix_len() >= inner.prefix_len())
        {
            let rule = format!("must be a strict subset of `{outer}`");
            errors.push(FieldError::invalid(path, except, rule));
        }
    }
}
