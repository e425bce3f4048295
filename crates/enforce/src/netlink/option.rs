//! Switches of netlink sockets that have no safe name.
#![expect(unsafe_code, reason = "setting an option that no crate wraps")]

use std::os::fd::{AsRawFd, OwnedFd};

use nix::errno::Errno;

/// Hear of other namespaces that ours has a number for.
pub const ALL_NAMESPACES: i32 = libc::NETLINK_LISTEN_ALL_NSID;
/// What a request says is heeded to the letter, or refused.
pub const STRICT_CHECK: i32 = libc::NETLINK_GET_STRICT_CHK;

pub fn turn_on(socket: &OwnedFd, option: i32) -> nix::Result<()> {
    let on: libc::c_int = 1;
    let (value, length) = (std::ptr::from_ref(&on).cast(), size_of_val(&on) as libc::socklen_t);
    // SAFETY: `value` points at `length` bytes that live through the call.
    let result =
        unsafe { libc::setsockopt(socket.as_raw_fd(), libc::SOL_NETLINK, option, value, length) };
    Errno::result(result).map(drop)
}
