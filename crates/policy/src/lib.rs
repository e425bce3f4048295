//! The policy engine: objects in, node programs and deltas out, incrementally; also the slow truth
//! about any packet, and its explanation in sentences.
//!
//! Reading order is data order:
//!
//! ```text
//! api objects ─▶ lower ─▶ rule::Policy ──▶ resolve::Grants ─▶ resolve::Program ─┐
//!        │                     │ selectors        ▲ groups                      │ rows
//!        └─────▶ facts ─▶ select: members ─▶ groups ─▶ classes ─▶ place ─▶ emit ─▶ NodeProgram
//!                    │                                                           ProgramDelta
//!                    └──▶ decide::World: the same rules, read one by one ─▶ explain
//! ```
//!
//! Three engines answer the same question: [`World::decide`], which is obvious and slow, the
//! compiled `NodeProgram::decide` of `wire`, and the kernel. `tests/laws.rs` holds the first two
//! together on random worlds.
//!
//! Invariants:
//! - Pure: no clock, no randomness, no I/O; the same objects give the same tables in any process.
//! - Lowering never fails as a whole. What is not understood is read closed and named.
//! - One bad object never stops the others.
//! - API types end at `lower` and `facts`; wire types begin at `resolve`'s rows. In between there is
//!   one rule form. What `reach` tells leaves as API types again.
//! - What changed is worked out from what was touched, never by comparing everything.
#![warn(clippy::disallowed_methods)]

pub mod rule;

pub mod lower;

pub mod facts;

pub mod select;

pub mod resolve;

pub mod place;

pub mod emit;

pub mod engine;

pub mod reach;

pub mod decide;

pub mod explain;

pub mod cover;

pub mod convert;

/// What the engine makes; for those who may see programs but no other message to nodes.
pub use bulkhead_wire::NodeProgram;
pub use decide::{Judgement, Trace, World};
pub use engine::{Changes, Engine, Event};
pub use lower::{Diagnostic, Severity};
