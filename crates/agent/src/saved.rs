//! The last enforced program on disk, so that a node can start without its server.
//!
//! A file is one line `bulkhead-program 1 <SHA-256> <revision>`, then the program as it travels. It is
//! written behind the kernel, never before it: a file is at most as new as what is enforced.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bulkhead_wire::{Codec, DecodeError, NodeProgram};
use sha2::{Digest, Sha256};
use tokio::sync::watch;

use crate::files::{make_private_folder, read_if_there, write_private};
use crate::keeper::Program;

const FILE: &str = "program";
const MAGIC: &str = "bulkhead-program 1";
/// Programs that follow one another faster are saved but for the last.
const SAVE_EVERY: Duration = Duration::from_millis(250);
/// After a failure.
const TRY_AGAIN: Duration = Duration::from_secs(5);

#[derive(Debug, thiserror::Error)]
pub enum SavedError {
    #[error("`{path}`: {source}")]
    File { path: PathBuf, source: std::io::Error },
    #[error("`{path}` does not begin with `{MAGIC}`")]
    Format { path: PathBuf },
    #[error("the content of `{path}` is not what was written: its checksum differs")]
    Checksum { path: PathBuf },
    #[error("`{path}` cannot be read: {source}")]
    Program { path: PathBuf, source: DecodeError },
}

pub fn file(state_dir: &Path) -> PathBuf {
    state_dir.join(FILE)
}

/// `None` where nothing was saved yet.
pub fn load(state_dir: &Path) -> Result<Option<NodeProgram>, SavedError> {
    let path = file(state_dir);
    let read =
        read_if_there(&path).map_err(|source| SavedError::File { path: path.clone(), source })?;
    let Some(bytes) = read else { return Ok(None) };
    let format = || SavedError::Format { path: path.clone() };
    let end = bytes.iter().position(|byte| *byte == b'\n').ok_or_else(format)?;
    let (head, body) = bytes.split_at(end);
    let body = body.get(1..).unwrap_or_default();
    let checksum = std::str::from_utf8(head)
        .ok()
        .and_then(|head| head.strip_prefix(MAGIC))
        .and_then(|rest| rest.split_whitespace().next())
        .ok_or_else(format)?;
    if checksum != hex_digest(body) {
        return Err(SavedError::Checksum { path });
    }
    NodeProgram::decode(body).map(Some).map_err(|source| SavedError::Program { path, source })
}

pub fn save(state_dir: &Path, program: &NodeProgram) -> Result<(), SavedError> {
    let path = file(state_dir);
    let body = program.encode();
    let mut bytes = format!("{MAGIC} {} {}\n", hex_digest(&body), program.revision).into_bytes();
    bytes.extend_from_slice(&body);
    make_private_folder(state_dir)
        .and_then(|()| write_private(&path, &bytes))
        .map_err(|source| SavedError::File { path, source })
}

/// Why the latest program is not on disk; `None` when it is.
pub type Unsaved = Option<String>;

/// Saves each latest program; the last one also when the sender is gone. What cannot be saved is tried
/// again, and told.
pub async fn save_latest(
    state_dir: PathBuf,
    mut enforced: watch::Receiver<Program>,
    unsaved: watch::Sender<Unsaved>,
) {
    loop {
        let failed = unsaved.borrow().is_some();
        tokio::select! {
            changed = enforced.changed() => if changed.is_err() { return },
            () = tokio::time::sleep(TRY_AGAIN), if failed => {}
        }
        let latest = enforced.borrow_and_update().clone();
        unsaved.send_replace(write(&state_dir, latest).await);
        // A program that comes meanwhile is seen by the next `changed`, even from a sender that is gone.
        let mut closing = enforced.clone();
        tokio::select! {
            () = tokio::time::sleep(SAVE_EVERY) => {}
            _ = closing.wait_for(|_| false) => {}
        }
    }
}

async fn write(state_dir: &Path, program: Program) -> Unsaved {
    let program: Arc<NodeProgram> = program?;
    let folder = state_dir.to_owned();
    let saved = tokio::task::spawn_blocking(move || save(&folder, &program)).await;
    let error = saved.ok()?.err()?;
    tracing::error!(%error, "the program cannot be saved: a restart will need the server");
    Some(format!("the program cannot be saved, a restart will need the server: {error}"))
}

fn hex_digest(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests;
