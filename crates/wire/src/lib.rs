//! What nodes read and write: programs with their meaning, deltas, flow records, status.
//!
//! Messages only; transport stays in the binaries. `NodeProgram::decide` is the compiled twin of
//! `policy::decide` and the judge of every kernel back end.
//!
//! Reading order is data order: a [`program::NodeProgram`] is diffed into a [`delta::ProgramDelta`],
//! enforced by the node, and answered by [`flow::FlowRecord`]s and [`status::NodeStatus`].

pub mod decide;
pub mod delta;
pub mod flow;
pub mod id;
pub mod program;
pub mod row;

pub use delta::{DeltaError, ProgramDelta};
pub use flow::{FlowEvent, FlowRecord, Peer};
pub use id::{ClassId, ProgramId, RowId, RuleId};
pub use program::{EndpointProgram, Judges, NodeProgram};
pub use row::{Outcome, Row, Span, Spans};
