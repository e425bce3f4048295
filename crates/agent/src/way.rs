//! The way to the server stays open: no rule about this host may cut its agent off from who could take
//! the rule back.
//!
//! The server does not know by which port a node comes to it, so the agent adds it to the
//! fail-safe ports of every host endpoint that it enforces. What it holds, saves and tells the server is
//! the program as it came.

use std::sync::Arc;

use bulkhead_enforce::EnforceReport;
use bulkhead_types::{FailsafePort, Protocol};
use bulkhead_wire::NodeProgram;
use tokio::sync::watch;

use crate::enforcer::{Enforced, Enforcer};

/// The fail-safe port of `HOST:PORT`, to any address: a name may come to mean another one, and what goes to
/// the address of a Service is judged by the one behind it. `None` where there is no port.
pub fn to_server(server: &str) -> Option<FailsafePort> {
    let (_, port) = server.rsplit_once(':')?;
    Some(FailsafePort { protocol: Protocol::TCP, port: port.parse().ok()?, net: None })
}

/// Enforces every program with the way left open.
pub struct WayOpen {
    inner: Arc<dyn Enforcer>,
    way: Option<FailsafePort>,
}

impl WayOpen {
    pub fn new(inner: Arc<dyn Enforcer>, server: &str) -> Self {
        Self { inner, way: to_server(server) }
    }
}

impl Enforcer for WayOpen {
    fn enforce(&self, program: Arc<NodeProgram>) -> Enforced {
        self.inner.enforce(match self.way {
            Some(way) if !program.hosts.is_empty() => with_way(program, way),
            _ => program,
        })
    }

    fn report(&self) -> watch::Receiver<EnforceReport> {
        self.inner.report()
    }
}

fn with_way(mut program: Arc<NodeProgram>, way: FailsafePort) -> Arc<NodeProgram> {
    let hosts = &mut Arc::make_mut(&mut program).hosts;
    for host in hosts.values_mut() {
        if !host.failsafe_outbound.contains(&way) {
            Arc::make_mut(host).failsafe_outbound.push(way);
        }
    }
    program
}

#[cfg(test)]
mod tests;
