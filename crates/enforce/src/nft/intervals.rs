//! Prefixes that lie within one another, made flat: the kernel's interval maps know no longest prefix.

use std::net::IpAddr;

use bulkhead_wire::ClassId;
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

/// Disjoint intervals of one family, as elements by ascending key. `nets` come in the order of
/// [`IpNet`]: by address, and the wider before those within it.
pub fn flatten<'a>(
    nets: impl Iterator<Item = (&'a IpNet, &'a ClassId)>,
    is_ipv4: bool,
    number: impl Fn(ClassId) -> u32,
) -> Vec<Element> {
    let end = if is_ipv4 { u128::from(u32::MAX) } else { u128::MAX };
    // Where the value changes; `None`: outside of every prefix.
    let mut edges: Vec<(u128, Option<u32>)> = Vec::new();
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
    let mut flat: Vec<(u128, Option<u32>)> = Vec::new();
    for (at, value) in edges {
        if flat.last().is_some_and(|(known, _)| *known == at) {
            flat.pop();
        }
        if flat.last().map(|(_, known)| *known) != Some(value) {
            flat.push((at, value));
        }
    }
    elements(&flat, is_ipv4)
}

fn elements(flat: &[(u128, Option<u32>)], is_ipv4: bool) -> Vec<Element> {
    let mut elements = Vec::with_capacity(flat.len() * 2);
    let mut is_open = false;
    for (at, value) in flat {
        if is_open {
            elements.push(Element { key: key(*at, is_ipv4), value: None });
        }
        if value.is_some() {
            elements.push(Element { key: key(*at, is_ipv4), value: *value });
        }
        is_open = value.is_some();
    }
    elements
}

#[cfg(test)]
mod tests;
