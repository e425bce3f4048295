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

pub use decide::{Judgement, Trace, World};
pub use engine::{Changes, Engine, Event};
pub use lower::{Diagnostic, Severity};
