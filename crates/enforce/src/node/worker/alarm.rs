//! When the worker is to look after the kernel's side at once, because the kernel tells of a change.

use std::os::fd::OwnedFd;

use tokio::io::unix::AsyncFd;

use super::failed;
use crate::kernel::linux::poll::wait_for;
use crate::node::EnforceError;
use crate::node::backend::Backend;

/// Never rings where the back end has nothing to listen to.
pub struct Alarm(Option<AsyncFd<OwnedFd>>);

impl Alarm {
    pub fn of(backend: &dyn Backend) -> Result<Self, EnforceError> {
        let alarm = backend.alarm().map(wait_for).transpose();
        Ok(Self(alarm.map_err(|error| failed("poll the changes of others", &error))?))
    }

    pub async fn rings(&self) -> Result<(), EnforceError> {
        let Some(alarm) = &self.0 else { return std::future::pending().await };
        let ready = alarm.readable().await;
        ready.map_err(|error| failed("poll the changes of others", &error))?.clear_ready();
        Ok(())
    }
}
