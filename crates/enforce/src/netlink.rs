//! Interfaces and host routes of the current network namespace, by rtnetlink, and what is at the other
//! end of the interfaces.
//!
//! A notification says only that something moved; then everything is listed again. That is simple,
//! cannot drift, and a node has hundreds of interfaces, not millions.

pub mod far;
pub mod links;
mod message;
mod option;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::IpAddr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use bulkhead_types::Mac;
use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, recv, send,
    socket,
};

use crate::node::EnforceError;
use crate::node::given::{Given, GivenInterface};
use far::Peer;
use links::Link;
use message::{Listed, Part, RTM_GETLINK, RTM_GETROUTE};

pub use message::FarEnd;

/// RTMGRP_LINK, RTMGRP_IPV4_IFADDR, RTMGRP_IPV4_ROUTE, RTMGRP_IPV6_IFADDR, RTMGRP_IPV6_ROUTE.
const GROUPS: u32 = 0x1 | 0x10 | 0x40 | 0x100 | 0x400;
const RECEIVE_BYTES: usize = 64 << 10;

/// What the kernel knows about where workloads are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Topology {
    /// Interface index to name.
    pub interfaces: BTreeMap<u32, String>,
    /// Address to interface, from the host routes.
    pub routes: BTreeMap<IpAddr, u32>,
    /// Interfaces whose other end is in another network namespace.
    pub far: BTreeMap<u32, FarEnd>,
    /// What is there; filled in by [`far::FarEnds`].
    pub peers: BTreeMap<u32, Peer>,
    /// Every link of the node, those of workloads included.
    pub links: BTreeMap<u32, Link>,
    /// Those of the interfaces that a container runtime told of.
    pub given: Given,
}

impl Topology {
    /// An interface of another name is another one: the number was used again.
    pub fn give(&mut self, given: &Given) {
        let is_here = |(ifindex, one): &(&u32, &GivenInterface)| {
            self.interfaces.get(ifindex).is_some_and(|name| *name == one.name)
        };
        let here = given.iter().filter(is_here).map(|(ifindex, one)| (*ifindex, one.clone()));
        self.given = here.collect();
    }

    /// The link address at the other end of an interface.
    pub fn mac(&self, ifindex: u32) -> Option<Mac> {
        self.peers.get(&ifindex)?.mac
    }
}

/// Becomes readable when links or routes have moved.
#[derive(Debug)]
pub struct Monitor {
    socket: OwnedFd,
}

fn failed(action: &str, error: impl std::fmt::Display) -> EnforceError {
    EnforceError::Kernel { action: action.to_owned(), message: error.to_string() }
}

fn open(flags: SockFlag, groups: u32) -> nix::Result<OwnedFd> {
    let socket = socket(
        AddressFamily::Netlink,
        SockType::Raw,
        SockFlag::SOCK_CLOEXEC | flags,
        SockProtocol::NetlinkRoute,
    )?;
    bind(socket.as_raw_fd(), &NetlinkAddr::new(0, groups))?;
    Ok(socket)
}

impl Monitor {
    pub fn open() -> Result<Self, EnforceError> {
        let socket = open(SockFlag::SOCK_NONBLOCK, GROUPS)
            .map_err(|error| failed("listen to rtnetlink", error))?;
        Ok(Self { socket })
    }

    /// Takes the notifications that wait. What counts is that there were any; the links that they are
    /// about are told, so that new ones can be closed before everything is listed again.
    pub fn drain(&self) -> Vec<(u32, String)> {
        let mut buffer = vec![0; RECEIVE_BYTES];
        let mut links = Vec::new();
        loop {
            match recv(self.socket.as_raw_fd(), &mut buffer, MsgFlags::MSG_DONTWAIT) {
                Ok(0) => break,
                Ok(n) => {
                    let part = message::parse(buffer.get(..n).unwrap_or_default());
                    links.extend(part.listed.into_iter().filter_map(|item| match item {
                        Listed::Link { ifindex, name, .. } => Some((ifindex, name)),
                        _ => None,
                    }));
                }
                // Notifications were lost, which changes nothing here.
                Err(nix::Error::ENOBUFS) => {}
                Err(_) => break,
            }
        }
        links
    }
}

impl AsFd for Monitor {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// Lists the interfaces whose name starts with one of `prefixes`, those of `known` whatever their name,
/// and the host routes through them.
pub fn topology(prefixes: &[String], known: &BTreeSet<u32>) -> Result<Topology, EnforceError> {
    let mut topology = Topology::default();
    let mut best: BTreeMap<IpAddr, (u32, std::cmp::Reverse<u32>)> = BTreeMap::new();
    let mut routes = Vec::new();
    for request in [RTM_GETLINK, RTM_GETROUTE] {
        let listed = dump(request).map_err(|error| failed("list links and routes", error))?;
        for item in listed {
            match item {
                Listed::Link { ifindex, name, far, .. } => {
                    let is_ours = prefixes.iter().any(|prefix| name.starts_with(prefix.as_str()));
                    if is_ours || known.contains(&ifindex) {
                        topology.interfaces.insert(ifindex, name);
                        topology.far.extend(far.map(|far| (ifindex, far)));
                    }
                }
                Listed::HostRoute { address, ifindex, priority } => {
                    routes.push((address, ifindex, priority));
                }
                Listed::Address { .. } => {}
            }
        }
    }
    topology.links = links::links().map_err(|error| failed("list links and addresses", error))?;
    for (address, ifindex, priority) in routes {
        if !topology.interfaces.contains_key(&ifindex) {
            continue;
        }
        // The kernel takes the lowest priority; among equals the youngest interface is meant.
        let rank = (priority, std::cmp::Reverse(ifindex));
        if best.get(&address).is_none_or(|known| rank < *known) {
            best.insert(address, rank);
            topology.routes.insert(address, ifindex);
        }
    }
    Ok(topology)
}

/// Every interface that has its other end in another network namespace, by number.
pub fn pairs() -> Result<BTreeMap<u32, (String, FarEnd)>, EnforceError> {
    let listed = dump(RTM_GETLINK).map_err(|error| failed("list links", error))?;
    let far = listed.into_iter().filter_map(|item| match item {
        Listed::Link { ifindex, name, far, .. } => Some((ifindex, (name, far?))),
        _ => None,
    });
    Ok(far.collect())
}

fn dump(request: u16) -> io::Result<Vec<Listed>> {
    // A dump that the kernel interrupted may be incomplete; the next one seldom is.
    const ATTEMPTS: usize = 5;
    let mut whole = Part::default();
    for _ in 0..ATTEMPTS {
        let socket = open(SockFlag::empty(), 0)?;
        whole = exchange(&socket, &message::request(request))?;
        if !whole.interrupted {
            break;
        }
    }
    Ok(whole.listed)
}

/// One request and everything that answers it: one message, or a list that says when it is done.
fn exchange(socket: &OwnedFd, request: &[u8]) -> io::Result<Part> {
    send(socket.as_raw_fd(), request, MsgFlags::empty())?;
    let mut whole = Part::default();
    let mut buffer = vec![0; RECEIVE_BYTES];
    loop {
        let n = recv(socket.as_raw_fd(), &mut buffer, MsgFlags::empty())?;
        let part = message::parse(buffer.get(..n).unwrap_or_default());
        whole.interrupted |= part.interrupted;
        whole.listed.extend(part.listed);
        if let Some(error) = part.error {
            return Err(io::Error::from_raw_os_error(error));
        }
        if part.done || !part.goes_on || n == 0 {
            return Ok(whole);
        }
    }
}

/// As [`dump`], the messages of one kind as they came.
fn raw_dump(request: u16, wanted: u16) -> io::Result<Vec<Vec<u8>>> {
    const ATTEMPTS: usize = 5;
    let mut found = Vec::new();
    for _ in 0..ATTEMPTS {
        let socket = open(SockFlag::empty(), 0)?;
        send(socket.as_raw_fd(), &message::request(request), MsgFlags::empty())?;
        found.clear();
        let mut is_whole = true;
        let mut buffer = vec![0; RECEIVE_BYTES];
        loop {
            let n = recv(socket.as_raw_fd(), &mut buffer, MsgFlags::empty())?;
            let (bodies, part) = message::bodies(buffer.get(..n).unwrap_or_default(), wanted);
            is_whole &= !part.interrupted;
            found.extend(bodies);
            if let Some(error) = part.error {
                return Err(io::Error::from_raw_os_error(error));
            }
            if part.done || n == 0 {
                break;
            }
        }
        if is_whole {
            break;
        }
    }
    Ok(found)
}
