//! What is at the other end of interfaces: the addresses and the link address that a container has in
//! its own network namespace, read from here, without going there.
//!
//! The kernel numbers the namespaces that a namespace has links to; by that number their links and
//! addresses can be asked for, and changes of them be heard. Everything is read once and again when its
//! namespace says that something moved.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, IoSliceMut};
use std::net::IpAddr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use bulkhead_types::Mac;
use nix::sys::socket::{
    ControlMessageOwned, MsgFlags, SockFlag, UnixAddr, recvmsg, setsockopt, sockopt,
};

use super::message::{self, FarEnd, Listed};
use super::option::{ALL_NAMESPACES, STRICT_CHECK, turn_on};
use super::{RECEIVE_BYTES, exchange, failed, open};
use crate::node::EnforceError;

/// RTMGRP_LINK, RTMGRP_IPV4_IFADDR, RTMGRP_IPV6_IFADDR.
const GROUPS: u32 = 0x1 | 0x10 | 0x100;
/// Of one interface; the rest is not seen.
const ADDRESSES_MAX: usize = 64;
/// Room for the one control message that says a namespace's number.
const CONTROL_BYTES: usize = 64;
const MONITOR_BYTES: usize = 1 << 20;

/// The other end of one interface.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Peer {
    pub mac: Option<Mac>,
    pub addresses: BTreeSet<IpAddr>,
}

/// Namespaces in which something has moved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Moved {
    These(BTreeSet<i32>),
    /// Notifications were lost.
    Any,
}

/// Becomes readable when links or addresses have moved in a namespace that we have a link to.
#[derive(Debug)]
pub struct FarMonitor {
    socket: OwnedFd,
}

impl FarMonitor {
    pub fn open() -> Result<Self, EnforceError> {
        let open = || {
            let socket = open(SockFlag::SOCK_NONBLOCK, GROUPS)?;
            turn_on(&socket, ALL_NAMESPACES)?;
            setsockopt(&socket, sockopt::RcvBuf, &MONITOR_BYTES)?;
            nix::Result::Ok(socket)
        };
        let socket = open().map_err(|error| failed("listen to other namespaces", error))?;
        Ok(Self { socket })
    }

    /// Takes the notifications that wait. Our own namespace's have no number and say nothing here.
    pub fn drain(&self) -> Moved {
        let mut buffer = vec![0; RECEIVE_BYTES];
        let mut netnses = BTreeSet::new();
        let mut is_lost = false;
        loop {
            let mut control = vec![0; CONTROL_BYTES];
            let mut parts = [IoSliceMut::new(&mut buffer)];
            let flags = MsgFlags::MSG_DONTWAIT;
            let fd = self.socket.as_raw_fd();
            match recvmsg::<UnixAddr>(fd, &mut parts, Some(&mut control), flags) {
                Ok(received) => {
                    netnses.extend(received.cmsgs().into_iter().flatten().find_map(netns))
                }
                Err(nix::Error::ENOBUFS) => is_lost = true,
                Err(nix::Error::EINTR) => {}
                Err(_) => break,
            }
        }
        if is_lost { Moved::Any } else { Moved::These(netnses) }
    }
}

fn netns(message: ControlMessageOwned) -> Option<i32> {
    let ControlMessageOwned::Unknown(unknown) = message else { return None };
    let is_ours = unknown.cmsg_header.cmsg_level == libc::SOL_NETLINK
        && unknown.cmsg_header.cmsg_type == libc::NETLINK_LISTEN_ALL_NSID;
    let bytes = unknown.data_bytes.get(..4).filter(|_| is_ours)?;
    bytes.try_into().ok().map(i32::from_ne_bytes)
}

impl AsFd for FarMonitor {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// What was read of far ends, by the near end's interface.
#[derive(Debug)]
pub struct FarEnds {
    socket: OwnedFd,
    known: BTreeMap<u32, (FarEnd, Peer)>,
}

impl FarEnds {
    /// Reads in the namespace that the calling thread is in.
    pub fn open() -> Result<Self, EnforceError> {
        let open = || {
            let socket = open(SockFlag::empty(), 0)?;
            turn_on(&socket, STRICT_CHECK)?;
            nix::Result::Ok(socket)
        };
        let socket = open().map_err(|error| failed("ask about other namespaces", error))?;
        Ok(Self { socket, known: BTreeMap::new() })
    }

    pub fn forget(&mut self, moved: &Moved) {
        match moved {
            Moved::These(netnses) => self.known.retain(|_, (at, _)| !netnses.contains(&at.netns)),
            Moved::Any => self.known.clear(),
        }
    }

    /// The other ends of these interfaces. One that cannot be read, because its namespace is going
    /// away, has nothing.
    pub fn look(&mut self, wanted: &BTreeMap<u32, FarEnd>) -> BTreeMap<u32, Peer> {
        self.known.retain(|ifindex, (at, _)| wanted.get(ifindex) == Some(at));
        for (ifindex, at) in wanted {
            if self.known.contains_key(ifindex) {
                continue;
            }
            match self.read(*at) {
                Ok(peer) => drop(self.known.insert(*ifindex, (*at, peer))),
                Err(error) => tracing::debug!(%error, ifindex, "its other end cannot be read"),
            }
        }
        self.known.iter().map(|(ifindex, (_, peer))| (*ifindex, peer.clone())).collect()
    }

    /// One other end, as it is now.
    pub fn read(&self, at: FarEnd) -> io::Result<Peer> {
        let mut peer = Peer::default();
        let mut requests = vec![message::link_request(at)];
        requests.extend(
            [libc::AF_INET, libc::AF_INET6].map(|family| message::addresses_request(at, family)),
        );
        for request in requests {
            for item in exchange(&self.socket, &request)?.listed {
                match item {
                    Listed::Link { ifindex, mac, .. } if ifindex == at.ifindex => peer.mac = mac,
                    Listed::Address { address, ifindex }
                        if ifindex == at.ifindex
                            && peer.addresses.len() < ADDRESSES_MAX
                            && is_global(address) =>
                    {
                        peer.addresses.insert(address);
                    }
                    _ => {}
                }
            }
        }
        Ok(peer)
    }
}

/// Link-local addresses repeat on every link and name nobody.
fn is_global(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => !v4.is_loopback(),
        IpAddr::V6(v6) => !v6.is_loopback() && !v6.is_unicast_link_local(),
    }
}
