//! One node's tables, edited in place, and the delta of each round of edits.
//!
//! Invariant: a row or rule is in the tables exactly as long as something names it
//! (INVARIANT(program-closed) of `wire`).

mod edits;
mod names;
mod node;
mod rows;
mod views;

pub use names::{NAME_ROWS_MAX, NAME_SETS_MAX};
pub use node::{Emission, NodeState, Painter, View};
pub use views::class_id;
