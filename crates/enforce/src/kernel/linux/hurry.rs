//! Attaching a tcx program ends with a grace period of RCU, which the kernel waits for with its network
//! lock held: some 13 ms of an idle machine for each of the two links of an interface, during which
//! nobody else can make or change one either. Asked to hurry, it takes some 30 µs.
//!
//! The kernel's own network code hurries wherever it waits with that lock held (`synchronize_net`);
//! attaching does not, so it is told to by its switch for all, for just as long as it attaches.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

const SWITCH: &str = "/sys/kernel/rcu_expedited";
/// Everything but zero switches it on; this number says that it was us, so that the next agent undoes
/// what a killed one has left.
const OURS: u32 = 0x6268;

/// Nothing where the switch cannot be written: then attaching takes its time.
#[derive(Debug, Default)]
pub struct Hurry {
    switch: Option<File>,
}

/// As long as it lives the kernel hurries.
#[derive(Debug)]
pub struct Hurrying<'a> {
    switch: Option<&'a File>,
}

impl Hurry {
    pub fn open() -> Self {
        Self::of(Path::new(SWITCH))
    }

    fn of(path: &Path) -> Self {
        let hurry = Self { switch: OpenOptions::new().read(true).write(true).open(path).ok() };
        if let Some(switch) = hurry.switch.as_ref().filter(|switch| is_ours(switch)) {
            put(switch, 0);
        }
        hurry
    }

    /// Somebody else who wants the kernel to hurry at all times keeps it so.
    pub fn begin(&self) -> Hurrying<'_> {
        let is_idle = |switch: &&File| get(switch).is_ok_and(|now| now == 0 || now == OURS);
        let switch = self.switch.as_ref().filter(is_idle);
        switch.inspect(|switch| put(switch, OURS));
        Hurrying { switch }
    }
}

impl Drop for Hurrying<'_> {
    fn drop(&mut self) {
        // Two agents of one machine may end at once; whoever comes second changes nothing.
        if let Some(switch) = self.switch.filter(|switch| is_ours(switch)) {
            put(switch, 0);
        }
    }
}

fn get(switch: &File) -> io::Result<u32> {
    let mut bytes = [0; 16];
    let n = switch.read_at(&mut bytes, 0)?;
    let text = String::from_utf8_lossy(bytes.get(..n).unwrap_or_default());
    text.lines().next().unwrap_or_default().trim().parse().map_err(io::Error::other)
}

fn is_ours(switch: &File) -> bool {
    get(switch).is_ok_and(|now| now == OURS)
}

fn put(switch: &File, number: u32) {
    if let Err(error) = switch.write_all_at(format!("{number}\n").as_bytes(), 0) {
        tracing::debug!(%error, "the kernel is not told how much to hurry");
    }
}

#[cfg(test)]
mod tests;
