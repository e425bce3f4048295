//! Sends IP packets as they are, by the node's routes.

use std::io;
use std::net::{IpAddr, SocketAddrV4, SocketAddrV6};
use std::os::fd::{AsRawFd, OwnedFd};

use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, SockaddrIn, SockaddrIn6, sendto,
    setsockopt, socket, sockopt,
};

/// A pair of raw sockets of the namespace that they were made in. They receive nothing.
#[derive(Debug)]
pub struct Raw {
    v4: OwnedFd,
    v6: OwnedFd,
}

impl Raw {
    pub fn open() -> io::Result<Self> {
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        let of = |family| socket(family, SockType::Raw, flags, SockProtocol::Raw);
        Ok(Self { v4: of(AddressFamily::Inet)?, v6: of(AddressFamily::Inet6)? })
    }

    /// Every packet that is sent carries this mark.
    pub fn mark(&self, mark: u32) -> io::Result<()> {
        for socket in [&self.v4, &self.v6] {
            setsockopt(socket, sockopt::Mark, &mark)?;
        }
        Ok(())
    }

    /// `packet` has its IP header.
    pub fn send(&self, to: IpAddr, packet: &[u8]) -> io::Result<()> {
        let flags = MsgFlags::empty();
        match to {
            IpAddr::V4(to) => {
                let to = SockaddrIn::from(SocketAddrV4::new(to, 0));
                sendto(self.v4.as_raw_fd(), packet, &to, flags)?;
            }
            IpAddr::V6(to) => {
                let to = SockaddrIn6::from(SocketAddrV6::new(to, 0, 0, 0));
                sendto(self.v6.as_raw_fd(), packet, &to, flags)?;
            }
        }
        Ok(())
    }
}
