//! When to read what the kernel tells of packets and flows: often as long as it tells something.

use std::time::Duration;

use tokio::time::Instant;

/// While something is told. The kernel wakes us only when many events have come together.
const BUSY: Duration = Duration::from_millis(25);
/// While nothing is: what comes then waits no longer than this.
const IDLE: Duration = Duration::from_millis(200);

#[derive(Debug)]
pub struct Drains {
    pub next: Instant,
    gap: Duration,
}

impl Drains {
    pub fn new(now: Instant) -> Self {
        Self { next: now, gap: BUSY }
    }

    /// Call after every reading.
    pub fn done(&mut self, was_something: bool, now: Instant) {
        self.gap = if was_something { BUSY } else { (self.gap * 2).min(IDLE) };
        self.next = now + self.gap;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_ring_is_read_ever_less_often_and_a_full_one_often_again() {
        let now = Instant::now();
        let mut drains = Drains::new(now);
        let mut gap_after = |was_something| {
            drains.done(was_something, now);
            drains.next - now
        };
        assert_eq!(gap_after(true), BUSY);
        let gaps = [gap_after(false), gap_after(false), gap_after(false), gap_after(false)];
        assert_eq!(gaps, [BUSY * 2, BUSY * 4, IDLE, IDLE]);
        assert_eq!(gap_after(true), BUSY);
    }
}
