//! What endpoints look up: which address each knows by which names, and how it is learned.
//!
//! ```text
//! resolver ─▶ bpf/src/dns.h ─(held)─▶ message ─▶ Cache ─▶ kernel maps ─▶ frame ─▶ workload
//! ```
//!
//! INVARIANT(known-before-told): an answer reaches the workload only when the kernel holds every address
//! in it that its program tells apart, or when nobody is there to learn from it.

mod cache;

pub use cache::{Answer, Cache, Full};
