//! Interfaces and host routes of the current network namespace, by rtnetlink, and what is at the other
//! end of the interfaces.

pub mod far;
pub mod kept;
pub mod links;
mod message;
mod option;

use std::collections::BTreeMap;
use std::io;
use std::net::IpAddr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use bulkhead_types::Mac;
use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, recv, send,
    setsockopt, socket, sockopt,
};

use crate::node::EnforceError;
use crate::node::given::{Given, GivenInterface};
use far::Peer;
use links::Link;
use message::{Listed, Part, RTM_GETLINK, Seen};

pub use kept::Kept;
pub use message::FarEnd;

/// RTMGRP_LINK, RTMGRP_IPV4_IFADDR, RTMGRP_IPV4_ROUTE, RTMGRP_IPV6_IFADDR, RTMGRP_IPV6_ROUTE.
const GROUPS: u32 = 0x1 | 0x10 | 0x40 | 0x100 | 0x400;
const RECEIVE_BYTES: usize = 64 << 10;
/// Room for the notifications of a thousand interfaces that come at once.
const MONITOR_BYTES: usize = 16 << 20;

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

/// What was told of links, addresses and routes since the last time.
#[derive(Debug, Default)]
pub struct Heard {
    /// What came or changed, in order.
    listed: Vec<Listed>,
    /// Something is gone, or notifications were lost: only a new list tells what is there.
    is_short: bool,
}

impl Heard {
    /// Links that came or changed.
    pub fn links(&self) -> impl Iterator<Item = (u32, &str)> {
        self.listed.iter().filter_map(|item| match item {
            Listed::Link(seen) => Some((seen.ifindex, seen.name.as_str())),
            _ => None,
        })
    }

    pub fn extend(&mut self, later: Self) {
        self.listed.extend(later.listed);
        self.is_short |= later.is_short;
    }

    /// As if notifications had been lost.
    pub fn nothing_sure() -> Self {
        Self { listed: Vec::new(), is_short: true }
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

/// A socket that hears of groups, with room for many notifications.
fn open_monitor(groups: u32) -> nix::Result<OwnedFd> {
    let socket = open(SockFlag::SOCK_NONBLOCK, groups)?;
    setsockopt(&socket, sockopt::RcvBufForce, &MONITOR_BYTES)?;
    Ok(socket)
}

impl Monitor {
    pub fn open() -> Result<Self, EnforceError> {
        let socket = open_monitor(GROUPS).map_err(|error| failed("listen to rtnetlink", error))?;
        Ok(Self { socket })
    }

    /// Takes the notifications that wait.
    pub fn drain(&self) -> Heard {
        let mut buffer = vec![0; RECEIVE_BYTES];
        let mut heard = Heard::default();
        loop {
            match recv(self.socket.as_raw_fd(), &mut buffer, MsgFlags::MSG_DONTWAIT) {
                Ok(0) => break,
                Ok(n) => {
                    let part = message::parse(buffer.get(..n).unwrap_or_default());
                    heard.is_short |= !part.gone.is_empty();
                    heard.listed.extend(part.listed);
                }
                Err(nix::Error::ENOBUFS) => heard.is_short = true,
                Err(nix::Error::EINTR) => {}
                Err(_) => break,
            }
        }
        heard
    }
}

impl AsFd for Monitor {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// Every interface that has its other end in another network namespace, by number.
pub fn pairs() -> Result<BTreeMap<u32, (String, FarEnd)>, EnforceError> {
    let listed = dump(RTM_GETLINK).map_err(|error| failed("list links", error))?;
    let far = listed.into_iter().filter_map(|item| match item {
        Listed::Link(Seen { ifindex, name, far, .. }) => Some((ifindex, (name, far?))),
        _ => None,
    });
    Ok(far.collect())
}

fn dump(request: u16) -> io::Result<Vec<Listed>> {
    // A dump that the kernel interrupted may be incomplete; the next one seldom is.
    const ATTEMPTS: usize = 5;
    let mut whole = Part::default();
    for _ in 0..ATTEMPTS {
        whole = Asker::open()?.ask(&message::request(request))?;
        if !whole.interrupted {
            break;
        }
    }
    Ok(whole.listed)
}

/// A socket for questions.
#[derive(Debug)]
struct Asker {
    socket: OwnedFd,
    buffer: Vec<u8>,
}

impl Asker {
    fn open() -> nix::Result<Self> {
        Ok(Self { socket: open(SockFlag::empty(), 0)?, buffer: vec![0; RECEIVE_BYTES] })
    }

    /// One request and everything that answers it: one message, or a list that says when it is done.
    fn ask(&mut self, request: &[u8]) -> io::Result<Part> {
        let Self { socket, buffer } = self;
        send(socket.as_raw_fd(), request, MsgFlags::empty())?;
        let mut whole = Part::default();
        loop {
            let n = recv(socket.as_raw_fd(), buffer, MsgFlags::empty())?;
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
}
