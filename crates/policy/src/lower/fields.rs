//! Single fields: protocols, ports, nets, ICMP.
//!
//! Each function gives `None` for a field that is unset, and for one that is broken after saying so.

use std::fmt::Display;
use std::net::IpAddr;
use std::sync::Arc;

use bulkhead_api::calico::IcmpFields;
use bulkhead_types::{PortRange, Protocol};
use ipnet::IpNet;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::Notes;
use crate::rule::{Family, Icmp, Ports};

/// `10.0.0.0/8`, or one address; host bits are cleared.
pub fn net(text: &str) -> Option<IpNet> {
    let net = match text.parse::<IpNet>() {
        Ok(net) => net,
        Err(_) => IpNet::from(text.parse::<IpAddr>().ok()?),
    };
    Some(net.trunc())
}

/// `None` where the list is unset or empty: both ask nothing.
pub fn nets(
    list: Option<&[String]>,
    field: &dyn Display,
    notes: &mut Notes,
) -> Option<Arc<[IpNet]>> {
    let list = list.filter(|list| !list.is_empty())?;
    let mut nets = Vec::with_capacity(list.len());
    for (position, text) in list.iter().enumerate() {
        match net(text) {
            Some(net) => nets.push(net),
            None => notes.error(
                format!("{field}[{position}]"),
                format!("`{text}` is not an IP address or a CIDR such as `10.0.0.0/8`"),
            ),
        }
    }
    nets.sort_unstable();
    nets.dedup();
    Some(nets.into())
}

/// A rule that excludes everything can never match: surely not what was meant.
pub fn not_nets(
    list: Option<&[String]>,
    field: &dyn Display,
    notes: &mut Notes,
) -> Option<Arc<[IpNet]>> {
    let nets = nets(list, field, notes)?;
    if let Some(all) = nets.iter().find(|net| net.prefix_len() == 0) {
        notes.error(field, format!("`{all}` excludes every address of its family"));
    }
    Some(nets)
}

/// The protocol, and the family that its *name* implies: ICMP is IPv4's, ICMPv6 is IPv6's. A number
/// implies none.
pub fn protocol(
    value: Option<&IntOrString>,
    field: &dyn Display,
    notes: &mut Notes,
) -> Option<(Protocol, Option<Family>)> {
    let parsed = match value? {
        IntOrString::Int(number) => u8::try_from(*number)
            .ok()
            .filter(|number| *number > 0)
            .map(|number| (Protocol(number), None))
            .ok_or_else(|| format!("`{number}` is not a protocol number: use 1 to 255")),
        IntOrString::String(text) => text.parse::<Protocol>().map_err(|e| e.to_string()).map(|p| {
            let is_name = text.parse::<u8>().is_err();
            let family = match p {
                Protocol::ICMP if is_name => Some(Family::V4),
                Protocol::ICMPV6 if is_name => Some(Family::V6),
                _ => None,
            };
            (p, family)
        }),
    };
    parsed.map_err(|message| notes.error(field, message)).ok()
}

pub fn ip_version(value: Option<i64>, field: &dyn Display, notes: &mut Notes) -> Option<Family> {
    match value? {
        4 => Some(Family::V4),
        6 => Some(Family::V6),
        other => {
            notes.error(field, format!("`{other}` is not an IP version: use 4 or 6"));
            None
        }
    }
}

/// ICMP criteria without a type ask nothing.
pub fn icmp(value: Option<&IcmpFields>, field: &dyn Display, notes: &mut Notes) -> Option<Icmp> {
    let value = value?;
    let Some(kind) = value.icmp_type else {
        if value.code.is_some() {
            notes.error(format!("{field}.code"), "a code needs a `type`");
        }
        return None;
    };
    let Some(kind) = u8::try_from(kind).ok().filter(|kind| *kind < 255) else {
        notes.error(format!("{field}.type"), format!("`{kind}` is out of range: use 0 to 254"));
        return None;
    };
    let code = match value.code.map(u8::try_from) {
        None => None,
        Some(Ok(code)) => Some(code),
        Some(Err(_)) => {
            notes.error(format!("{field}.code"), "the code is out of range: use 0 to 255");
            return None;
        }
    };
    Some(Icmp { kind, code })
}

/// Numbers, ranges `a:b` and names. `protocol` is the rule's: numbers need one that has ports, and
/// with none only names are legal, which then stand for any protocol.
pub fn ports(
    list: Option<&[IntOrString]>,
    protocol: Option<Protocol>,
    field: &dyn Display,
    notes: &mut Notes,
) -> Option<Arc<Ports>> {
    let list = list.filter(|list| !list.is_empty())?;
    let mut ports = Ports::default();
    for (position, value) in list.iter().enumerate() {
        if let Err(message) = port(value, &mut ports) {
            notes.error(format!("{field}[{position}]"), message);
        }
    }
    match protocol {
        Some(protocol) if !protocol.has_ports() => {
            notes.error(field, format!("protocol `{protocol}` has no ports: use TCP, UDP or SCTP"));
        }
        None if !ports.ranges.is_empty() => {
            notes.error(field, "numbers need `protocol` TCP, UDP or SCTP");
        }
        _ => {}
    }
    ports.ranges.sort_unstable();
    ports.ranges.dedup();
    ports.named.sort_unstable();
    ports.named.dedup();
    Some(Arc::new(ports))
}

fn port(value: &IntOrString, ports: &mut Ports) -> Result<(), String> {
    let range = match value {
        IntOrString::Int(number) => number_range(*number, *number),
        IntOrString::String(text) => match text.split_once(':') {
            Some((start, end)) => match (start.parse::<i32>(), end.parse::<i32>()) {
                (Ok(start), Ok(end)) => number_range(start, end),
                _ => return Err(format!("`{text}` is not a range such as `8000:8010`")),
            },
            None => match text.parse::<i32>() {
                Ok(number) => number_range(number, number),
                Err(_) if is_port_name(text) => {
                    ports.named.push(text.clone());
                    return Ok(());
                }
                Err(_) => return Err(format!("`{text}` is not a port, a range or a port name")),
            },
        },
    };
    ports.ranges.push(range.ok_or_else(|| {
        let IntOrString::String(text) = value else {
            return "a port is 0 to 65535".to_owned();
        };
        format!("`{text}` is out of order or not within 0 to 65535")
    })?);
    Ok(())
}

fn number_range(start: i32, end: i32) -> Option<PortRange> {
    PortRange::new(u16::try_from(start).ok()?, u16::try_from(end).ok()?)
}

fn is_port_name(text: &str) -> bool {
    (1..=128).contains(&text.len())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'))
}
