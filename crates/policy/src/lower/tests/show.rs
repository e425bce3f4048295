//! Lowered rules as text.

use crate::rule::{Action, DomainPattern, Family, Icmp, Ports, Rule, Side};

pub fn rules(rules: Option<&[Rule]>) -> Option<Vec<String>> {
    rules.map(|rules| rules.iter().map(rule).collect())
}

pub fn owned(rules: Option<&[&str]>) -> Option<Vec<String>> {
    rules.map(|rules| rules.iter().map(|rule| (*rule).to_owned()).collect())
}

/// `0 allow v4 proto TCP | src nets 10.0.0.0/8 | dst ports 80`
fn rule(rule: &Rule) -> String {
    let action = match rule.action {
        Action::Allow => "allow",
        Action::Deny => "deny",
        Action::Pass => "pass",
        Action::Log => "log",
    };
    let mut text = format!("{} {action}", rule.index);
    match rule.family {
        Some(Family::V4) => text += " v4",
        Some(Family::V6) => text += " v6",
        None => {}
    }
    let mut add = |name: &str, value: Option<String>| {
        if let Some(value) = value {
            text += &format!(" {name} {value}");
        }
    };
    add("proto", rule.protocol.map(|p| p.to_string()));
    add("not-proto", rule.not_protocol.map(|p| p.to_string()));
    add("icmp", rule.icmp.map(icmp));
    add("not-icmp", rule.not_icmp.map(icmp));
    let request = rule.http.as_ref().map(|http| format!("{:?} {:?}", http.methods, http.paths));
    add("http", request);
    side("src", &rule.src, &mut text);
    side("dst", &rule.dst, &mut text);
    text
}

fn icmp(icmp: Icmp) -> String {
    match icmp.code {
        Some(code) => format!("{}/{code}", icmp.kind),
        None => icmp.kind.to_string(),
    }
}

fn side(name: &str, side: &Side, text: &mut String) {
    if *side == Side::default() {
        return;
    }
    *text += &format!(" | {name}");
    let mut add = |name: &str, value: Option<String>| {
        if let Some(value) = value {
            *text += &format!(" {name} {value}");
        }
    };
    let nets =
        |nets: &[ipnet::IpNet]| nets.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
    add("is", side.selector.as_ref().map(ToString::to_string));
    add("is-not", side.not_selector.as_ref().map(ToString::to_string));
    add("nets", side.nets.as_deref().map(nets));
    add("not-nets", side.not_nets.as_deref().map(nets));
    add("behind", side.service.as_ref().map(|s| format!("{}/{}", s.namespace, s.name)));
    add("nodes", side.nodes.as_ref().map(ToString::to_string));
    let names = |list: &[DomainPattern]| {
        list.iter().map(|pattern| pattern.0.as_str()).collect::<Vec<_>>().join(",")
    };
    add("names", side.domains.as_deref().map(names));
    add("ports", side.ports.as_deref().map(ports));
    add("not-ports", side.not_ports.as_deref().map(ports));
}

fn ports(ports: &Ports) -> String {
    let ranges = ports.ranges.iter().map(ToString::to_string);
    ranges.chain(ports.named.iter().cloned()).collect::<Vec<_>>().join(",")
}
