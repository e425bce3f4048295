//! When to look at what moved in containers' namespaces: soon, but not as often as a container that
//! changes its addresses without end would have it.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use crate::netlink::far::Moved;

/// Between two looks at some namespaces.
const GAP: Duration = Duration::from_millis(20);
/// Between two looks at all of them, after notifications were lost.
const GAP_ALL: Duration = Duration::from_secs(1);

#[derive(Debug, Default)]
pub struct FarLooks {
    pending: Option<Moved>,
    looked: Option<Instant>,
}

impl FarLooks {
    pub fn heard(&mut self, moved: Moved) {
        let moved = match (self.pending.take(), moved) {
            (Some(Moved::Any), _) | (_, Moved::Any) => Moved::Any,
            (None, these) => these,
            (Some(Moved::These(mut known)), Moved::These(more)) => {
                known.extend(more);
                Moved::These(known)
            }
        };
        let says_nothing = matches!(&moved, Moved::These(netnses) if netnses.is_empty());
        self.pending = (!says_nothing).then_some(moved);
    }

    /// How long until the next look; `None`: nothing to look at.
    pub fn wait(&self) -> Option<Duration> {
        let gap = match self.pending.as_ref()? {
            Moved::These(_) => GAP,
            Moved::Any => GAP_ALL,
        };
        let since = self.looked.map_or(gap, |looked| looked.elapsed());
        Some(gap.saturating_sub(since))
    }

    pub fn take(&mut self) -> Moved {
        self.looked = Some(Instant::now());
        self.pending.take().unwrap_or(Moved::These(BTreeSet::new()))
    }
}
