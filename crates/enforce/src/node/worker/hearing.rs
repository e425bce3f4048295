//! When the worker is to hear what resolvers have answered, and to say that it does.

use std::os::fd::OwnedFd;
use std::time::Duration;

use tokio::io::unix::AsyncFd;
use tokio::time::{Interval, MissedTickBehavior, interval};

use super::failed;
use crate::kernel::linux::poll::wait_for;
use crate::limits::dns::LISTENED_EVERY_MS;
use crate::node::EnforceError;
use crate::node::backend::Backend;

pub struct Hearing {
    answers: AsyncFd<OwnedFd>,
    has_more: bool,
    beat: Interval,
}

impl Hearing {
    pub fn of(backend: &dyn Backend) -> Result<Self, EnforceError> {
        let answers = wait_for(backend.answers());
        let answers = answers.map_err(|error| failed("poll resolvers' answers", &error))?;
        let mut beat = interval(Duration::from_millis(LISTENED_EVERY_MS));
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Ok(Self { answers, has_more: false, beat })
    }

    /// Until there is something to do; then call [`Hearing::hear`].
    pub async fn ready(&mut self) -> Result<(), EnforceError> {
        if self.has_more {
            return Ok(());
        }
        tokio::select! {
            _ = self.beat.tick() => Ok(()),
            ready = self.answers.readable() => ready
                .map(|mut ready| ready.clear_ready())
                .map_err(|error| failed("poll resolvers' answers", &error)),
        }
    }

    /// A flood of answers must not hold up what else is told.
    pub fn hear(&mut self, backend: &mut dyn Backend) {
        backend.beat();
        self.has_more = backend.hear();
    }
}
