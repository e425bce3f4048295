//! The door to the kernel as the agent needs it, so that a fake can stand behind it.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use bulkhead_enforce::{EnforceError, EnforceReport, NodeHandle};
use bulkhead_wire::NodeProgram;
use tokio::sync::watch;

pub type Enforced = Pin<Box<dyn Future<Output = Result<EnforceReport, EnforceError>> + Send>>;

pub trait Enforcer: Send + Sync + 'static {
    /// Holds the kernel to the program, or leaves the last good one in place.
    fn enforce(&self, program: Arc<NodeProgram>) -> Enforced;

    /// What the kernel does now; also tells what it did before this process began.
    fn report(&self) -> watch::Receiver<EnforceReport>;
}

impl Enforcer for NodeHandle {
    fn enforce(&self, program: Arc<NodeProgram>) -> Enforced {
        Box::pin(NodeHandle::enforce(self, program))
    }

    fn report(&self) -> watch::Receiver<EnforceReport> {
        NodeHandle::report(self)
    }
}
