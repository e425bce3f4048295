//! The kernel's network enforcement behind one door: a [`bulkhead_wire::NodeProgram`] goes in, the
//! kernel is held to it, and [`bulkhead_wire::FlowRecord`]s come out.
//!
//! ```text
//! NodeProgram + bindings ─▶ plan ─▶ KernelOps ─▶ apply ─▶ pinned maps ─▶ bpf/ judges packets
//!                            ▲                                               │
//!                       Tables ◀── read ◀── pinned maps        ring buffer, flow table
//!                                                                            ▼
//!                                                     KernelEvent ─▶ FlowRecord
//! ```
//!
//! Invariants: nothing here knows a policy or an API object. No other crate has `unsafe`. A packet is
//! judged by the old program or by the new one, never by a mixture. What is pinned goes on judging
//! when this process is gone.

pub mod dns;
pub mod ebpf;
pub mod events;
pub mod gate;
pub mod kernel;
pub mod limits;
pub mod netlink;
pub mod nft;
pub mod node;
pub mod realized;
pub mod resets;

pub use limits::MapSizes;
pub use node::{
    BackendChoice, BackendKind, EnforceError, EnforceReport, Node, NodeHandle, NodeOptions,
};
