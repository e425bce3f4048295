//! The few rtnetlink messages that matter, to and from bytes. Whatever does not parse is skipped.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

pub const RTM_NEWLINK: u16 = 16;
pub const RTM_GETLINK: u16 = 18;
pub const RTM_NEWROUTE: u16 = 24;
pub const RTM_GETROUTE: u16 = 26;

const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
const NLM_F_REQUEST: u16 = 0x1;
const NLM_F_DUMP_INTR: u16 = 0x10;
const NLM_F_DUMP: u16 = 0x300;

const HEADER: usize = 16;
const IFINFO: usize = 16;
const RTMSG: usize = 12;
const IFLA_IFNAME: u16 = 3;
const RTA_DST: u16 = 1;
const RTA_OIF: u16 = 4;
const RTA_PRIORITY: u16 = 6;
const RTN_UNICAST: u8 = 1;
const RTM_F_CLONED: u32 = 0x200;
/// The nested and byte-order bits of an attribute's type.
const TYPE_MASK: u16 = 0x3fff;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Listed {
    Link { ifindex: u32, name: String },
    HostRoute { address: IpAddr, ifindex: u32, priority: u32 },
}

#[derive(Debug, Default)]
pub struct Part {
    pub listed: Vec<Listed>,
    pub done: bool,
    pub interrupted: bool,
    pub error: Option<i32>,
}

/// A request to list everything of one kind.
pub fn request(kind: u16) -> Vec<u8> {
    let body = if kind == RTM_GETLINK { IFINFO } else { RTMSG };
    let mut bytes = Vec::with_capacity(HEADER + body);
    bytes.extend_from_slice(&((HEADER + body) as u32).to_ne_bytes());
    bytes.extend_from_slice(&kind.to_ne_bytes());
    bytes.extend_from_slice(&(NLM_F_REQUEST | NLM_F_DUMP).to_ne_bytes());
    bytes.resize(HEADER + body, 0);
    bytes
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..at + 2)?.try_into().ok().map(u16::from_ne_bytes)
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..at + 4)?.try_into().ok().map(u32::from_ne_bytes)
}

pub fn parse(mut bytes: &[u8]) -> Part {
    let mut part = Part::default();
    while let (Some(length), Some(kind), Some(flags)) =
        (u32_at(bytes, 0), u16_at(bytes, 4), u16_at(bytes, 6))
    {
        let Some(body) = bytes.get(HEADER..length as usize) else { break };
        part.interrupted |= flags & NLM_F_DUMP_INTR != 0;
        match kind {
            NLMSG_DONE => part.done = true,
            NLMSG_ERROR => part.error = u32_at(body, 0).map(|code| -(code as i32)),
            RTM_NEWLINK => part.listed.extend(link(body)),
            RTM_NEWROUTE => part.listed.extend(host_route(body)),
            _ => {}
        }
        bytes = bytes.get((length as usize).next_multiple_of(4)..).unwrap_or_default();
    }
    part
}

fn attributes(mut bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    std::iter::from_fn(move || {
        let length = usize::from(u16_at(bytes, 0)?);
        let kind = u16_at(bytes, 2)? & TYPE_MASK;
        let value = bytes.get(4..length)?;
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((kind, value))
    })
}

fn link(body: &[u8]) -> Option<Listed> {
    let ifindex = u32_at(body, 4)?;
    let (_, name) = attributes(body.get(IFINFO..)?).find(|(kind, _)| *kind == IFLA_IFNAME)?;
    let name = name.strip_suffix(&[0]).unwrap_or(name);
    Some(Listed::Link { ifindex, name: String::from_utf8_lossy(name).into_owned() })
}

fn host_route(body: &[u8]) -> Option<Listed> {
    let family = i32::from(*body.first()?);
    let length = *body.get(1)?;
    let kind = *body.get(7)?;
    let flags = u32_at(body, 8)?;
    if kind != RTN_UNICAST || flags & RTM_F_CLONED != 0 {
        return None;
    }
    let (mut address, mut ifindex, mut priority) = (None, None, 0);
    for (kind, value) in attributes(body.get(RTMSG..)?) {
        match kind {
            RTA_DST => address = parse_address(family, length, value),
            RTA_OIF => ifindex = u32_at(value, 0),
            RTA_PRIORITY => priority = u32_at(value, 0).unwrap_or(0),
            _ => {}
        }
    }
    Some(Listed::HostRoute { address: address?, ifindex: ifindex?, priority })
}

fn parse_address(family: i32, length: u8, value: &[u8]) -> Option<IpAddr> {
    match (family, length) {
        (libc::AF_INET, 32) => {
            <[u8; 4]>::try_from(value).ok().map(|octets| Ipv4Addr::from(octets).into())
        }
        (libc::AF_INET6, 128) => {
            <[u8; 16]>::try_from(value).ok().map(|octets| Ipv6Addr::from(octets).into())
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(kind: u16, body: &[u8]) -> Vec<u8> {
        let mut bytes = ((HEADER + body.len()) as u32).to_ne_bytes().to_vec();
        bytes.extend_from_slice(&kind.to_ne_bytes());
        bytes.resize(HEADER, 0);
        bytes.extend_from_slice(body);
        bytes
    }

    fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
        let mut bytes = ((4 + value.len()) as u16).to_ne_bytes().to_vec();
        bytes.extend_from_slice(&kind.to_ne_bytes());
        bytes.extend_from_slice(value);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes
    }

    #[test]
    fn host_routes_are_told_from_networks() {
        let route = |length: u8| {
            let mut body = vec![libc::AF_INET as u8, length, 0, 0, 254, 3, 253, RTN_UNICAST];
            body.extend_from_slice(&[0; 4]);
            body.extend(attribute(RTA_DST, &[10, 1, 2, 3]));
            body.extend(attribute(RTA_OIF, &7u32.to_ne_bytes()));
            message(RTM_NEWROUTE, &body)
        };
        let host =
            Listed::HostRoute { address: IpAddr::from([10, 1, 2, 3]), ifindex: 7, priority: 0 };
        assert_eq!(parse(&route(32)).listed, [host]);
        assert_eq!(parse(&route(24)).listed, []);
    }

    #[test]
    fn a_truncated_message_is_skipped() {
        let mut body = vec![0; IFINFO];
        body[4] = 9;
        body.extend(attribute(IFLA_IFNAME, b"bhl0\0"));
        let whole = message(RTM_NEWLINK, &body);
        let link = Listed::Link { ifindex: 9, name: "bhl0".to_owned() };
        assert_eq!(parse(&whole).listed, [link]);
        for length in 0..whole.len() {
            assert_eq!(parse(&whole[..length]).listed, [], "at {length} bytes");
        }
    }
}
