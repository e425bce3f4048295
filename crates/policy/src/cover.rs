//! What rules say about one another, whatever the workloads are: whether earlier rules leave anything
//! for a later one, whether a rule can match at all, whether two rules ever meet.
//!
//! A rule's packets are a product of criteria. An earlier rule takes a piece off a later one where it
//! asks the same or less of every criterion but one, and that one is ports or nets, which can be cut.
//!
//! Invariant: sound, not complete. Whatever is claimed here holds of every packet in every world;
//! where no proof is found, nothing is claimed.

mod cut;
mod never;
#[cfg(test)]
mod tests;

use bulkhead_types::{PortRange, Selector};
use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use crate::rule::{DomainPattern, Family, Icmp, Ports, Rule, Side};
use cut::{minus_nets, minus_ranges};
pub use never::{are_apart, never};

/// Pieces that a rule may be cut into before the search is given up.
const PIECES_MAX: usize = 256;

/// Whether every packet that `later` matches is matched by one of `earlier`.
pub fn is_covered<'a>(later: &Rule, earlier: impl IntoIterator<Item = &'a Rule>) -> bool {
    let mut pieces = vec![later.clone()];
    for rule in earlier {
        let mut left = Vec::new();
        for piece in pieces {
            match minus(&piece, rule) {
                Some(rest) => left.extend(rest),
                None => left.push(piece),
            }
        }
        if left.is_empty() {
            return true;
        }
        if left.len() > PIECES_MAX {
            return false;
        }
        pieces = left;
    }
    false
}

/// Whether everything that `later` applies to is something that `earlier` applies to.
pub fn is_subject_within(later: &Selector, earlier: &Selector) -> bool {
    later.implies(earlier)
}

/// What is left of `piece`; `None` where nothing can be said to be taken off.
fn minus(piece: &Rule, by: &Rule) -> Option<Vec<Rule>> {
    if !asks_no_more(piece, by) {
        return None;
    }
    // Exactly one of these may be asked more strictly by the earlier rule.
    let cuts =
        [src_nets(piece, by), dst_nets(piece, by), src_ports(piece, by), dst_ports(piece, by)];
    let mut open = cuts.into_iter().filter(|rest| !matches!(rest, Cut::Whole));
    match (open.next(), open.next()) {
        (None, _) => Some(Vec::new()),
        (Some(Cut::Rest(rest)), None) => Some(rest),
        _ => None,
    }
}

/// One criterion that can be cut.
enum Cut {
    /// The earlier rule takes all of it.
    Whole,
    /// What is left, at least one piece, and smaller than before.
    Rest(Vec<Rule>),
    Nothing,
}

/// Whether `by` asks no more than `piece` of everything that is not cut.
fn asks_no_more(piece: &Rule, by: &Rule) -> bool {
    let Rule {
        index: _,
        action: _,
        family,
        protocol,
        not_protocol,
        icmp,
        not_icmp,
        src,
        dst,
        http,
    } = by;
    http.is_none()
        && family.is_none_or(|family| family_of(piece) == Some(family))
        && protocol.is_none_or(|protocol| piece.protocol == Some(protocol))
        && not_protocol.is_none_or(|not| match piece.protocol {
            Some(protocol) => protocol != not,
            None => piece.not_protocol == Some(not),
        })
        && icmp.is_none_or(|icmp| piece.icmp.is_some_and(|own| is_icmp_within(own, icmp)))
        && not_icmp.is_none_or(|not| never_is_icmp(piece, not))
        && side_asks_no_more(&piece.src, src, family_of(piece))
        && side_asks_no_more(&piece.dst, dst, family_of(piece))
}

fn side_asks_no_more(piece: &Side, by: &Side, family: Option<Family>) -> bool {
    let Side {
        selector,
        not_selector,
        nets: _,
        not_nets,
        service,
        nodes,
        domains,
        ports: _,
        not_ports,
    } = by;
    let wide = |wide: &Selector| piece.selector.as_ref().is_some_and(|own| own.implies(wide));
    let spared = |not: &Selector| piece.not_selector.as_ref().is_some_and(|own| not.implies(own));
    selector.as_ref().is_none_or(wide)
        && not_selector.as_ref().is_none_or(spared)
        && not_nets.iter().flat_map(|nets| nets.iter()).all(|net| never_in(piece, net, family))
        && service.as_ref().is_none_or(|service| piece.service.as_ref() == Some(service))
        && nodes
            .as_ref()
            .is_none_or(|wide| piece.nodes.as_ref().is_some_and(|own| own.implies(wide)))
        && domains.as_ref().is_none_or(|wide| {
            piece.domains.as_ref().is_some_and(|own| own.iter().all(|name| is_among(name, wide)))
        })
        && not_ports.as_ref().is_none_or(|not| never_uses(piece, not))
}

/// The IP version of every packet that the rule matches, where it is one.
fn family_of(rule: &Rule) -> Option<Family> {
    let of = |nets: &Option<std::sync::Arc<[IpNet]>>| {
        let mut families = nets.as_deref()?.iter().map(|net| Family::of(net.addr()));
        let first = families.next()?;
        families.all(|family| family == first).then_some(first)
    };
    rule.family.or_else(|| of(&rule.src.nets)).or_else(|| of(&rule.dst.nets))
}

fn is_icmp_within(own: Icmp, wide: Icmp) -> bool {
    own.kind == wide.kind && (wide.code.is_none() || wide.code == own.code)
}

fn never_is_icmp(piece: &Rule, not: Icmp) -> bool {
    piece.protocol.is_some_and(|protocol| !protocol.is_icmp())
        || piece.not_icmp.is_some_and(|own| is_icmp_within(not, own))
        || piece.icmp.is_some_and(|own| {
            own.kind != not.kind
                || matches!((own.code, not.code), (Some(own), Some(not)) if own != not)
        })
}

fn never_in(piece: &Side, net: &IpNet, family: Option<Family>) -> bool {
    family.is_some_and(|family| family != Family::of(net.addr()))
        || piece.not_nets.iter().flat_map(|nets| nets.iter()).any(|own| own.contains(net))
        || piece.nets.as_deref().is_some_and(|nets| nets.iter().all(|own| !do_meet(own, net)))
}

fn do_meet(a: &IpNet, b: &IpNet) -> bool {
    a.contains(b) || b.contains(a)
}

fn is_among(name: &DomainPattern, wide: &[DomainPattern]) -> bool {
    wide.iter().any(|pattern| {
        pattern == name
            || pattern.0.strip_prefix('*').is_some_and(|end| {
                end.starts_with('.') && name.0.len() > end.len() && name.0.ends_with(end)
            })
    })
}

/// Whether the piece never uses a port that `not` excludes.
fn never_uses(piece: &Side, not: &Ports) -> bool {
    let no_named = Ports::default();
    let own_not = piece.not_ports.as_deref().unwrap_or(&no_named);
    let is_spared = |range: &PortRange| {
        minus_ranges(&[*range], &own_not.ranges).is_empty()
            || piece.ports.as_ref().is_some_and(|own| {
                own.named.is_empty() && minus_ranges(&own.ranges, &[*range]) == own.ranges
            })
    };
    // What a name stands for depends on the side's selector, which may be another: same names only
    // say the same where both ask for the same.
    not.ranges.iter().all(is_spared) && not.named.is_empty()
}

fn src_nets(piece: &Rule, by: &Rule) -> Cut {
    cut_nets(piece, piece.src.nets.as_deref(), by.src.nets.as_deref(), |rule, nets| {
        rule.src.nets = Some(nets.into());
    })
}

fn dst_nets(piece: &Rule, by: &Rule) -> Cut {
    cut_nets(piece, piece.dst.nets.as_deref(), by.dst.nets.as_deref(), |rule, nets| {
        rule.dst.nets = Some(nets.into());
    })
}

fn cut_nets(
    piece: &Rule,
    own: Option<&[IpNet]>,
    by: Option<&[IpNet]>,
    set: impl Fn(&mut Rule, Vec<IpNet>),
) -> Cut {
    let Some(by) = by else { return Cut::Whole };
    let own = own.map_or_else(|| everywhere(family_of(piece)), <[IpNet]>::to_vec);
    let left = minus_nets(&own, by);
    if left.is_empty() {
        return Cut::Whole;
    }
    if left == own || left.len() > PIECES_MAX {
        return Cut::Nothing;
    }
    let mut rest = piece.clone();
    set(&mut rest, left);
    Cut::Rest(vec![rest])
}

fn everywhere(family: Option<Family>) -> Vec<IpNet> {
    let v4 = IpNet::V4(Ipv4Net::default());
    let v6 = IpNet::V6(Ipv6Net::default());
    match family {
        Some(Family::V4) => vec![v4],
        Some(Family::V6) => vec![v6],
        None => vec![v4, v6],
    }
}

fn src_ports(piece: &Rule, by: &Rule) -> Cut {
    cut_ports(piece, &piece.src, &by.src, |rule, ports| rule.src.ports = Some(ports.into()))
}

fn dst_ports(piece: &Rule, by: &Rule) -> Cut {
    cut_ports(piece, &piece.dst, &by.dst, |rule, ports| rule.dst.ports = Some(ports.into()))
}

fn cut_ports(piece: &Rule, own: &Side, by: &Side, set: impl Fn(&mut Rule, Ports)) -> Cut {
    let Some(wide) = &by.ports else { return Cut::Whole };
    let all = Ports { ranges: vec![PortRange::ALL], named: Vec::new() };
    let ports = match &own.ports {
        Some(ports) => ports,
        // All ports, but only of protocols that have some.
        None if piece.protocol.is_some_and(|protocol| protocol.has_ports()) => &all,
        None => return Cut::Nothing,
    };
    let is_all = minus_ranges(&[PortRange::ALL], &wide.ranges).is_empty();
    // The earlier rule's names stand for at least as much where its selector is the wider one.
    let left = Ports {
        ranges: minus_ranges(&ports.ranges, &wide.ranges),
        named: match is_all {
            true => Vec::new(),
            false => ports.named.iter().filter(|n| !wide.named.contains(n)).cloned().collect(),
        },
    };
    if left.ranges.is_empty() && left.named.is_empty() {
        return Cut::Whole;
    }
    if left == *ports {
        return Cut::Nothing;
    }
    let mut rest = piece.clone();
    set(&mut rest, left);
    Cut::Rest(vec![rest])
}
