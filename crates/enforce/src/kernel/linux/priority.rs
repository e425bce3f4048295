//! The enforcement thread goes before others: on a node where a thousand containers start at once, all of
//! them want the processor and none may start without it.
#![expect(unsafe_code, reason = "setpriority(2) has no safe name")]

use nix::errno::Errno;

/// As `nice` counts.
const NICE: libc::c_int = -10;

/// Of the calling thread, and of those that it starts.
pub fn go_first() {
    // SAFETY: no pointers; 0 is the calling thread.
    let done = Errno::result(unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, NICE) });
    if let Err(error) = done {
        tracing::debug!(%error, "the enforcement thread has no priority");
    }
}
