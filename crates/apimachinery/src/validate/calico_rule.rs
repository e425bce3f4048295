//! One rule of a `projectcalico.org/v3` policy.

use serde_json::Value;

use super::selector::{self, Global};
use super::{address, domains, names, read};
use crate::field::{self, FieldError};

const NETS_MAX: usize = 256;
const PORTS_MAX: usize = 50;
const NAMED_PROTOCOLS: &[&str] = &["ICMP", "ICMPv6", "SCTP", "TCP", "UDP", "UDPLite"];

/// `direction` is that of the list which holds the rule: `ingress` or `egress`.
pub(super) fn check(rule: &Value, path: &str, direction: &str, errors: &mut Vec<FieldError>) {
    http(rule, path, direction, errors);
    for side in ["source", "destination"] {
        let Some(entity) = rule.get(side) else { continue };
        let path = field::child(path, side);
        let is_remote = (side == "source") == (direction == "ingress");
        services(entity, &path, side, is_remote, errors);
        if entity.get("domains").is_some() && !(is_remote && side == "destination") {
            let detail = "names are for destinations of egress rules";
            errors.push(FieldError::forbidden(field::child(&path, "domains"), detail));
        }
        domains::list(entity, "domains", &path, errors);
    }

    if let Some(version) = rule.get("ipVersion")
        && !matches!(version.as_i64(), Some(4 | 6))
    {
        errors.push(FieldError::not_supported(
            field::child(path, "ipVersion"),
            version,
            &["4", "6"],
        ));
    }
    for key in ["protocol", "notProtocol"] {
        protocol(rule.get(key), &field::child(path, key), errors);
    }
    for key in ["icmp", "notICMP"] {
        icmp(rule, key, &field::child(path, key), errors);
    }
    let mut families = Families::default();
    if let Some(version) = rule.get("ipVersion").and_then(Value::as_i64) {
        families.see(version == 6);
    }
    for side in ["source", "destination"] {
        if let Some(entity) = rule.get(side) {
            entity_rule(rule, entity, &field::child(path, side), &mut families, errors);
        }
    }
    if families.four && families.six {
        let rule = "a rule cannot mix IPv4 and IPv6: split it in two";
        errors.push(FieldError::forbidden(path, rule));
    }
}

/// The address families that the nets of one rule speak of.
#[derive(Default)]
struct Families {
    four: bool,
    six: bool,
}

impl Families {
    fn see(&mut self, six: bool) {
        if six {
            self.six = true;
        } else {
            self.four = true;
        }
    }
}

/// Rules of policies without a namespace say which service they mean.
pub(super) fn names_its_namespace(rule: &Value, path: &str, errors: &mut Vec<FieldError>) {
    for side in ["source", "destination"] {
        let Some(services) = rule.get(side).and_then(|entity| entity.get("services")) else {
            continue;
        };
        if read::text(services, "namespace").is_empty() {
            let path = field::child(&field::child(path, side), "services.namespace");
            errors.push(FieldError::required(path, "the policy has no namespace of its own"));
        }
    }
}

fn services(entity: &Value, path: &str, side: &str, is_remote: bool, errors: &mut Vec<FieldError>) {
    let Some(services) = entity.get("services") else { return };
    let at = field::child(path, "services");
    if read::text(services, "name").is_empty() {
        errors.push(FieldError::required(field::child(&at, "name"), ""));
    }
    if !is_remote {
        let detail = "services are for destinations of egress rules and sources of ingress rules";
        errors.push(FieldError::forbidden(&at, detail));
    }
    let mut others =
        vec!["selector", "notSelector", "namespaceSelector", "nets", "serviceAccounts"];
    if side == "destination" {
        others.extend(["ports", "notPorts"]);
    }
    for other in others.into_iter().filter(|other| entity.get(*other).is_some()) {
        let detail = format!("cannot stand beside `{other}`");
        errors.push(FieldError::forbidden(&at, detail));
    }
}

fn http(rule: &Value, path: &str, direction: &str, errors: &mut Vec<FieldError>) {
    const LIST_MAX: usize = 20;
    let Some(http) = rule.get("http") else { return };
    let at = field::child(path, "http");
    let is_tcp = rule.get("protocol").is_none() || speaks(rule, "TCP", 6);
    for (holds, detail) in [
        (direction == "ingress", "is for ingress rules"),
        (read::text(rule, "action") == "Allow", "is for rules that allow"),
        (is_tcp, "is for protocol TCP"),
    ] {
        if !holds {
            errors.push(FieldError::forbidden(&at, detail));
        }
    }
    for key in ["methods", "paths"] {
        let count = read::items(http, key).len();
        if count > LIST_MAX {
            errors.push(FieldError::too_many(field::child(&at, key), count, LIST_MAX));
        }
    }
    for (path, value) in read::indexed(http, "paths", &at) {
        let given = ["exact", "prefix"].iter().filter(|key| value.get(**key).is_some()).count();
        if given != 1 {
            errors.push(FieldError::required(path, "exactly one of exact, prefix must be given"));
        }
    }
}

fn protocol(value: Option<&Value>, path: &str, errors: &mut Vec<FieldError>) {
    let Some(value) = value else { return };
    let number = value.as_i64().or_else(|| value.as_str().and_then(|text| text.parse().ok()));
    match (number, value.as_str()) {
        (Some(number), _) if (1..=255).contains(&number) => {}
        (Some(_), _) => {
            errors.push(FieldError::invalid(path, value, "must be between 1 and 255, inclusive"));
        }
        (None, Some(name)) if is_named(name) => {}
        (None, _) => errors.push(FieldError::not_supported(path, value, NAMED_PROTOCOLS)),
    }
}

fn is_named(name: &str) -> bool {
    NAMED_PROTOCOLS.iter().any(|known| known.eq_ignore_ascii_case(name))
}

/// Whether the rule's protocol is `name` or its number.
fn speaks(rule: &Value, name: &str, number: i64) -> bool {
    match rule.get("protocol") {
        Some(Value::String(text)) => text.eq_ignore_ascii_case(name) || text.parse() == Ok(number),
        Some(value) => value.as_i64() == Some(number),
        None => false,
    }
}

fn icmp(rule: &Value, key: &str, path: &str, errors: &mut Vec<FieldError>) {
    let Some(fields) = rule.get(key) else { return };
    let in_range = |key: &str, max: i64, errors: &mut Vec<FieldError>| {
        let Some(value) = fields.get(key) else { return };
        if !value.as_i64().is_some_and(|number| (0..=max).contains(&number)) {
            let detail = format!("must be between 0 and {max}, inclusive");
            errors.push(FieldError::invalid(field::child(path, key), value, detail));
        }
    };
    in_range("type", 254, errors);
    in_range("code", 255, errors);
    if let (Some(code), None) = (fields.get("code"), fields.get("type")) {
        let detail = "needs `type`: an ICMP code means nothing without its type";
        errors.push(FieldError::invalid(field::child(path, "code"), code, detail));
    }
    let other_protocol =
        rule.get("protocol").is_some() && !speaks(rule, "ICMP", 1) && !speaks(rule, "ICMPv6", 58);
    if other_protocol {
        let detail = "can only be used with protocol ICMP or ICMPv6";
        errors.push(FieldError::forbidden(path, detail));
    }
}

fn entity_rule(
    rule: &Value,
    entity: &Value,
    path: &str,
    families: &mut Families,
    errors: &mut Vec<FieldError>,
) {
    for key in ["nets", "notNets"] {
        nets(entity, key, path, families, errors);
    }
    for key in ["selector", "notSelector"] {
        selector::text(entity.get(key), &field::child(path, key), Global::Forbidden, errors);
    }
    let namespaces = field::child(path, "namespaceSelector");
    selector::text(entity.get("namespaceSelector"), &namespaces, Global::Alone, errors);
    service_accounts(entity, path, errors);
    for key in ["ports", "notPorts"] {
        port_list(rule, entity, key, path, errors);
    }
}

fn nets(
    entity: &Value,
    key: &str,
    path: &str,
    families: &mut Families,
    errors: &mut Vec<FieldError>,
) {
    let count = read::items(entity, key).len();
    if count > NETS_MAX {
        errors.push(FieldError::too_many(field::child(path, key), count, NETS_MAX));
        return;
    }
    for (path, value) in read::indexed(entity, key, path) {
        let Some(net) = address::net(value, &path, errors) else { continue };
        families.see(net.addr().is_ipv6());
        if key == "notNets" && net.prefix_len() == 0 {
            let detail = "excludes every address, so that the rule could never match";
            errors.push(FieldError::invalid(path, value, detail));
        }
    }
}

fn service_accounts(entity: &Value, path: &str, errors: &mut Vec<FieldError>) {
    let Some(accounts) = entity.get("serviceAccounts") else { return };
    let path = field::child(path, "serviceAccounts");
    let text = field::child(&path, "selector");
    selector::text(accounts.get("selector"), &text, Global::Forbidden, errors);
    for (path, name) in read::indexed(accounts, "names", &path) {
        for why in names::dns_subdomain(name.as_str().unwrap_or_default()) {
            errors.push(FieldError::invalid(&path, name, why));
        }
    }
}

fn port_list(rule: &Value, entity: &Value, key: &str, path: &str, errors: &mut Vec<FieldError>) {
    let count = read::items(entity, key).len();
    let list = field::child(path, key);
    if count > PORTS_MAX {
        errors.push(FieldError::too_many(list, count, PORTS_MAX));
        return;
    }
    let transport = [("TCP", 6), ("UDP", 17), ("SCTP", 132)];
    let has_ports = transport.iter().any(|(name, number)| speaks(rule, name, *number));
    let mut numeric = false;
    for (path, port) in read::indexed(entity, key, path) {
        numeric |= is_numeric(port);
        one_port(port, &path, errors);
    }
    let protocol = rule.get("protocol");
    if count > 0 && !has_ports && (numeric || protocol.is_some()) {
        let given = match protocol {
            Some(protocol) => format!("the protocol is {protocol}"),
            None => "the rule has no protocol".to_owned(),
        };
        let detail = format!("ports need protocol TCP, UDP or SCTP: {given}");
        errors.push(FieldError::invalid(list, &Value::from(read::items(entity, key)), detail));
    }
}

/// A number or a range `a:b`; anything else is a name.
fn is_numeric(port: &Value) -> bool {
    port.as_str().is_none_or(|text| text.starts_with(|c: char| c.is_ascii_digit()))
}

fn one_port(port: &Value, path: &str, errors: &mut Vec<FieldError>) {
    let Some(text) = port.as_str() else {
        in_range(port, port.as_i64(), path, errors);
        return;
    };
    if !is_numeric(port) {
        for why in names::label_key(text) {
            errors.push(FieldError::invalid(
                path,
                port,
                format!("is not the name of a port: {why}"),
            ));
        }
        return;
    }
    match text.split_once(':') {
        None => {
            in_range(port, text.parse().ok(), path, errors);
        }
        Some((first, last)) => {
            let (first, last) = (first.parse::<i64>().ok(), last.parse::<i64>().ok());
            let holds = in_range(port, first, path, errors) && in_range(port, last, path, errors);
            if holds && first > last {
                let detail = "the first port of a range must not be greater than the last";
                errors.push(FieldError::invalid(path, port, detail));
            }
        }
    }
}

fn in_range(port: &Value, number: Option<i64>, path: &str, errors: &mut Vec<FieldError>) -> bool {
    let holds = number.is_some_and(|number| (0..=65_535).contains(&number));
    if !holds {
        let detail = "must be a port from 0 to 65535, a range `first:last` or a name";
        errors.push(FieldError::invalid(path, port, detail));
    }
    holds
}
