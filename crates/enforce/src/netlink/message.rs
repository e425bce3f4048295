//! The few rtnetlink messages that matter, to and from bytes. Whatever does not parse is skipped.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use bulkhead_types::Mac;

pub const RTM_NEWLINK: u16 = 16;
pub const RTM_DELLINK: u16 = 17;
pub const RTM_GETLINK: u16 = 18;
pub const RTM_NEWADDR: u16 = 20;
pub const RTM_DELADDR: u16 = 21;
pub const RTM_GETADDR: u16 = 22;
pub const RTM_NEWROUTE: u16 = 24;
pub const RTM_DELROUTE: u16 = 25;
pub const RTM_GETROUTE: u16 = 26;

const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
const NLM_F_REQUEST: u16 = 0x1;
const NLM_F_MULTI: u16 = 0x2;
const NLM_F_DUMP_INTR: u16 = 0x10;
/// Of a notification: what it tells of stands in the place of something else.
const NLM_F_REPLACE: u16 = 0x100;
const NLM_F_DUMP: u16 = 0x300;

const HEADER: usize = 16;
const IFINFO: usize = 16;
const IFADDR: usize = 8;
const RTMSG: usize = 12;
const IFLA_ADDRESS: u16 = 1;
const IFLA_IFNAME: u16 = 3;
const IFLA_LINK: u16 = 5;
const IFLA_MASTER: u16 = 10;
const IFLA_WIRELESS: u16 = 11;
const IFLA_LINKINFO: u16 = 18;
const IFF_UP: u32 = 0x1;
const IFF_LOOPBACK: u32 = 0x8;
const IFLA_LINK_NETNSID: u16 = 37;
const IFLA_TARGET_NETNSID: u16 = 46;
const IFLA_INFO_KIND: u16 = 1;
const IFA_ADDRESS: u16 = 1;
const IFA_LOCAL: u16 = 2;
const IFA_TARGET_NETNSID: u16 = 10;
const RTA_DST: u16 = 1;
const RTA_OIF: u16 = 4;
const RTA_GATEWAY: u16 = 5;
const RTA_PRIORITY: u16 = 6;
const RTA_VIA: u16 = 18;
const RTN_UNICAST: u8 = 1;
const RTM_F_CLONED: u32 = 0x200;
/// The nested and byte-order bits of an attribute's type.
const TYPE_MASK: u16 = 0x3fff;
/// Kinds of links that have exactly one other end.
const PAIRED: [&[u8]; 2] = [b"veth", b"netkit"];

/// The other end of a link, in another network namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FarEnd {
    /// How the namespace that was asked calls the other one.
    pub netns: i32,
    pub ifindex: u32,
}

/// A link as one message tells of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    pub ifindex: u32,
    pub name: String,
    /// Zero where it has none of six bytes.
    pub mac: [u8; 6],
    /// The interface that it is a port of.
    pub master: Option<u32>,
    pub is_up: bool,
    pub is_loopback: bool,
    pub is_bridge: bool,
    pub far: Option<FarEnd>,
}

impl Seen {
    pub fn mac(&self) -> Option<Mac> {
        Mac::try_from(self.mac).ok()
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Listed {
    Link(Seen),
    HostRoute { address: IpAddr, ifindex: u32, priority: u32 },
    Address { address: IpAddr, ifindex: u32 },
}

impl Listed {
    /// The link that it is or is about.
    pub fn ifindex(&self) -> u32 {
        match self {
            Self::Link(Seen { ifindex, .. })
            | Self::HostRoute { ifindex, .. }
            | Self::Address { ifindex, .. } => *ifindex,
        }
    }
}

#[derive(Debug, Default)]
pub struct Part {
    pub listed: Vec<Listed>,
    /// What is there no more, or in the place of something else.
    pub gone: Vec<Listed>,
    pub done: bool,
    pub interrupted: bool,
    /// It belongs to a list: more comes until `done`.
    pub goes_on: bool,
    pub error: Option<i32>,
}

fn message(kind: u16, flags: u16, body: &[u8], netns: Option<(u16, i32)>) -> Vec<u8> {
    let attribute = if netns.is_some() { 8 } else { 0 };
    let length = HEADER + body.len() + attribute;
    let mut bytes = Vec::with_capacity(length);
    bytes.extend_from_slice(&(length as u32).to_ne_bytes());
    bytes.extend_from_slice(&kind.to_ne_bytes());
    bytes.extend_from_slice(&(NLM_F_REQUEST | flags).to_ne_bytes());
    bytes.resize(HEADER, 0);
    bytes.extend_from_slice(body);
    if let Some((attribute, netns)) = netns {
        bytes.extend_from_slice(&8u16.to_ne_bytes());
        bytes.extend_from_slice(&attribute.to_ne_bytes());
        bytes.extend_from_slice(&netns.to_ne_bytes());
    }
    bytes
}

/// A request to list everything of one kind.
pub fn request(kind: u16) -> Vec<u8> {
    let body: &[u8] = if kind == RTM_GETLINK { &[0; IFINFO] } else { &[0; RTMSG] };
    message(kind, NLM_F_DUMP, body, None)
}

/// A request for one link, of another network namespace where one is named.
pub fn link_request(ifindex: u32, netns: Option<i32>) -> Vec<u8> {
    let mut body = [0; IFINFO];
    if let Some(index) = body.get_mut(4..8) {
        index.copy_from_slice(&ifindex.to_ne_bytes());
    }
    message(RTM_GETLINK, 0, &body, netns.map(|netns| (IFLA_TARGET_NETNSID, netns)))
}

/// A request to list the addresses of one link of another network namespace. The kernel heeds the
/// namespace and the link only for sockets that ask for strict checks.
pub fn addresses_request(at: FarEnd, family: i32) -> Vec<u8> {
    let [a, b, c, d] = at.ifindex.to_ne_bytes();
    let body: [u8; IFADDR] = [family as u8, 0, 0, 0, a, b, c, d];
    message(RTM_GETADDR, NLM_F_DUMP, &body, Some((IFA_TARGET_NETNSID, at.netns)))
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
        part.goes_on |= flags & NLM_F_MULTI != 0;
        match kind {
            NLMSG_DONE => part.done = true,
            NLMSG_ERROR => part.error = u32_at(body, 0).map(|code| -(code as i32)),
            RTM_NEWLINK => part.listed.extend(link(body)),
            RTM_NEWADDR => part.listed.extend(link_address(body)),
            RTM_NEWROUTE if flags & NLM_F_REPLACE != 0 => part.gone.extend(host_route(body)),
            // What lies behind a gateway is nobody's here: the link leads to others too.
            RTM_NEWROUTE if has_gateway(body) => {}
            RTM_NEWROUTE => part.listed.extend(host_route(body)),
            RTM_DELLINK => part.gone.extend(link(body)),
            RTM_DELADDR => part.gone.extend(link_address(body)),
            RTM_DELROUTE => part.gone.extend(host_route(body)),
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

fn text(value: &[u8]) -> &[u8] {
    value.strip_suffix(&[0]).unwrap_or(value)
}

/// Messages about a link as a port of its bridge, and about wireless networks, do not tell all of it.
fn link(body: &[u8]) -> Option<Listed> {
    let flags = u32_at(body, 8)?;
    let mut seen = Seen {
        ifindex: u32_at(body, 4)?,
        is_up: flags & IFF_UP != 0,
        is_loopback: flags & IFF_LOOPBACK != 0,
        ..Seen::default()
    };
    let is_whole = i32::from(*body.first()?) == libc::AF_UNSPEC;
    let (mut name, mut other, mut netns, mut is_paired) = (None, None, None, false);
    for (kind, value) in attributes(body.get(IFINFO..)?) {
        match kind {
            IFLA_IFNAME => name = Some(String::from_utf8_lossy(text(value)).into_owned()),
            IFLA_ADDRESS => seen.mac = value.try_into().unwrap_or_default(),
            IFLA_LINK => other = u32_at(value, 0),
            IFLA_MASTER => seen.master = u32_at(value, 0),
            IFLA_LINK_NETNSID => netns = u32_at(value, 0).map(|id| id as i32),
            IFLA_WIRELESS => return None,
            IFLA_LINKINFO => {
                let kind = attributes(value).find(|(kind, _)| *kind == IFLA_INFO_KIND);
                let kind = kind.map(|(_, value)| text(value)).unwrap_or_default();
                is_paired = PAIRED.contains(&kind);
                seen.is_bridge = kind == b"bridge";
            }
            _ => {}
        }
    }
    let far = other.zip(netns).filter(|(_, netns)| is_paired && *netns >= 0);
    seen.far = far.map(|(ifindex, netns)| FarEnd { netns, ifindex });
    seen.name = name?;
    is_whole.then_some(Listed::Link(seen))
}

fn link_address(body: &[u8]) -> Option<Listed> {
    let family = i32::from(*body.first()?);
    let ifindex = u32_at(body, 4)?;
    let (mut local, mut address) = (None, None);
    for (kind, value) in attributes(body.get(IFADDR..)?) {
        match kind {
            IFA_LOCAL => local = whole_address(family, value),
            // Of a point-to-point link this is the other side, and the local one is said too.
            IFA_ADDRESS => address = whole_address(family, value),
            _ => {}
        }
    }
    Some(Listed::Address { address: local.or(address)?, ifindex })
}

fn has_gateway(body: &[u8]) -> bool {
    let mut kinds = attributes(body.get(RTMSG..).unwrap_or_default()).map(|(kind, _)| kind);
    kinds.any(|kind| matches!(kind, RTA_GATEWAY | RTA_VIA))
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
    matches!((family, length), (libc::AF_INET, 32) | (libc::AF_INET6, 128))
        .then(|| whole_address(family, value))
        .flatten()
}

fn whole_address(family: i32, value: &[u8]) -> Option<IpAddr> {
    match family {
        libc::AF_INET => {
            <[u8; 4]>::try_from(value).ok().map(|octets| Ipv4Addr::from(octets).into())
        }
        libc::AF_INET6 => {
            <[u8; 16]>::try_from(value).ok().map(|octets| Ipv6Addr::from(octets).into())
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(kind: u16, body: &[u8]) -> Vec<u8> {
        super::message(kind, 0, body, None)
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
        let route = |length: u8, gateway: &[u8]| {
            let mut body = vec![libc::AF_INET as u8, length, 0, 0, 254, 3, 253, RTN_UNICAST];
            body.extend_from_slice(&[0; 4]);
            body.extend(attribute(RTA_DST, &[10, 1, 2, 3]));
            body.extend(attribute(RTA_OIF, &7u32.to_ne_bytes()));
            body.extend(gateway);
            message(RTM_NEWROUTE, &body)
        };
        let host =
            Listed::HostRoute { address: IpAddr::from([10, 1, 2, 3]), ifindex: 7, priority: 0 };
        assert_eq!(parse(&route(32, &[])).listed, [host]);
        assert_eq!(parse(&route(24, &[])).listed, []);
        // The link of an uplink is no workload's, whatever is behind it.
        for kind in [RTA_GATEWAY, RTA_VIA] {
            assert_eq!(parse(&route(32, &attribute(kind, &[10, 0, 0, 1]))).listed, []);
        }
    }

    #[test]
    fn only_a_pair_has_a_far_end() {
        let far = |kind: &[u8]| {
            let mut body = vec![0; IFINFO];
            body.extend(attribute(IFLA_IFNAME, b"x\0"));
            body.extend(attribute(IFLA_LINK, &2u32.to_ne_bytes()));
            body.extend(attribute(IFLA_LINKINFO, &attribute(IFLA_INFO_KIND, kind)));
            body.extend(attribute(IFLA_LINK_NETNSID, &5i32.to_ne_bytes()));
            match parse(&message(RTM_NEWLINK, &body)).listed.as_slice() {
                [Listed::Link(seen)] => seen.far,
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(far(b"veth\0"), Some(FarEnd { netns: 5, ifindex: 2 }));
        assert_eq!(far(b"macvlan\0"), None);
    }

    #[test]
    fn the_address_of_a_point_to_point_link_is_the_near_one() {
        let mut body = vec![libc::AF_INET as u8, 32, 0, 0];
        body.extend_from_slice(&3u32.to_ne_bytes());
        body.extend(attribute(IFA_ADDRESS, &[10, 0, 0, 1]));
        body.extend(attribute(IFA_LOCAL, &[10, 0, 0, 2]));
        let near = Listed::Address { address: IpAddr::from([10, 0, 0, 2]), ifindex: 3 };
        assert_eq!(parse(&message(RTM_NEWADDR, &body)).listed, [near]);
    }

    #[test]
    fn a_port_of_a_bridge_and_a_wireless_event_do_not_tell_of_the_whole_link() {
        let mut body = vec![0; IFINFO];
        body.extend(attribute(IFLA_IFNAME, b"bhl0\0"));
        assert_eq!(parse(&message(RTM_NEWLINK, &body)).listed.len(), 1);
        let mut wireless = body.clone();
        wireless.extend(attribute(IFLA_WIRELESS, &[0; 8]));
        assert_eq!(parse(&message(RTM_NEWLINK, &wireless)).listed, []);
        body[0] = libc::AF_BRIDGE as u8;
        assert_eq!(parse(&message(RTM_DELLINK, &body)).gone, []);
    }

    #[test]
    fn a_truncated_message_is_skipped() {
        let mut body = vec![0; IFINFO];
        body[4] = 9;
        body.extend(attribute(IFLA_IFNAME, b"bhl0\0"));
        let whole = message(RTM_NEWLINK, &body);
        let link = Listed::Link(Seen { ifindex: 9, name: "bhl0".to_owned(), ..Seen::default() });
        assert_eq!(parse(&whole).listed, [link]);
        for length in 0..whole.len() {
            assert_eq!(parse(&whole[..length]).listed, [], "at {length} bytes");
        }
    }
}
