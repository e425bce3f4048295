//! A question about two names to the connections that it comes to.

use std::net::IpAddr;

use bulkhead_types::{EndpointId, Names, Packet, Protocol};

use super::{AskError, CONNECTIONS_MAX, Directory, Place, Side};

/// The source port of a connection that names none: within what systems hand out by themselves.
pub const SRC_PORT: u16 = 40_000;

/// What is asked.
#[derive(Clone, Copy, Debug)]
pub struct Ask<'q> {
    pub src: &'q str,
    pub dst: &'q str,
    pub protocol: Protocol,
    pub port: Option<u16>,
    pub src_port: u16,
    pub icmp: (Option<u8>, Option<u8>),
    pub family: Option<u8>,
}

/// The first packet of one connection, and who stands at its ends.
#[derive(Clone, Debug)]
pub struct Connection {
    pub src: End,
    pub dst: End,
    /// Under which the source looked the destination up.
    pub names: Names,
    pub packet: Packet,
}

/// One end of a connection; `endpoint` is `None` for addresses outside these manifests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct End {
    pub endpoint: Option<EndpointId>,
    pub address: IpAddr,
}

impl<'q> Ask<'q> {
    pub fn new(src: &'q str, dst: &'q str, protocol: Protocol, port: Option<u16>) -> Self {
        Self { src, dst, protocol, port, src_port: SRC_PORT, icmp: (None, None), family: None }
    }
}

impl Connection {
    /// Whether both ends are one endpoint: such traffic never leaves it, so nothing judges it.
    pub fn is_to_itself(&self) -> bool {
        self.src.endpoint.is_some() && self.src.endpoint == self.dst.endpoint
    }
}

impl Directory<'_> {
    /// At least one; several where a name stands for several workloads. In an IP version that fits
    /// both ends, the protocol and what is asked for.
    pub fn connections(&self, ask: &Ask<'_>) -> Result<Vec<Connection>, AskError> {
        let src = self.side("src", ask.src, None)?;
        let dst = self.side("dst", ask.dst, ask.port)?;
        if src.places.len().saturating_mul(dst.places.len()) > CONNECTIONS_MAX {
            let (src, dst) = (ask.src.to_owned(), ask.dst.to_owned());
            return Err(AskError::TooMany { src, dst, max: CONNECTIONS_MAX });
        }
        let wish = wish(ask, &src, &dst)?;
        let mut connections = Vec::with_capacity(src.places.len() * dst.places.len());
        for from in &src.places {
            for to in &dst.places {
                // A service's other version is for others.
                if to.port.is_some() && wish.is_some_and(|wish| to.end(wish).is_none()) {
                    continue;
                }
                let (src, to_end) = ends(ask, from, to, wish)?;
                let packet = packet(ask, src.address, to_end.address, to.port)?;
                let names = dst.names.clone();
                connections.push(Connection { src, dst: to_end, names, packet });
            }
        }
        match (connections.is_empty(), wish) {
            (true, Some(family)) => {
                Err(AskError::NoAddress { role: "dst", name: ask.dst.to_owned(), family })
            }
            _ => Ok(connections),
        }
    }
}

/// The one IP version that is asked for, by whatever asks for one.
fn wish(ask: &Ask<'_>, src: &Side, dst: &Side) -> Result<Option<u8>, AskError> {
    if let Some(other) = ask.family.filter(|family| !matches!(family, 4 | 6)) {
        return Err(AskError::Family(other));
    }
    let by_protocol = match ask.protocol {
        Protocol::ICMP => Some(4),
        Protocol::ICMPV6 => Some(6),
        _ => None,
    };
    let all = [ask.family, by_protocol, src.family(), dst.family()];
    let Some(one) = all.into_iter().flatten().next() else { return Ok(None) };
    let Some(at) = all.iter().position(|other| other.is_some_and(|other| other != one)) else {
        return Ok(Some(one));
    };
    let what = |at: usize| match at {
        0 => "`family`".to_owned(),
        1 => format!("`{}`", ask.protocol),
        2 => format!("`{}`", ask.src),
        _ => format!("`{}`", ask.dst),
    };
    let first = all.iter().position(Option::is_some).unwrap_or_default();
    let other = if one == 4 { 6 } else { 4 };
    Err(AskError::Families { what: what(first), one, other_what: what(at), other })
}

fn ends(ask: &Ask<'_>, src: &Place, dst: &Place, wish: Option<u8>) -> Result<(End, End), AskError> {
    let pair = |family| Some((src.end(family)?, dst.end(family)?));
    let Some(family) = wish else {
        return pair(4).or_else(|| pair(6)).ok_or_else(|| AskError::NoCommonFamily {
            src: ask.src.to_owned(),
            dst: ask.dst.to_owned(),
        });
    };
    pair(family).ok_or_else(|| {
        let is_src = src.end(family).is_none();
        let (role, name) = if is_src { ("src", ask.src) } else { ("dst", ask.dst) };
        AskError::NoAddress { role, name: name.to_owned(), family }
    })
}

/// As far as policy sees it.
fn packet(
    ask: &Ask<'_>,
    src: IpAddr,
    dst: IpAddr,
    behind: Option<(Protocol, u16)>,
) -> Result<Packet, AskError> {
    let protocol = behind.map_or(ask.protocol, |(protocol, _)| protocol);
    let port = behind.map(|(_, port)| port).or(ask.port);
    let (dst_port, src_port) = match port {
        Some(port) if protocol.has_ports() && port > 0 => (port, ask.src_port),
        _ if protocol.has_ports() => return Err(AskError::NoPort(protocol)),
        _ => (0, 0),
    };
    let echo_request = match protocol {
        Protocol::ICMP => 8,
        Protocol::ICMPV6 => 128,
        _ => 0,
    };
    let (icmp_type, icmp_code) = match protocol.is_icmp() {
        true => (ask.icmp.0.unwrap_or(echo_request), ask.icmp.1.unwrap_or(0)),
        false => (0, 0),
    };
    Ok(Packet { src, dst, protocol, src_port, dst_port, icmp_type, icmp_code })
}

impl Side {
    /// The only version that there is, if it is one, of an end that is an address.
    fn family(&self) -> Option<u8> {
        let [only] = self.places.as_slice() else { return None };
        match (&only.endpoint, only.v4, only.v6) {
            (_, Some(_), Some(_)) | (_, None, None) => None,
            // A workload with one version is found out later, with a better word.
            (Some(_), ..) if !only.is_literal => None,
            (_, Some(_), None) => Some(4),
            (_, None, Some(_)) => Some(6),
        }
    }
}

impl Place {
    fn end(&self, family: u8) -> Option<End> {
        let address = if family == 4 { self.v4 } else { self.v6 }?;
        Some(End { endpoint: self.endpoint.clone(), address })
    }
}
