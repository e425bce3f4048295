//! Rules that match nothing, and pairs of rules that never meet.

use bulkhead_types::PortRange;
use bulkhead_types::selector::Restrictions;
use ipnet::IpNet;

use super::cut::{minus_nets, minus_ranges};
use super::{do_meet, family_of, is_icmp_within};
use crate::rule::{Family, Ports, Rule, Side};

/// Why the rule matches no packet in any world; `None` where it may match one.
pub fn never(rule: &Rule) -> Option<String> {
    if let (Some(protocol), Some(not)) = (rule.protocol, rule.not_protocol)
        && protocol == not
    {
        return Some(format!("protocol and notProtocol are both {protocol}"));
    }
    if let (Some(icmp), Some(not)) = (rule.icmp, rule.not_icmp)
        && is_icmp_within(icmp, not)
    {
        return Some("notICMP excludes everything that icmp asks for".to_owned());
    }
    let has_no_ports = rule.protocol.is_some_and(|protocol| !protocol.has_ports());
    for (name, side) in [("source", &rule.src), ("destination", &rule.dst)] {
        if has_no_ports && side.ports.is_some() {
            return Some(format!("the protocol has no ports, and the {name} asks for some"));
        }
        if let Some(why) = never_side(side, rule.family) {
            return Some(format!("the {name}'s {why}"));
        }
    }
    let families = [family_of_nets(&rule.src), family_of_nets(&rule.dst), rule.family];
    let mut families = families.into_iter().flatten();
    let first = families.next()?;
    families
        .any(|family| family != first)
        .then(|| "it asks for IPv4 and for IPv6 addresses at once".to_owned())
}

fn never_side(side: &Side, family: Option<Family>) -> Option<String> {
    if let Some(selector) = &side.selector {
        if selector.restrictions() == Restrictions::Impossible {
            return Some(format!("selector `{selector}` contradicts itself"));
        }
        if side.not_selector.as_ref().is_some_and(|not| selector.implies(not)) {
            return Some("notSelector excludes everything that its selector selects".to_owned());
        }
    }
    if let Some(nets) = side.nets.as_deref() {
        let is_of = |net: &&IpNet| family.is_none_or(|family| family == Family::of(net.addr()));
        let own: Vec<IpNet> = nets.iter().filter(is_of).copied().collect();
        if own.is_empty() && !nets.is_empty() {
            return Some("nets are of the other IP version".to_owned());
        }
        if side.not_nets.as_deref().is_some_and(|not| minus_nets(&own, not).is_empty()) {
            return Some("notNets exclude all of its nets".to_owned());
        }
    }
    if let (Some(ports), Some(not)) = (&side.ports, &side.not_ports)
        && ports.named.is_empty()
        && minus_ranges(&ports.ranges, &not.ranges).is_empty()
    {
        return Some("notPorts exclude all of its ports".to_owned());
    }
    None
}

fn family_of_nets(side: &Side) -> Option<Family> {
    let mut families = side.nets.as_deref()?.iter().map(|net| Family::of(net.addr()));
    let first = families.next()?;
    families.all(|family| family == first).then_some(first)
}

/// Whether no packet can match both. Selectors are not looked at: one address may belong to several
/// things with labels.
pub fn are_apart(a: &Rule, b: &Rule) -> bool {
    let other = |one: Option<_>, two: Option<_>| matches!((one, two), (Some(a), Some(b)) if a != b);
    let excluded = |a: &Rule, b: &Rule| a.protocol.is_some() && a.protocol == b.not_protocol;
    let other_icmp = match (a.icmp, b.icmp) {
        (Some(a), Some(b)) => {
            a.kind != b.kind || matches!((a.code, b.code), (Some(a), Some(b)) if a != b)
        }
        _ => false,
    };
    other(a.protocol, b.protocol)
        || excluded(a, b)
        || excluded(b, a)
        || matches!((family_of(a), family_of(b)), (Some(a), Some(b)) if a != b)
        || other_icmp
        || sides_apart(&a.src, &b.src)
        || sides_apart(&a.dst, &b.dst)
}

fn sides_apart(a: &Side, b: &Side) -> bool {
    let nets = |one: &[IpNet], two: &[IpNet]| {
        one.iter().all(|net| two.iter().all(|other| !do_meet(net, other)))
    };
    let ports = |one: &Ports, two: &Ports| {
        let meet = |x: &PortRange, y: &PortRange| x.start() <= y.end() && y.start() <= x.end();
        one.named.is_empty()
            && two.named.is_empty()
            && one.ranges.iter().all(|x| two.ranges.iter().all(|y| !meet(x, y)))
    };
    matches!((&a.nets, &b.nets), (Some(a), Some(b)) if nets(a, b))
        || matches!((&a.ports, &b.ports), (Some(a), Some(b)) if ports(a, b))
}
