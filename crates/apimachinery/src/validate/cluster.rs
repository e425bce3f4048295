//! `policy.networking.k8s.io`: ClusterNetworkPolicy, AdminNetworkPolicy and
//! BaselineAdminNetworkPolicy.

use serde_json::Value;

use super::{address, domains, names, ports, read, selector};
use crate::field::{self, FieldError};
use crate::meta;

const PRIORITY_MAX: i64 = 1000;
const RULES_MAX: usize = 100;
const PEERS_MAX: usize = 100;

/// What the rules of one kind may say.
struct Dialect {
    actions: &'static [&'static str],
    /// The field that narrows rules to ports.
    ports: &'static str,
}

pub(super) fn policy(object: &Value, errors: &mut Vec<FieldError>) {
    let spec = spec(object);
    let tier = spec.get("tier").cloned().unwrap_or_default();
    const TIERS: &[&str] = &["Admin", "Baseline"];
    if !tier.as_str().is_some_and(|word| TIERS.contains(&word)) {
        errors.push(FieldError::not_supported("spec.tier", &tier, TIERS));
    }
    priority(spec, errors);
    let dialect = Dialect { actions: &["Accept", "Deny", "Pass"], ports: "protocols" };
    common(spec, &dialect, errors);
}

pub(super) fn admin_policy(object: &Value, errors: &mut Vec<FieldError>) {
    priority(spec(object), errors);
    let dialect = Dialect { actions: &["Allow", "Deny", "Pass"], ports: "ports" };
    common(spec(object), &dialect, errors);
}

pub(super) fn baseline_policy(object: &Value, errors: &mut Vec<FieldError>) {
    let name = meta::name(object);
    if name != "default" {
        let rule = "there is one baseline policy, and it is called `default`";
        errors.push(FieldError::invalid("metadata.name", &Value::from(name), rule));
    }
    let dialect = Dialect { actions: &["Allow", "Deny"], ports: "ports" };
    common(spec(object), &dialect, errors);
}

fn spec(object: &Value) -> &Value {
    static NOTHING: Value = Value::Null;
    object.get("spec").unwrap_or(&NOTHING)
}

fn priority(spec: &Value, errors: &mut Vec<FieldError>) {
    let Some(value) = spec.get("priority") else {
        errors.push(FieldError::required("spec.priority", "from 0 (first) to 1000"));
        return;
    };
    if !value.as_i64().is_some_and(|number| (0..=PRIORITY_MAX).contains(&number)) {
        let rule = "must be between 0 and 1000, inclusive";
        errors.push(FieldError::invalid("spec.priority", value, rule));
    }
}

fn common(spec: &Value, dialect: &Dialect, errors: &mut Vec<FieldError>) {
    match spec.get("subject") {
        None => errors.push(FieldError::required("spec.subject", "whom the policy applies to")),
        Some(subject) => selection(subject, "spec.subject", &["namespaces", "pods"], errors),
    }
    for (direction, peers) in [("ingress", "from"), ("egress", "to")] {
        let count = read::items(spec, direction).len();
        if count > RULES_MAX {
            errors.push(FieldError::too_many(field::child("spec", direction), count, RULES_MAX));
            continue;
        }
        for (path, rule) in read::indexed(spec, direction, "spec") {
            one_rule(rule, &path, peers, dialect, errors);
        }
    }
}

fn one_rule(
    rule: &Value,
    path: &str,
    peers: &str,
    dialect: &Dialect,
    errors: &mut Vec<FieldError>,
) {
    let action = rule.get("action").cloned().unwrap_or_default();
    if !action.as_str().is_some_and(|word| dialect.actions.contains(&word)) {
        let path = field::child(path, "action");
        errors.push(FieldError::not_supported(path, &action, dialect.actions));
    }
    let list = field::child(path, peers);
    match read::items(rule, peers).len() {
        0 => errors.push(FieldError::required(list, "at least one peer")),
        count if count > PEERS_MAX => {
            errors.push(FieldError::too_many(list, count, PEERS_MAX));
        }
        _ => {}
    }
    let kinds: &[&str] = match peers {
        "from" => &["namespaces", "pods"],
        _ => &["namespaces", "pods", "nodes", "networks", "domainNames"],
    };
    for (path, peer) in read::indexed(rule, peers, path) {
        selection(peer, &path, kinds, errors);
        if peer.get("domainNames").is_some() && !matches!(action.as_str(), Some("Accept" | "Allow"))
        {
            let rule = "names can only be accepted: who would deny by name could be evaded";
            errors.push(FieldError::forbidden(field::child(&path, "domainNames"), rule));
        }
    }
    for (path, port) in read::indexed(rule, dialect.ports, path) {
        match dialect.ports {
            "protocols" => protocol(port, &path, errors),
            _ => admin_port(port, &path, errors),
        }
    }
}

/// Exactly one of `kinds`, and nothing wrong within it.
fn selection(value: &Value, path: &str, kinds: &[&str], errors: &mut Vec<FieldError>) {
    let mut given = 0;
    for (key, inner) in value.as_object().into_iter().flatten() {
        let at = field::child(path, key);
        if !kinds.contains(&key.as_str()) {
            errors.push(FieldError::forbidden(at, "cannot stand here"));
            continue;
        }
        given += 1;
        match key.as_str() {
            "pods" => {
                for part in ["namespaceSelector", "podSelector"] {
                    selector::labels(inner.get(part), &field::child(&at, part), errors);
                }
            }
            "networks" => {
                for (path, net) in read::indexed(value, "networks", path) {
                    address::cidr(net, &path, errors);
                }
            }
            "domainNames" => domains::list(value, "domainNames", path, errors),
            _ => selector::labels(Some(inner), &at, errors),
        }
    }
    if given != 1 {
        let rule = format!("exactly one of {} must be given", kinds.join(", "));
        errors.push(FieldError::required(path, &rule));
    }
}

fn protocol(value: &Value, path: &str, errors: &mut Vec<FieldError>) {
    exactly_one(value, path, &["tcp", "udp", "sctp", "destinationNamedPort"], errors);
    for key in ["tcp", "udp", "sctp"] {
        let Some(port) = value.get(key).and_then(|ports| ports.get("destinationPort")) else {
            continue;
        };
        let path = field::child(&field::child(path, key), "destinationPort");
        exactly_one(port, &path, &["number", "range"], errors);
        if let Some(number) = port.get("number") {
            ports::number(number, &field::child(&path, "number"), errors);
        }
        if let Some(ends) = port.get("range") {
            range(ends, &field::child(&path, "range"), errors);
        }
    }
    named(value.get("destinationNamedPort"), &field::child(path, "destinationNamedPort"), errors);
}

fn admin_port(value: &Value, path: &str, errors: &mut Vec<FieldError>) {
    exactly_one(value, path, &["portNumber", "portRange", "namedPort"], errors);
    if let Some(port) = value.get("portNumber") {
        let path = field::child(path, "portNumber");
        ports::transport(port.get("protocol"), &field::child(&path, "protocol"), errors);
        let number = port.get("port").cloned().unwrap_or_default();
        ports::number(&number, &field::child(&path, "port"), errors);
    }
    if let Some(ends) = value.get("portRange") {
        let path = field::child(path, "portRange");
        ports::transport(ends.get("protocol"), &field::child(&path, "protocol"), errors);
        range(ends, &path, errors);
    }
    named(value.get("namedPort"), &field::child(path, "namedPort"), errors);
}

fn range(ends: &Value, path: &str, errors: &mut Vec<FieldError>) {
    let [start, end] = ["start", "end"].map(|key| ends.get(key).cloned().unwrap_or_default());
    let holds = ports::number(&start, &field::child(path, "start"), errors)
        && ports::number(&end, &field::child(path, "end"), errors);
    if holds && start.as_i64() > end.as_i64() {
        let rule = "must not be smaller than `start`";
        errors.push(FieldError::invalid(field::child(path, "end"), &end, rule));
    }
}

fn named(name: Option<&Value>, path: &str, errors: &mut Vec<FieldError>) {
    let Some(name) = name else { return };
    for why in names::port_name(name.as_str().unwrap_or_default()) {
        errors.push(FieldError::invalid(path, name, why));
    }
}

fn exactly_one(value: &Value, path: &str, keys: &[&str], errors: &mut Vec<FieldError>) {
    let given = keys.iter().filter(|key| value.get(**key).is_some()).count();
    if given != 1 {
        let rule = format!("exactly one of {} must be given", keys.join(", "));
        errors.push(FieldError::required(path, &rule));
    }
}
