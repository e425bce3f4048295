//! Pauses between attempts.

use std::time::Duration;

pub const PAUSE_MIN: Duration = Duration::from_millis(50);
pub const PAUSE_MAX: Duration = Duration::from_secs(10);

/// Each pause is up to twice as long as the one before; half of it is drawn, so that the kinds do not
/// all come at once.
#[derive(Debug, Default)]
pub struct Backoff {
    n_failures: u32,
}

impl Backoff {
    pub fn reset(&mut self) {
        self.n_failures = 0;
    }

    /// `dice` is any number.
    pub fn next(&mut self, dice: u64) -> Duration {
        let doubled = PAUSE_MIN.saturating_mul(1 << self.n_failures.min(16));
        self.n_failures = self.n_failures.saturating_add(1);
        let half = doubled.min(PAUSE_MAX) / 2;
        let drawn = u64::try_from(half.as_micros()).unwrap_or(u64::MAX).max(1);
        half + Duration::from_micros(dice % drawn)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_their_bound_and_start_anew() {
        let mut backoff = Backoff::default();
        assert!(backoff.next(u64::MAX) <= PAUSE_MIN);
        for _ in 0..40 {
            assert!(backoff.next(7) <= PAUSE_MAX);
        }
        assert!(backoff.next(0) >= PAUSE_MAX / 2);
        backoff.reset();
        assert!(backoff.next(u64::MAX) <= PAUSE_MIN);
    }
}
