//! Workloads, made as a container runtime makes them: a network namespace that is there beforehand, then
//! a pair of interfaces with addresses and routes. By hand-written rtnetlink, because a process for each
//! step would take longer than what is measured.

use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;

use nix::sched::{CloneFlags, setns, unshare};
use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, recv, send,
};
use socket2::{Domain, Protocol, Socket, Type};

pub const WORKLOADS: u32 = 1_000;
/// The host's side of every pair, and the address behind which a workload finds everything.
pub const NODE: Ipv4Addr = Ipv4Addr::new(169, 254, 1, 1);
const NODE_MAC: [u8; 6] = [0xee; 6];
const NEAR_FIRST: u32 = 10_000;
const FAR: u32 = 2;

const NEW_LINK: u16 = 16;
const NEW_ADDRESS: u16 = 20;
const NEW_ROUTE: u16 = 24;
const NEW_NEIGHBOUR: u16 = 28;
/// Request and acknowledge; exclusively, create.
const FLAGS: u16 = 0x1 | 0x4;
const CREATE: u16 = 0x200 | 0x400;
const AF_INET: u8 = 2;
const UP: u32 = 1;
const PERMANENT: u16 = 0x80;

pub fn address(workload: u32) -> Ipv4Addr {
    Ipv4Addr::from(u32::from_be_bytes([10, 66, 0, 0]) + workload + 1)
}

/// Its number, from its address.
pub fn number(address: Ipv4Addr) -> u32 {
    u32::from(address) - u32::from(self::address(0))
}

/// A namespace that has no interface yet, and sockets of it.
pub struct Workload {
    number: u32,
    netns: File,
    netlink: Netlink,
    pub udp: Socket,
}

impl Workload {
    /// Leaves the calling thread in the new namespace.
    pub fn new(number: u32) -> Self {
        unshare(CloneFlags::CLONE_NEWNET).unwrap();
        let udp = Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP)).unwrap();
        udp.set_nonblocking(true).unwrap();
        let netns = File::open("/proc/thread-self/ns/net").unwrap();
        Self { number, netns, netlink: Netlink::open(), udp }
    }

    /// Makes the pair, of which the node's end is up.
    pub fn plug(&self, node: &Netlink) {
        let near = NEAR_FIRST + self.number;
        let [.., high, low] = self.number.to_be_bytes();
        let mut peer = link(FAR, 0);
        attribute(&mut peer, 3, b"eth0\0");
        attribute(&mut peer, 1, &[0x02, 0xbe, 0, 0, high, low]);
        attribute(&mut peer, 28, &self.netns.as_raw_fd().to_ne_bytes());
        let (mut data, mut info) = (Vec::new(), Vec::new());
        attribute(&mut data, 1, &peer);
        attribute(&mut info, 1, b"veth\0");
        attribute(&mut info, 2, &data);
        let mut pair = link(near, UP);
        attribute(&mut pair, 3, format!("bhl{}\0", self.number).as_bytes());
        attribute(&mut pair, 1, &NODE_MAC);
        attribute(&mut pair, 18, &info);
        node.make(NEW_LINK, &pair);
    }

    /// Makes everything in the workload's namespace: from then on it can send.
    pub fn dress(&self) {
        let own = address(self.number).octets();
        let mut of_workload = vec![AF_INET, 32, 0, 0];
        of_workload.extend_from_slice(&FAR.to_ne_bytes());
        attribute(&mut of_workload, 1, &own);
        attribute(&mut of_workload, 2, &own);
        self.netlink.make(NEW_ADDRESS, &of_workload);
        self.netlink.ask(NEW_LINK, FLAGS, &link(FAR, UP));
        // Neighbours are written down, so that nothing waits for ARP.
        let mut neighbour = vec![AF_INET, 0, 0, 0];
        neighbour.extend_from_slice(&FAR.to_ne_bytes());
        neighbour.extend_from_slice(&PERMANENT.to_ne_bytes());
        neighbour.extend_from_slice(&[0, 0]);
        attribute(&mut neighbour, 1, &NODE.octets());
        attribute(&mut neighbour, 2, &NODE_MAC);
        self.netlink.make(NEW_NEIGHBOUR, &neighbour);
        self.netlink.make(NEW_ROUTE, &route(NODE, FAR));
    }

    /// The last thing that a runtime does: now the node knows the way to the workload.
    pub fn route(&self, node: &Netlink) {
        node.make(NEW_ROUTE, &route(address(self.number), NEAR_FIRST + self.number));
    }

    /// One datagram to the node. Whether it comes is not known here.
    pub fn send(&self, port: u16) {
        let _ = self.udp.send_to(b"first", &SocketAddr::from((NODE, port)).into());
    }
}

pub fn enter(netns: &str) {
    let file = File::open(Path::new("/run/netns").join(netns)).unwrap();
    setns(file, CloneFlags::CLONE_NEWNET).unwrap();
}

/// A socket of the namespace that it was made in.
pub struct Netlink(OwnedFd);

impl Netlink {
    pub fn open() -> Self {
        let (flags, route) = (SockFlag::SOCK_CLOEXEC, SockProtocol::NetlinkRoute);
        let kind = SockType::Raw;
        let fd = nix::sys::socket::socket(AddressFamily::Netlink, kind, flags, route).unwrap();
        bind(fd.as_raw_fd(), &NetlinkAddr::new(0, 0)).unwrap();
        Self(fd)
    }

    fn make(&self, kind: u16, body: &[u8]) {
        self.ask(kind, FLAGS | CREATE, body);
    }

    fn ask(&self, kind: u16, flags: u16, body: &[u8]) {
        let mut bytes = (16 + body.len() as u32).to_ne_bytes().to_vec();
        bytes.extend_from_slice(&kind.to_ne_bytes());
        bytes.extend_from_slice(&flags.to_ne_bytes());
        bytes.extend_from_slice(&[0; 8]);
        bytes.extend_from_slice(body);
        send(self.0.as_raw_fd(), &bytes, MsgFlags::empty()).unwrap();
        let mut answer = [0; 4_096];
        recv(self.0.as_raw_fd(), &mut answer, MsgFlags::empty()).unwrap();
        let error = i32::from_ne_bytes(answer[16..20].try_into().unwrap());
        assert_eq!(error, 0, "rtnetlink refused message {kind}");
    }
}

fn link(ifindex: u32, flags: u32) -> Vec<u8> {
    let mut body = vec![0; 4];
    for word in [ifindex, flags, flags] {
        body.extend_from_slice(&word.to_ne_bytes());
    }
    body
}

/// A host route by an interface, in the main table.
fn route(to: Ipv4Addr, ifindex: u32) -> Vec<u8> {
    const MAIN: u8 = 254;
    const BOOT: u8 = 3;
    const LINK: u8 = 253;
    const UNICAST: u8 = 1;
    let mut body = vec![AF_INET, 32, 0, 0, MAIN, BOOT, LINK, UNICAST, 0, 0, 0, 0];
    attribute(&mut body, 1, &to.octets());
    attribute(&mut body, 4, &ifindex.to_ne_bytes());
    body
}

fn attribute(body: &mut Vec<u8>, kind: u16, value: &[u8]) {
    body.extend_from_slice(&(4 + value.len() as u16).to_ne_bytes());
    body.extend_from_slice(&kind.to_ne_bytes());
    body.extend_from_slice(value);
    body.resize(body.len().next_multiple_of(4), 0);
}
