//! One node's tables, edited in place, and the delta of each round of edits.
//!
//! Invariant: a row or rule is in the tables exactly as long as something names it
//! (INVARIANT(program-closed) of `wire`).

mod edits;
mod node;

pub use node::{Emission, NodeState, Painter};
