//! What nodes read and write: programs with their meaning, deltas, flow records, status.
//!
//! Messages only; transport stays in the binaries. `NodeProgram::decide` is the compiled twin of
//! `policy::decide` and the judge of every kernel back end.
//!
//! Reading order is data order: a [`program::NodeProgram`] is diffed into a [`delta::ProgramDelta`],
//! enforced by the node, and answered by [`flow::FlowRecord`]s and [`session::NodeStatus`]. [`codec`]
//! writes and reads all of them; [`limits`] bounds what is read.

pub mod codec;
pub mod decide;
pub mod delta;
pub mod flow;
pub mod host;
pub mod id;
pub mod judged;
pub mod limits;
pub mod message;
pub mod names;
pub mod program;
pub mod row;
pub mod session;
pub mod table;

pub use codec::{Codec, DecodeError, MessageError};
pub use delta::{DeltaError, ProgramDelta};
pub use flow::{FlowEvent, FlowRecord, Peer};
pub use host::HostProgram;
pub use id::{ClassId, NameSetId, ProgramId, RowId, RuleId, Tag};
pub use judged::{JudgedAddresses, Judges};
pub use names::{NameChange, NameTables, Sight};
pub use program::{EndpointProgram, NodeProgram};
pub use row::{Leaf, Outcome, Row, Span, Spans};
pub use session::{
    Ack, FlowBatch, FlowReceipt, FromNode, Hello, JoinRequest, JoinResponse, Nack, NodeStatus,
    Surroundings, ToNode, Welcome,
};
pub use table::Table;

/// The version of the node protocol. Raised when a peer of the old version could misread a message;
/// a server refuses nodes of another version by name.
pub const VERSION: u32 = 1;
