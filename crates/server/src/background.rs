//! Reconcilers: tasks that watch the store and put right what the rules of the API ask for later.
//!
//! Each goes through the front door like anybody else, keeps no truth of its own, and starts from
//! the whole state again when it has fallen behind.

pub mod confirm;
pub mod defaults;
pub mod follow;
pub mod garbage;
pub mod namespaces;
