//! `bulkhead-cni`: the last plugin of a CNI chain. It hands the interface that the plugins before it
//! made to this node's agent, and returns when the workload's policy is in the kernel.
//!
//! ```text
//!  runtime ──ADD, configuration, prevResult──▶ plugin ──[local::Request]──▶ agent ──▶ kernel
//!          ◀──prevResult as it came, or error──       ◀──[local::Answer]───
//! ```
//!
//! Invariants: nothing is decided here and no interface is touched: the agent does that, and it alone.
//! A result is passed on as it came. DEL never stands in the way of a container's end.

pub mod config;
pub mod error;
pub mod local;
pub mod plugin;
pub mod result;

pub use error::CniError;
pub use plugin::{Call, run};

/// Versions of the specification whose configurations and results are understood.
pub const VERSIONS: [&str; 4] = ["0.3.1", "0.4.0", "1.0.0", "1.1.0"];
