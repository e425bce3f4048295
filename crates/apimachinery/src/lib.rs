//! The rules of Kubernetes objects as pure functions over JSON values: what is served, what is
//! valid, what a patch or an apply makes of an object, how it is shown.
//!
//! The server brings the store, the clock and HTTP; here time, uids and managers are arguments.
//! Reading order is the order of a write: `kinds` and `schema` say what exists, `body` reads,
//! `strict` prunes, `patch`/`apply` change, `defaulting` completes, `validate` judges, `meta` keeps
//! the books, and `write` strings them together. `status` is every answer that is not an object.
//!
//! Architecture Invariant: no I/O, no clock, no randomness, no async.
#![deny(clippy::disallowed_methods)]

pub mod apply;
pub mod body;
pub mod crd;
pub mod defaulting;
pub mod discovery;
pub mod field;
pub mod foreign;
pub mod kinds;
pub mod meta;
pub mod openapi;
pub mod patch;
pub mod protobuf;
pub mod schema;
pub mod select;
pub mod status;
pub mod strict;
pub mod table;
pub mod validate;
pub mod write;
