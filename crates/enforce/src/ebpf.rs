//! The eBPF back end: a pure plan, a dull apply, and a way to read back what is there.

pub mod denies;
pub mod encode;
pub mod extents;
pub mod plan;

pub use plan::{Bindings, Ground, Place, plan, plan_on, plan_places};
