//! When to look at what moved in containers' namespaces: soon, but not as often as a container that
//! changes its addresses without end would have it.

use std::time::{Duration, Instant};

use crate::netlink::far::Moved;

/// Between two looks at some links.
const GAP: Duration = Duration::from_millis(20);
/// Between two looks at all of them, after notifications were lost.
const GAP_ALL: Duration = Duration::from_secs(1);

#[derive(Debug, Default)]
pub struct FarLooks {
    pending: Moved,
    looked: Option<Instant>,
}

impl FarLooks {
    pub fn heard(&mut self, moved: Moved) {
        self.pending.extend(moved);
    }

    /// How long until the next look; `None`: nothing to look at.
    pub fn wait(&self) -> Option<Duration> {
        if self.pending.is_empty() {
            return None;
        }
        let gap = if self.pending.is_short() { GAP_ALL } else { GAP };
        let since = self.looked.map_or(gap, |looked| looked.elapsed());
        Some(gap.saturating_sub(since))
    }

    pub fn take(&mut self) -> Moved {
        self.looked = Some(Instant::now());
        std::mem::take(&mut self.pending)
    }
}
