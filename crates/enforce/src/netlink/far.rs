//! What is at the other end of interfaces: the addresses and the link address that a container has in
//! its own network namespace, read from here, without going there.
//!
//! The kernel numbers the namespaces that a namespace has links to; by that number their links and
//! addresses can be asked for, and changes of them be heard. Everything is read once and again when its
//! namespace says that something moved.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io::{self, IoSliceMut};
use std::net::IpAddr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use bulkhead_types::Mac;
use nix::sys::socket::{ControlMessageOwned, MsgFlags, UnixAddr, recvmsg};

use super::message::{self, FarEnd, Listed, Part};
use super::option::{ALL_NAMESPACES, STRICT_CHECK, turn_on};
use super::{Asker, Heard, RECEIVE_BYTES, failed, open_monitor};
use crate::node::EnforceError;

/// RTMGRP_LINK, RTMGRP_IPV4_IFADDR, RTMGRP_IPV6_IFADDR.
const GROUPS: u32 = 0x1 | 0x10 | 0x100;
/// Of one interface; the rest is not seen.
const ADDRESSES_MAX: usize = 64;
/// Room for the one control message that says a namespace's number.
const CONTROL_BYTES: usize = 64;
/// Notifications that are kept; beyond, everything is read again.
const TOLD_MAX: usize = 1 << 16;
/// Who read at once: each question waits for the kernel's network lock, and others do too.
const READERS: usize = 8;

/// The other end of one interface.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Peer {
    pub mac: Option<Mac>,
    pub addresses: BTreeSet<IpAddr>,
}

/// What was told of links of other namespaces.
#[derive(Debug, Default)]
pub struct Moved {
    /// What came or changed, with the number of its namespace.
    told: Vec<(i32, Listed)>,
    /// Links of which something is gone.
    gone: BTreeSet<FarEnd>,
    /// Notifications were lost, or were too many to keep.
    is_short: bool,
}

impl Moved {
    pub fn is_short(&self) -> bool {
        self.is_short
    }

    pub fn is_empty(&self) -> bool {
        self.told.is_empty() && self.gone.is_empty() && !self.is_short
    }

    pub fn extend(&mut self, later: Self) {
        self.told.extend(later.told);
        self.gone.extend(later.gone);
        self.is_short |= later.is_short || self.told.len() > TOLD_MAX;
        if self.is_short {
            self.told.clear();
            self.gone.clear();
        }
    }
}

/// Becomes readable when links or addresses have moved in a namespace that we have a link to.
#[derive(Debug)]
pub struct FarMonitor {
    socket: OwnedFd,
}

impl FarMonitor {
    pub fn open() -> Result<Self, EnforceError> {
        let open = || {
            let socket = open_monitor(GROUPS)?;
            turn_on(&socket, ALL_NAMESPACES)?;
            nix::Result::Ok(socket)
        };
        let socket = open().map_err(|error| failed("listen to other namespaces", error))?;
        Ok(Self { socket })
    }

    /// Takes the notifications that wait. Our own namespace's have no number and say nothing here.
    pub fn drain(&self) -> Moved {
        let mut buffer = vec![0; RECEIVE_BYTES];
        let mut moved = Moved::default();
        loop {
            let mut control = vec![0; CONTROL_BYTES];
            let mut parts = [IoSliceMut::new(&mut buffer)];
            let flags = MsgFlags::MSG_DONTWAIT;
            let fd = self.socket.as_raw_fd();
            let (n, netns) = match recvmsg::<UnixAddr>(fd, &mut parts, Some(&mut control), flags) {
                Ok(received) => {
                    (received.bytes, received.cmsgs().into_iter().flatten().find_map(netns))
                }
                Err(nix::Error::ENOBUFS) => {
                    moved.is_short = true;
                    continue;
                }
                Err(nix::Error::EINTR) => continue,
                Err(_) => break,
            };
            let Some(netns) = netns else { continue };
            let part = message::parse(buffer.get(..n).unwrap_or_default());
            moved.told.extend(part.listed.into_iter().map(|item| (netns, item)));
            let gone = part.gone.iter().map(|item| FarEnd { netns, ifindex: item.ifindex() });
            moved.gone.extend(gone);
        }
        moved
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

/// Reads far ends, and remembers which it has read, by the near end's interface.
#[derive(Debug)]
pub struct FarEnds {
    askers: Vec<Asker>,
    known: BTreeMap<u32, FarEnd>,
    near: HashMap<FarEnd, u32>,
}

impl FarEnds {
    /// Reads in the namespace that the calling thread is in.
    pub fn open() -> Result<Self, EnforceError> {
        let open = |_| {
            let asker = Asker::open()?;
            turn_on(&asker.socket, STRICT_CHECK)?;
            nix::Result::Ok(asker)
        };
        let askers = (0..READERS).map(open).collect::<nix::Result<_>>();
        let askers = askers.map_err(|error| failed("ask about other namespaces", error))?;
        Ok(Self { askers, known: BTreeMap::new(), near: HashMap::new() })
    }

    /// Takes in what came, and forgets what is to be read again. Returns what is known of the near ends of
    /// those now, because an end that went to another namespace is another one; and whether any of
    /// `peers` has moved.
    pub fn hear(&mut self, moved: Moved, peers: &mut BTreeMap<u32, Peer>) -> (Heard, bool) {
        if moved.is_short {
            self.known.clear();
            self.near.clear();
            return (Heard::nothing_sure(), false);
        }
        let mut is_moved = false;
        for (netns, item) in moved.told {
            let end = FarEnd { netns, ifindex: item.ifindex() };
            let peer = self.near.get(&end).and_then(|near| peers.get_mut(near));
            is_moved |= peer.is_some_and(|peer| peer.take(item));
        }
        let mut near = Heard::default();
        for end in moved.gone {
            let Some(ifindex) = self.near.remove(&end) else { continue };
            self.known.remove(&ifindex);
            // What is gone is told by the node's own namespace.
            let found = self.ask(&message::link_request(ifindex, None));
            near.listed.extend(found.ok().into_iter().flat_map(|part| part.listed));
        }
        (near, is_moved)
    }

    /// Brings `peers` to the other ends of the `wanted` interfaces, and says whether any has moved. One
    /// that cannot be read, because its namespace is going away, has nothing.
    pub fn look(
        &mut self,
        wanted: &BTreeMap<u32, FarEnd>,
        peers: &mut BTreeMap<u32, Peer>,
    ) -> bool {
        let mut moved = false;
        self.known.retain(|ifindex, at| wanted.get(ifindex) == Some(at));
        let known = &self.known;
        self.near.retain(|at, ifindex| known.get(ifindex) == Some(at));
        let new = wanted.iter().filter(|(ifindex, _)| !known.contains_key(ifindex));
        let new: Vec<(u32, FarEnd)> = new.map(|(ifindex, at)| (*ifindex, *at)).collect();
        for (ifindex, at, peer) in self.read_all(&new) {
            match peer {
                Ok(peer) => {
                    self.known.insert(ifindex, at);
                    self.near.insert(at, ifindex);
                    moved |= peers.get(&ifindex) != Some(&peer);
                    peers.insert(ifindex, peer);
                }
                Err(error) => tracing::debug!(%error, ifindex, "its other end cannot be read"),
            }
        }
        let n_before = peers.len();
        peers.retain(|ifindex, _| self.known.contains_key(ifindex));
        moved | (peers.len() != n_before)
    }

    fn read_all(&mut self, ends: &[(u32, FarEnd)]) -> Vec<(u32, FarEnd, io::Result<Peer>)> {
        let read = |asker: &mut Asker, ends: &[(u32, FarEnd)]| -> Vec<_> {
            ends.iter().map(|(ifindex, at)| (*ifindex, *at, read(asker, *at))).collect()
        };
        let n_each = ends.len().div_ceil(READERS).max(1);
        std::thread::scope(|scope| {
            let mut parts = ends.chunks(n_each).zip(&mut self.askers);
            let own = parts.next();
            let others: Vec<_> =
                parts.map(|(ends, asker)| scope.spawn(move || read(asker, ends))).collect();
            let mut found = own.map(|(ends, asker)| read(asker, ends)).unwrap_or_default();
            found.extend(others.into_iter().filter_map(|part| part.join().ok()).flatten());
            found
        })
    }

    /// The far end of one near interface, as it is now.
    pub fn of(&mut self, ifindex: u32) -> io::Result<Option<FarEnd>> {
        let part = self.ask(&message::link_request(ifindex, None))?;
        Ok(part.listed.into_iter().find_map(|item| match item {
            Listed::Link(seen) if seen.ifindex == ifindex => seen.far,
            _ => None,
        }))
    }

    /// One other end, as it is now.
    pub fn read(&mut self, at: FarEnd) -> io::Result<Peer> {
        self.askers.first_mut().map_or_else(|| Ok(Peer::default()), |asker| read(asker, at))
    }

    fn ask(&mut self, request: &[u8]) -> io::Result<Part> {
        self.askers.first_mut().map_or_else(|| Ok(Part::default()), |asker| asker.ask(request))
    }
}

fn read(asker: &mut Asker, at: FarEnd) -> io::Result<Peer> {
    let mut peer = Peer::default();
    let mut requests = vec![message::link_request(at.ifindex, Some(at.netns))];
    requests.extend(
        [libc::AF_INET, libc::AF_INET6].map(|family| message::addresses_request(at, family)),
    );
    for request in requests {
        for item in asker.ask(&request)?.listed {
            if item.ifindex() == at.ifindex {
                peer.take(item);
            }
        }
    }
    Ok(peer)
}

impl Peer {
    /// Says whether this is new.
    fn take(&mut self, item: Listed) -> bool {
        match item {
            Listed::Link(seen) => {
                let before = std::mem::replace(&mut self.mac, seen.mac());
                before != self.mac
            }
            Listed::Address { address, .. } => {
                self.addresses.len() < ADDRESSES_MAX
                    && is_global(address)
                    && self.addresses.insert(address)
            }
            Listed::HostRoute { .. } => false,
        }
    }
}

/// Link-local addresses repeat on every link and name nobody.
fn is_global(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => !v4.is_loopback(),
        IpAddr::V6(v6) => !v6.is_loopback() && !v6.is_unicast_link_local(),
    }
}
