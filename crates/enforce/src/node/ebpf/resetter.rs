//! Sends resets to both ends of what was cut.

use std::io;

use crate::kernel::linux::inject::Injector;
use crate::kernel::linux::raw::Raw;
use crate::resets::Resets;

#[derive(Debug)]
pub struct Resetter {
    injector: Injector,
    raw: Raw,
}

impl Resetter {
    pub fn open() -> io::Result<Self> {
        Ok(Self { injector: Injector::open()?, raw: Raw::open()? })
    }

    /// An end that cannot be reached finds out by its own timeout, as without resets.
    pub fn send(&self, resets: &Resets) {
        if let Err(error) = self.injector.send(resets.ifindex, &resets.frame) {
            tracing::debug!(%error, "the workload gets no reset");
        }
        if let Err(error) = self.raw.send(resets.remote, &resets.packet) {
            tracing::debug!(%error, remote = %resets.remote, "the other end gets no reset");
        }
    }
}
