//! One agent at a time: whoever runs holds its state folder until the process ends, however it ends.
//!
//! Two agents on one node would undo each other's work, and the second one's hooks are refused by the
//! kernel, which looks like a kernel that cannot do eBPF.

use std::fs::{File, TryLockError};
use std::path::Path;
use std::time::Duration;

const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// Held until it is dropped.
#[derive(Debug)]
pub struct Alone {
    _folder: Option<File>,
}

impl Alone {
    /// Waits for an agent that has not ended yet. A folder that cannot be held keeps nobody from
    /// enforcing.
    pub async fn wait(state_dir: &Path) -> Self {
        let mut has_told = false;
        loop {
            match hold(state_dir) {
                Ok(folder) => return Self { _folder: Some(folder) },
                Err(TryLockError::WouldBlock) if has_told => {}
                Err(TryLockError::WouldBlock) => {
                    let path = state_dir.display();
                    tracing::warn!(
                        "another agent runs with --state-dir {path}: waiting for its end"
                    );
                    has_told = true;
                }
                Err(TryLockError::Error(error)) => {
                    let path = state_dir.display();
                    tracing::warn!(%error, "`{path}` cannot be held against a second agent");
                    return Self { _folder: None };
                }
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }
}

/// Whether an agent runs with this folder.
pub fn is_held(state_dir: &Path) -> bool {
    matches!(hold(state_dir), Err(TryLockError::WouldBlock))
}

fn hold(state_dir: &Path) -> Result<File, TryLockError> {
    let folder = File::open(state_dir).map_err(TryLockError::Error)?;
    folder.try_lock()?;
    Ok(folder)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_second_agent_waits_until_the_first_has_ended() {
        let folder = tempfile::tempdir().unwrap();
        assert!(!is_held(folder.path()));
        let first = Alone::wait(folder.path()).await;
        assert!(is_held(folder.path()));
        let mut second = Box::pin(Alone::wait(folder.path()));
        let early = tokio::time::timeout(LOOK_AGAIN * 4, &mut second).await;
        assert!(early.is_err(), "two agents hold one folder");
        drop(first);
        let _second = second.await;
        assert!(is_held(folder.path()));
    }

    #[tokio::test]
    async fn a_folder_that_cannot_be_held_keeps_nobody_from_enforcing() {
        let gone = tempfile::tempdir().unwrap().path().join("gone");
        let _alone = Alone::wait(&gone).await;
        assert!(!is_held(&gone));
    }
}
