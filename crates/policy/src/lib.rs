//! The policy engine: objects and facts in, node programs and deltas out, incrementally; also the
//! slow truth about any packet, and its explanation in sentences.
#![warn(clippy::disallowed_methods)]

pub mod rule;

pub mod lower;

pub mod facts;

pub mod select;

pub mod resolve;

pub mod place;

pub mod emit;

pub mod engine;

pub mod decide;

pub mod explain;

/// What the engine makes; for those who may see programs but no other message to nodes.
pub use bulkhead_wire::NodeProgram;
pub use decide::{Judgement, Trace, World};
pub use engine::{Changes, Engine, Event};
pub use lower::{Diagnostic, Severity};
