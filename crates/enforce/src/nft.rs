//! The nftables back end: one table of our own, whose rules never change and whose maps say everything.
//!
//! ```text
//! NodeProgram + bindings ─▶ banks ─▶ one transaction ─▶ maps ─▶ rules judge packets
//!                                                                │
//!                       FlowRecord ◀── records ◀── log group, connection tracking
//! ```
//!
//! It sees what the node routes: a workload's packets on their way through `forward`, `input` and
//! `output`. What goes over a bridge is out of its sight and closed (see `bridge.rs`).

pub mod banks;
pub mod chains;
pub mod conntrack;
pub mod expr;
mod group;
pub mod hosts;
mod intervals;
mod judge;
pub mod log;
pub mod message;
pub mod objects;
pub mod packet;
pub mod records;
mod shapes;
pub mod socket;
pub mod table;
