//! Every link of the node with its addresses: where host endpoints stand, and what workloads' interfaces
//! are ports of.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::IpAddr;

use super::message::{self, IFINFO, attributes, u32_at};
use super::raw_dump;

const RTM_NEWLINK: u16 = 16;
const RTM_GETLINK: u16 = 18;
const RTM_NEWADDR: u16 = 20;
const RTM_GETADDR: u16 = 22;
const IFADDRMSG: usize = 8;
const IFLA_ADDRESS: u16 = 1;
const IFLA_IFNAME: u16 = 3;
const IFLA_MASTER: u16 = 10;
const IFLA_LINKINFO: u16 = 18;
const IFLA_INFO_KIND: u16 = 1;
const IFA_ADDRESS: u16 = 1;
const IFA_LOCAL: u16 = 2;
const IFF_LOOPBACK: u32 = 0x8;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Link {
    pub name: String,
    pub mac: [u8; 6],
    /// The interface that it is a port of.
    pub master: Option<u32>,
    pub is_loopback: bool,
    pub is_bridge: bool,
    pub addresses: BTreeSet<IpAddr>,
}

pub fn links() -> io::Result<BTreeMap<u32, Link>> {
    let mut links = BTreeMap::new();
    for body in raw_dump(RTM_GETLINK, RTM_NEWLINK)? {
        links.extend(link(&body));
    }
    for body in raw_dump(RTM_GETADDR, RTM_NEWADDR)? {
        if let Some((ifindex, address)) = address(&body)
            && let Some(link) = links.get_mut(&ifindex)
        {
            link.addresses.insert(address);
        }
    }
    Ok(links)
}

fn link(body: &[u8]) -> Option<(u32, Link)> {
    let ifindex = u32_at(body, 4)?;
    let mut link = Link { is_loopback: u32_at(body, 8)? & IFF_LOOPBACK != 0, ..Link::default() };
    for (kind, value) in attributes(body.get(IFINFO..)?) {
        match kind {
            IFLA_ADDRESS => link.mac = value.try_into().unwrap_or_default(),
            IFLA_IFNAME => link.name = text(value),
            IFLA_MASTER => link.master = u32_at(value, 0),
            IFLA_LINKINFO => {
                let mut nested = attributes(value);
                link.is_bridge = nested.any(|(k, v)| k == IFLA_INFO_KIND && text(v) == "bridge");
            }
            _ => {}
        }
    }
    Some((ifindex, link))
}

fn text(value: &[u8]) -> String {
    String::from_utf8_lossy(value.strip_suffix(&[0]).unwrap_or(value)).into_owned()
}

fn address(body: &[u8]) -> Option<(u32, IpAddr)> {
    let family = i32::from(*body.first()?);
    let ifindex = u32_at(body, 4)?;
    let (mut own, mut other) = (None, None);
    for (kind, value) in attributes(body.get(IFADDRMSG..)?) {
        match kind {
            IFA_LOCAL => own = message::whole_address(family, value),
            IFA_ADDRESS => other = message::whole_address(family, value),
            _ => {}
        }
    }
    Some((ifindex, own.or(other)?))
}
