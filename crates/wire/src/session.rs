//! What passes on a node's session: the join, then programs down and answers up.
//!
//! A node tells what it *holds* (the program that deltas apply to) and what it *enforces* (the last
//! one that its kernel took): the two differ while a program is being written or was refused.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use bulkhead_types::{EndpointId, Labels, Revision};

use crate::delta::ProgramDelta;
use crate::flow::FlowRecord;
use crate::program::NodeProgram;

/// The name that every server certificate carries and every node asks for: nodes reach the server by
/// any address, and the certificate authority is the server's own.
pub const SERVER_NAME: &str = "bulkhead-server";

/// gRPC paths of the node service.
pub mod path {
    pub const SERVICE: &str = "bulkhead.node.v1.Nodes";
    pub const JOIN: &str = "/bulkhead.node.v1.Nodes/Join";
    pub const CONNECT: &str = "/bulkhead.node.v1.Nodes/Connect";
    pub const REPORT_FLOWS: &str = "/bulkhead.node.v1.Nodes/ReportFlows";
}

/// Exchanges a one-time token for a node certificate. The private key never leaves the node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JoinRequest {
    pub version: u32,
    pub node: String,
    pub token: String,
    /// PKCS #10, PEM. Its subject is not looked at: the token says which node this is.
    pub certificate_request: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JoinResponse {
    /// PEM.
    pub certificate: String,
    /// PEM of the authority that signed it, which also signs the server's certificate.
    pub authority: String,
}

/// A node's first word on its session.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hello {
    pub version: u32,
    pub node: String,
    pub agent_version: String,
    /// Revision of the program that the node holds; 0 when it has none.
    pub holds: Revision,
    /// [`NodeProgram::digest`] of that program: after a server restart an equal one is not sent again.
    pub digest: u64,
    /// The last revision that the kernel took; 0 when unknown.
    pub enforces: Revision,
    /// The [`Welcome::life`] of the server that gave the program; 0 when the node does not know.
    pub life: u64,
}

/// The server's first word on a session.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Welcome {
    /// Drawn anew by each start of a server: deltas can be resumed only within one life, because
    /// only there the same revision is sure to have the same content.
    pub life: u64,
}

/// The kernel took a program.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ack {
    pub revision: Revision,
    /// Unix time in nanoseconds at which the kernel had it.
    pub at_ns: u64,
}

/// The kernel did not take a program; the last good one stays.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Nack {
    pub revision: Revision,
    pub reason: String,
}

/// How a node is, from time to time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NodeStatus {
    pub enforced: Revision,
    pub enforced_at_ns: u64,
    /// Endpoints with an interface under enforcement.
    pub n_attached: u32,
    /// Endpoints whose interface has not appeared yet.
    pub n_waiting: u32,
    /// The first of them, by name.
    pub waiting: Vec<EndpointId>,
    /// Flow records lost on the node since its agent started.
    pub flows_lost: u64,
    /// Log events that were over the rate since its agent started.
    pub log_events_suppressed: u64,
    /// What keeps the kernel from its program, in sentences; empty when nothing does.
    pub drift: Vec<String>,
}

/// What a node finds around itself; each one replaces the last.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Surroundings {
    /// What its flags and its cloud say of it. The server takes only what a node may say.
    pub labels: Labels,
    /// Pods and workloads to which the node's container runtime has given addresses that the API may
    /// not have yet.
    pub given: BTreeMap<EndpointId, BTreeSet<IpAddr>>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FromNode {
    Hello(Hello),
    Ack(Ack),
    Nack(Nack),
    Status(NodeStatus),
    /// The node cannot apply what it was sent (a gap, a bad message): it wants the whole program.
    WantSnapshot {
        reason: String,
    },
    Surroundings(Surroundings),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ToNode {
    Welcome(Welcome),
    Program(Arc<NodeProgram>),
    Delta(Arc<ProgramDelta>),
}

/// Flow records on their way up. `(boot, sequence)` makes a batch that is sent twice count once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FlowBatch {
    /// Drawn anew by each start of an agent.
    pub boot: u64,
    /// Counts the batches of one boot, from 1.
    pub sequence: u64,
    pub records: Vec<FlowRecord>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FlowReceipt {
    pub sequence: u64,
}
