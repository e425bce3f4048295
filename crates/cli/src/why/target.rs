//! `DST:PORT[/PROTO]` as written on the command line.

use anyhow::{Context, bail};
use bulkhead_types::Protocol;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    pub host: String,
    pub protocol: Protocol,
    pub port: Option<u16>,
    pub icmp_type: Option<u8>,
}

/// `shop/db:5432`, `shop/dns:53/UDP`, `[2001:db8::1]:443`, `shop/db/ICMP`, `10.0.0.1:8/ICMP`,
/// `svc:shop/web:80`, `svc:shop/web:http`.
pub fn parse(text: &str) -> anyhow::Result<Target> {
    let Some(service) = text.strip_prefix("svc:") else { return parse_plain(text) };
    // A Service's ports have names too, and say their protocol themselves.
    if let Some((_, port)) = service.split_once(':')
        && !port.starts_with(|first: char| first.is_ascii_digit())
    {
        let host = text.to_owned();
        return Ok(Target { host, protocol: Protocol::TCP, port: None, icmp_type: None });
    }
    let target = parse_plain(service)?;
    Ok(Target { host: format!("svc:{}", target.host), ..target })
}

fn parse_plain(text: &str) -> anyhow::Result<Target> {
    let (host, rest) = match text.strip_prefix('[') {
        Some(inner) => inner.split_once(']').with_context(|| {
            format!("`{text}`: the bracket before an IPv6 address needs its `]`")
        })?,
        None => match text.rfind(':') {
            Some(colon) if text.matches(':').count() == 1 => text.split_at(colon),
            Some(_) => {
                bail!("`{text}`: write an IPv6 address in brackets, as in `[2001:db8::1]:443`")
            }
            None => without_port(text),
        },
    };
    let (port, protocol) = match rest.strip_prefix(':') {
        Some(rest) => match rest.split_once('/') {
            Some((port, protocol)) => (Some(port), Some(protocol)),
            None => (Some(rest), None),
        },
        None => (None, rest.strip_prefix('/')),
    };
    let protocol: Protocol = match protocol {
        Some(name) => name.parse().with_context(|| format!("`{text}`"))?,
        None => Protocol::TCP,
    };
    let number = match port {
        Some(port) => Some(port.parse::<u16>().with_context(|| {
            format!("`{text}`: `{port}` is not a port, which is a number from 1 to 65535")
        })?),
        None => None,
    };
    if host.is_empty() {
        bail!("`{text}`: name a destination before the port");
    }
    if protocol.has_ports() && number.is_none_or(|port| port == 0) {
        bail!("`{text}`: {protocol} needs a port, as in `{host}:80`");
    }
    let host = host.to_owned();
    if protocol.is_icmp() {
        let icmp_type = number
            .map(u8::try_from)
            .transpose()
            .with_context(|| format!("`{text}`: an ICMP type is 0 to 255"))?;
        return Ok(Target { host, protocol, port: None, icmp_type });
    }
    Ok(Target { host, protocol, port: number, icmp_type: None })
}

/// `shop/db/ICMP`: the last part is a protocol only if it is one that has no ports.
fn without_port(text: &str) -> (&str, &str) {
    match text.rfind('/') {
        Some(slash) if is_portless(&text[slash..]) => text.split_at(slash),
        _ => (text, ""),
    }
}

fn is_portless(part: &str) -> bool {
    part.trim_start_matches('/').parse::<Protocol>().is_ok_and(|protocol| !protocol.has_ports())
}
