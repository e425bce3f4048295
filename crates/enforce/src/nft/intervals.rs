//! Prefixes that lie within one another, made flat: the kernel's interval maps know no longest prefix.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use bulkhead_wire::{ClassId, Table};
use ipnet::IpNet;

use super::objects::Element;

/// A prefix's first and last address, as numbers of one width.
fn bounds(net: &IpNet) -> (u128, u128) {
    let number = |address: IpAddr| match address {
        IpAddr::V4(v4) => u128::from(v4.to_bits()),
        IpAddr::V6(v6) => v6.to_bits(),
    };
    (number(net.network()), number(net.broadcast()))
}

fn key(number: u128, is_ipv4: bool) -> Vec<u8> {
    let bytes = number.to_be_bytes();
    if is_ipv4 { bytes.get(12..).unwrap_or_default().to_vec() } else { bytes.to_vec() }
}

/// Where the value changes; `None`: outside of every prefix.
type Edge = (u128, Option<u32>);

/// Disjoint intervals of one family, as elements by ascending key. `nets` come in the order of
/// [`IpNet`]: by address, and the wider before those within it.
pub fn flatten<'a>(
    nets: impl Iterator<Item = (&'a IpNet, &'a ClassId)>,
    is_ipv4: bool,
    number: impl Fn(ClassId) -> u32,
) -> Vec<Element> {
    elements(&edges(nets, is_ipv4, number), None, is_ipv4)
}

fn end_of(is_ipv4: bool) -> u128 {
    if is_ipv4 { u128::from(u32::MAX) } else { u128::MAX }
}

fn edges<'a>(
    nets: impl Iterator<Item = (&'a IpNet, &'a ClassId)>,
    is_ipv4: bool,
    number: impl Fn(ClassId) -> u32,
) -> Vec<Edge> {
    let end = end_of(is_ipv4);
    let mut edges: Vec<Edge> = Vec::new();
    let mut open: Vec<(u128, u32)> = Vec::new();
    let close = |open: &mut Vec<(u128, u32)>, edges: &mut Vec<_>, before: Option<u128>| {
        while let Some((last, _)) = open.last().copied() {
            if before.is_some_and(|first| last >= first) {
                break;
            }
            open.pop();
            if last < end {
                edges.push((last + 1, open.last().map(|(_, value)| *value)));
            }
        }
    };
    let mut sorted: Vec<((u128, u128), u32)> =
        nets.map(|(net, class)| (bounds(net), number(*class))).collect();
    sorted.sort_by_key(|((first, last), _)| (*first, std::cmp::Reverse(*last)));
    for ((first, last), value) in sorted {
        close(&mut open, &mut edges, Some(first));
        edges.push((first, Some(value)));
        open.push((last, value));
    }
    close(&mut open, &mut edges, None);
    // Of several changes at one place the last one counts.
    let mut flat: Vec<Edge> = Vec::new();
    for (at, value) in edges {
        if flat.last().is_some_and(|(known, _)| *known == at) {
            flat.pop();
        }
        if flat.last().map(|(_, known)| *known) != Some(value) {
            flat.push((at, value));
        }
    }
    flat
}

/// `before`: the value that holds up to the first edge.
fn elements(flat: &[Edge], before: Option<u32>, is_ipv4: bool) -> Vec<Element> {
    let mut elements = Vec::with_capacity(flat.len() * 2);
    let mut held = before;
    for (at, value) in flat {
        if held == *value {
            continue;
        }
        if held.is_some() {
            elements.push(Element { key: key(*at, is_ipv4), value: None });
        }
        if value.is_some() {
            elements.push(Element { key: key(*at, is_ipv4), value: *value });
        }
        held = *value;
    }
    elements
}

/// Elements that go and come where the tables differ in nothing but these prefixes, given in order.
/// Costs what lies within them.
pub fn difference(
    old: &Table<IpNet, ClassId>,
    new: &Table<IpNet, ClassId>,
    moved: &[IpNet],
    number: &impl Fn(ClassId) -> u32,
) -> (Vec<Element>, Vec<Element>) {
    let (mut were, mut are) = (BTreeSet::new(), BTreeSet::new());
    let mut last: Option<&IpNet> = None;
    for net in moved {
        if last.is_some_and(|wider| wider.contains(net)) {
            continue;
        }
        last = Some(net);
        were.extend(within(old, net, number));
        are.extend(within(new, net, number));
    }
    let gone = were.difference(&are).cloned().collect();
    (gone, are.difference(&were).cloned().collect())
}

/// The elements from the first address of a prefix to the one behind it.
fn within(
    table: &Table<IpNet, ClassId>,
    net: &IpNet,
    number: &impl Fn(ClassId) -> u32,
) -> Vec<Element> {
    let is_ipv4 = net.addr().is_ipv4();
    let (first, last) = bounds(net);
    let at = |address: u128| {
        let covering = covering(table, host(address, is_ipv4));
        covering.map(number)
    };
    let is_prefix = |(inner, _): &(&IpNet, &ClassId)| inner.prefix_len() < inner.max_prefix_len();
    let inside = table.starting_at(net).take_while(|(inner, _)| net.contains(*inner));
    let ground = covering(table, *net);
    let nets = ground.iter().map(|class| (net, class)).chain(inside.filter(is_prefix));
    let mut flat = edges(nets, is_ipv4, number);
    if flat.first().is_none_or(|(edge, _)| *edge != first) {
        flat.insert(0, (first, None));
    }
    // What ends with the prefix may go on behind it, or something else begins there.
    flat.retain(|(edge, _)| *edge <= last);
    if last < end_of(is_ipv4) {
        flat.push((last + 1, at(last + 1)));
    }
    elements(&flat, first.checked_sub(1).and_then(at), is_ipv4)
}

fn host(address: u128, is_ipv4: bool) -> IpNet {
    match u32::try_from(address) {
        Ok(bits) if is_ipv4 => IpNet::from(IpAddr::V4(Ipv4Addr::from_bits(bits))),
        _ => IpNet::from(IpAddr::V6(Ipv6Addr::from_bits(address))),
    }
}

/// The class of the longest prefix, no exact address, that the net lies within.
fn covering(table: &Table<IpNet, ClassId>, net: IpNet) -> Option<ClassId> {
    let longest = net.prefix_len().min(net.max_prefix_len() - 1);
    let wider = (0..=longest).rev().filter_map(|length| IpNet::new(net.addr(), length).ok());
    wider.map(|wider| wider.trunc()).find_map(|wider| table.get(&wider)).copied()
}

#[cfg(test)]
mod tests;
