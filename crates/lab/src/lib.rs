//! Builds worlds out of manifests: network namespaces, listeners, real packets, and the programs
//! under test around them.
//!
//! ```text
//! manifests ─▶ World ─▶ Net (namespaces, veths, listeners) ─▶ Probe ─▶ Outcome
//!              (plan)    │
//!                        └─ Lab = Net + bulkhead-server + one bulkhead-agent a node
//! ```
//!
//! Invariants: the root network namespace gains nothing; everything a lab makes carries the prefix of
//! its [`claim::Claim`] and goes when the claim goes, at the latest on the next start after a kill -9.
//! Server, agent and CLI are programs that the lab starts, never crates that it imports.

pub mod claim;
pub mod command;
pub mod control;
pub mod flows;
pub mod lab;
pub mod manifests;
pub mod net;
pub mod netns;
mod nonce;
pub mod objects;
pub mod probe;
pub mod prober;
pub mod process;
pub mod shop;
pub mod soak;
pub mod world;

pub use lab::Lab;
pub use net::Net;
pub use probe::{Outcome, Probe};
pub use prober::Prober;
pub use world::World;
