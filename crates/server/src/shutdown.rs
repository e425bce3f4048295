//! One signal that tells every task to end.

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

/// The switch; turning it, or dropping it, wakes every [`Shutdown`].
#[derive(Debug)]
pub struct Switch(watch::Sender<bool>);

/// Waits for the switch; clone it freely.
#[derive(Clone, Debug)]
pub struct Shutdown(watch::Receiver<bool>);

pub fn channel() -> (Switch, Shutdown) {
    let (sender, receiver) = watch::channel(false);
    (Switch(sender), Shutdown(receiver))
}

impl Switch {
    pub fn turn(&self) {
        self.0.send_replace(true);
    }
}

impl Shutdown {
    pub fn is_on(&self) -> bool {
        *self.0.borrow()
    }

    pub async fn wait(&self) {
        // An error means that the switch is gone, which is shutdown as well.
        drop(self.0.clone().wait_for(|on| *on).await);
    }
}

/// SIGINT and SIGTERM, caught.
#[derive(Debug)]
pub struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    /// From now on the signals end nothing by themselves: call it before anybody is told that the
    /// server is ready.
    pub fn caught() -> std::io::Result<Self> {
        let interrupt = signal(SignalKind::interrupt())?;
        Ok(Self { interrupt, terminate: signal(SignalKind::terminate())? })
    }

    pub async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.interrupt.recv() => "SIGINT",
            _ = self.terminate.recv() => "SIGTERM",
        }
    }
}
