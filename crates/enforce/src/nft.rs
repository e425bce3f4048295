//! The nftables back end: one table of our own, whose rules never change and whose maps say everything.
//!
//! ```text
//! NodeProgram + bindings ─▶ moves ─▶ diff ─▶ banks ─▶ one transaction ─▶ maps ─▶ rules judge packets
//!                                                                                │
//!                                       FlowRecord ◀── records ◀── log group, connection tracking
//! ```
//!
//! It sees what the node routes: a workload's packets on their way through `forward`, `input` and
//! `output`. What goes over a bridge is out of its sight and closed (see `table/bridge.rs`).

mod banks;
pub mod chains;
pub mod conntrack;
pub mod denial;
mod diff;
pub mod expr;
mod fit;
mod group;
pub mod hear;
pub mod hosts;
mod intervals;
mod judge;
pub mod log;
mod maps;
pub mod message;
pub mod moves;
pub mod named;
mod numbers;
pub mod objects;
pub mod packet;
pub mod records;
mod shapes;
pub mod socket;
pub mod table;
