//! What the reflectors of all kinds tell one another.

use tokio::sync::watch;

/// Cheap to clone.
///
/// The generation counts cuts: lists that were begun in one generation are of one life of the
/// connection, and belong together. Whoever is cut off first begins the next one, and all others start
/// anew: the server may come back with other state.
#[derive(Clone, Debug)]
pub struct Link {
    generation: watch::Sender<u64>,
    answers: watch::Sender<u64>,
}

impl Default for Link {
    fn default() -> Self {
        Self { generation: watch::channel(0).0, answers: watch::channel(0).0 }
    }
}

impl Link {
    pub fn generation(&self) -> u64 {
        *self.generation.borrow()
    }

    /// What was begun in `generation` is cut off.
    pub fn cut(&self, generation: u64) {
        self.generation.send_if_modified(|now| {
            let is_first = *now == generation;
            *now += u64::from(is_first);
            is_first
        });
    }

    /// Waits until somebody else was cut off.
    pub async fn is_cut(&self, generation: u64) {
        // The sender is held by ourselves.
        drop(self.generation.subscribe().wait_for(|now| *now > generation).await);
    }

    /// The server is there: whoever waits need not wait any longer.
    pub fn answered(&self) {
        self.answers.send_modify(|n| *n = n.wrapping_add(1));
    }

    /// Waits for the next answer that anybody gets.
    pub async fn is_answered(&self) {
        drop(self.answers.subscribe().changed().await);
    }
}
