//! Sends frames to workloads past every queue and hook of the interface, so past our own program.
#![expect(unsafe_code, reason = "packet sockets have no safe wrapper that takes an interface")]

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};

use nix::sys::socket::{AddressFamily, SockFlag, SockType, socket};

/// A packet socket of the namespace that it was made in. It receives nothing.
#[derive(Debug)]
pub struct Injector {
    socket: OwnedFd,
}

impl Injector {
    pub fn open() -> io::Result<Self> {
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        let socket = socket(AddressFamily::Packet, SockType::Raw, flags, None)?;
        let on: libc::c_int = 1;
        let length = size_of::<libc::c_int>() as libc::socklen_t;
        let (level, name) = (libc::SOL_PACKET, libc::PACKET_QDISC_BYPASS);
        // SAFETY: the option's value is read from `on`, which has the length that is given.
        let result = unsafe {
            libc::setsockopt(socket.as_raw_fd(), level, name, (&raw const on).cast(), length)
        };
        if result < 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(Self { socket })
    }

    /// Transmits a frame as it is.
    pub fn send(&self, ifindex: u32, frame: &[u8]) -> io::Result<()> {
        let ethertype = frame.get(12..14).and_then(|two| two.first_chunk()).copied();
        let to = libc::sockaddr_ll {
            sll_family: libc::AF_PACKET as u16,
            sll_protocol: u16::from_ne_bytes(ethertype.unwrap_or_default()),
            sll_ifindex: i32::try_from(ifindex).map_err(io::Error::other)?,
            sll_hatype: 0,
            sll_pkttype: 0,
            sll_halen: 0,
            sll_addr: [0; 8],
        };
        let length = size_of::<libc::sockaddr_ll>() as libc::socklen_t;
        // SAFETY: frame and address are read from slices and a struct of the lengths that are given,
        // and both outlive the call.
        let sent = unsafe {
            let (data, to) = (frame.as_ptr().cast(), (&raw const to).cast());
            libc::sendto(self.socket.as_raw_fd(), data, frame.len(), 0, to, length)
        };
        if sent < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
    }
}
