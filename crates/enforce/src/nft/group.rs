//! Joining a multicast group of netlink, for which no safe call exists.
#![expect(unsafe_code, reason = "setsockopt of SOL_NETLINK")]

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

pub fn join(socket: BorrowedFd<'_>, group: u32) -> io::Result<()> {
    // SAFETY: the option's value is a u32 that lives through the call, and its size is given.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_NETLINK,
            libc::NETLINK_ADD_MEMBERSHIP,
            (&raw const group).cast(),
            size_of::<u32>() as libc::socklen_t,
        )
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
