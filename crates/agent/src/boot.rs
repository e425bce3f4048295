//! `--boot-gate`: puts up the gate that stands until the agent enforces a program. See
//! [`bulkhead_enforce::gate`].

use std::path::{Path, PathBuf};

use anyhow::Context;
use bulkhead_enforce::gate::{self, Failsafe};
use bulkhead_types::host::default_failsafe;
use bulkhead_types::{Direction, FailsafePort};

use crate::{saved, way};

/// What the gate has to know.
#[derive(Clone, Debug)]
pub struct BootGate {
    pub state_dir: PathBuf,
    pub netns: Option<PathBuf>,
    /// `HOST:PORT`, as it was given: the agent gets its first program from there.
    pub server: Option<String>,
}

impl BootGate {
    pub fn close(&self) -> anyhow::Result<()> {
        let failsafe = self.failsafe();
        if let Some(server) = self.server.as_ref().filter(|_| self.way().is_none()) {
            // A gate that stays open would be worse, and its host can be reached to mend the flag.
            tracing::error!(%server, "--server is no host and port: the way to it is closed too");
        }
        gate::close(self.netns.as_deref(), &failsafe).context("the boot gate cannot be closed")?;
        tracing::info!(
            inbound = failsafe.inbound.len(),
            outbound = failsafe.outbound.len(),
            "only fail-safe ports are open until the agent enforces a program"
        );
        Ok(())
    }

    fn way(&self) -> Option<FailsafePort> {
        self.server.as_deref().and_then(way::to_server)
    }

    /// As the last program has it; a host that never had one, or had no host endpoint, has the ports
    /// that are open where nobody says otherwise.
    fn failsafe(&self) -> Failsafe {
        let mut failsafe = last(&self.state_dir).unwrap_or_else(|| Failsafe {
            inbound: default_failsafe(Direction::Ingress),
            outbound: default_failsafe(Direction::Egress),
        });
        failsafe.outbound.extend(self.way());
        for ports in [&mut failsafe.inbound, &mut failsafe.outbound] {
            ports.sort_unstable();
            ports.dedup();
        }
        failsafe
    }
}

fn last(state_dir: &Path) -> Option<Failsafe> {
    let program = match saved::load(state_dir) {
        Ok(program) => program?,
        Err(error) => {
            tracing::warn!(%error, "the saved program is not used");
            return None;
        }
    };
    let mut failsafe = Failsafe::default();
    for host in program.hosts.values() {
        failsafe.inbound.extend(&host.failsafe_inbound);
        failsafe.outbound.extend(&host.failsafe_outbound);
    }
    (!program.hosts.is_empty()).then_some(failsafe)
}

#[cfg(test)]
mod tests;
