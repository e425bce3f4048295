//! What a rule asks for, in words.

use ipnet::IpNet;

use crate::decide::Criterion;
use crate::rule::{Family, Icmp, Ports, Rule, Side};

/// Longest list that is written out.
const LIST_MAX: usize = 8;

/// The criterion of `rule` that did not hold, with what it asks.
pub fn miss(rule: &Rule, criterion: Criterion) -> String {
    let (src, dst) = (&rule.src, &rule.dst);
    match criterion {
        Criterion::IpVersion => match rule.family {
            Some(Family::V4) => "ipVersion 4".to_owned(),
            Some(Family::V6) => "ipVersion 6".to_owned(),
            None => "ipVersion".to_owned(),
        },
        Criterion::Protocol => shown("protocol", rule.protocol),
        Criterion::NotProtocol => shown("notProtocol", rule.not_protocol),
        Criterion::Icmp => icmp("icmp", rule.icmp),
        Criterion::NotIcmp => icmp("notICMP", rule.not_icmp),
        Criterion::Http => "http".to_owned(),
        Criterion::SourceService => service("source", src),
        Criterion::DestinationService => service("destination", dst),
        Criterion::SourceNodes => shown("source nodes", src.nodes.as_ref()),
        Criterion::DestinationNodes => shown("destination nodes", dst.nodes.as_ref()),
        Criterion::SourceDomains => domains("source", src),
        Criterion::DestinationDomains => domains("destination", dst),
        Criterion::SourceSelector => selector("source", src),
        Criterion::DestinationSelector => selector("destination", dst),
        Criterion::SourceNotSelector => not_selector("source", src),
        Criterion::DestinationNotSelector => not_selector("destination", dst),
        Criterion::SourceNets => nets("source nets", src.nets.as_deref()),
        Criterion::DestinationNets => nets("destination nets", dst.nets.as_deref()),
        Criterion::SourceNotNets => nets("source notNets", src.not_nets.as_deref()),
        Criterion::DestinationNotNets => nets("destination notNets", dst.not_nets.as_deref()),
        Criterion::SourcePorts => ports("source ports", src.ports.as_deref()),
        Criterion::DestinationPorts => ports("destination ports", dst.ports.as_deref()),
        Criterion::SourceNotPorts => ports("source notPorts", src.not_ports.as_deref()),
        Criterion::DestinationNotPorts => ports("destination notPorts", dst.not_ports.as_deref()),
    }
}

fn shown(name: &str, value: Option<impl std::fmt::Display>) -> String {
    value.map_or_else(|| name.to_owned(), |value| format!("{name} {value}"))
}

fn icmp(name: &str, value: Option<Icmp>) -> String {
    match value {
        Some(Icmp { kind, code: Some(code) }) => format!("{name} type {kind} code {code}"),
        Some(Icmp { kind, code: None }) => format!("{name} type {kind}"),
        None => name.to_owned(),
    }
}

fn service(end: &str, side: &Side) -> String {
    let service = side.service.as_ref().map(|s| format!("{}/{}", s.namespace, s.name));
    shown(&format!("{end} service"), service)
}

fn domains(end: &str, side: &Side) -> String {
    let patterns = side.domains.iter().flat_map(|list| list.iter());
    list(&format!("{end} domains"), patterns.map(|pattern| pattern.0.clone()))
}

fn selector(end: &str, side: &Side) -> String {
    shown(&format!("{end} selector"), side.selector.as_ref())
}

fn not_selector(end: &str, side: &Side) -> String {
    shown(&format!("{end} notSelector"), side.not_selector.as_ref())
}

fn nets(name: &str, nets: Option<&[IpNet]>) -> String {
    list(name, nets.into_iter().flatten().map(ToString::to_string))
}

fn ports(name: &str, ports: Option<&Ports>) -> String {
    let ranges = ports.into_iter().flat_map(|ports| ports.ranges.iter().map(ToString::to_string));
    let names = ports.into_iter().flat_map(|ports| ports.named.iter().cloned());
    list(name, ranges.chain(names))
}

fn list(name: &str, items: impl Iterator<Item = String>) -> String {
    let items: Vec<String> = items.collect();
    let shown = items.iter().take(LIST_MAX).cloned().collect::<Vec<_>>().join(", ");
    match items.len().saturating_sub(LIST_MAX) {
        0 => format!("{name} {shown}"),
        more => format!("{name} {shown} and {more} more"),
    }
}
