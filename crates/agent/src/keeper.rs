//! Holds the kernel to the latest program. Programs that come while one is being written are skipped
//! but for the last: each is whole, so the kernel never needs those between.

use std::sync::Arc;
use std::time::Duration;

use bulkhead_enforce::EnforceError;
use bulkhead_types::Revision;
use bulkhead_wire::NodeProgram;
use tokio::sync::watch;

use crate::enforcer::Enforcer;

/// A kernel that failed, rather than refused, is asked again.
const RETRY_FIRST: Duration = Duration::from_millis(500);
const RETRY_MAX: Duration = Duration::from_secs(30);

pub type Program = Option<Arc<NodeProgram>>;

/// What became of the programs so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Realized {
    /// The last one that the kernel took.
    pub enforced: Revision,
    pub at_ns: u64,
    /// A later one that it did not take, and why.
    pub refused: Option<(Revision, String)>,
}

/// Runs until nobody can want a program any more, or the kernel side is gone.
pub async fn keep(
    enforcer: Arc<dyn Enforcer>,
    mut desired: watch::Receiver<Program>,
    realized: watch::Sender<Realized>,
    enforced: watch::Sender<Program>,
) -> Result<(), EnforceError> {
    let mut retry = RETRY_FIRST;
    loop {
        let latest = desired.borrow_and_update().clone();
        let mut again = false;
        if let Some(program) = latest {
            let revision = program.revision;
            match enforcer.enforce(Arc::clone(&program)).await {
                Ok(report) => {
                    tracing::debug!(%revision, "enforced");
                    retry = RETRY_FIRST;
                    realized.send_replace(Realized {
                        enforced: revision,
                        at_ns: report.at_ns,
                        refused: None,
                    });
                    enforced.send_replace(Some(program));
                }
                Err(EnforceError::Gone) => return Err(EnforceError::Gone),
                Err(error) => {
                    tracing::error!(%revision, %error, "a program is refused, the last one stays");
                    again = matches!(error, EnforceError::Kernel { .. });
                    realized.send_modify(|now| now.refused = Some((revision, error.to_string())));
                }
            }
        }
        tokio::select! {
            changed = desired.changed() => if changed.is_err() { return Ok(()) },
            () = tokio::time::sleep(retry), if again => retry = (retry * 2).min(RETRY_MAX),
        }
    }
}

#[cfg(test)]
mod tests;
