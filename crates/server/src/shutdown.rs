//! One signal that tells every task to end.

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

/// Returns at the first SIGINT or SIGTERM.
pub async fn signal() -> std::io::Result<&'static str> {
    use tokio::signal::unix::{SignalKind, signal};
    let (mut interrupt, mut terminate) =
        (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    Ok(tokio::select! {
        _ = interrupt.recv() => "SIGINT",
        _ = terminate.recv() => "SIGTERM",
    })
}
