//! Lets the async loop wait for a kernel object.
#![expect(unsafe_code, reason = "tokio asks for a promise about the descriptor's life")]

use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};

use tokio::io::unix::AsyncFd;

/// A registration of its own duplicate, so that the object stays where it is.
pub fn wait_for(object: BorrowedFd<'_>) -> io::Result<AsyncFd<OwnedFd>> {
    let duplicate = object.try_clone_to_owned()?;
    // SAFETY: the duplicate is owned by the `AsyncFd` alone, which neither closes nor replaces it
    // before it deregisters it.
    Ok(unsafe { AsyncFd::register(duplicate) }?)
}
