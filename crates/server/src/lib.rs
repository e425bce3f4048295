//! `bulkhead-server`: the Kubernetes API over the store, the controller, and the node stream.
//!
//! ```text
//!  kubectl ──mTLS──▶ http ──▶ objects (rules of apimachinery) ──▶ store
//!                                                                  │ watch
//!  bulkhead flows ◀── flows ◀── ingest ◀──┐       background ◀─────┤
//!                                         │                        ▼
//!  agents ◀──────── gRPC, mTLS ────────▶ nodes ◀── programs ── controller
//! ```
//!
//! Architecture Invariants:
//! * Every write of an object, by a person or by the server itself, goes through [`objects`]; where the
//!   objects are those of another API server, through [`upstream`] to it.
//! * Only the controller computes programs; only it writes the compiled model.
//! * Nobody is served without a certificate of our own CA.

pub mod auth;
pub mod backbone;
pub mod background;
pub mod config;
pub mod confirm;
pub mod controller;
pub mod files;
pub mod flows;
pub mod http;
pub mod ingest;
pub mod join;
pub mod kubeconfig;
pub mod node_labels;
pub mod nodes;
pub mod objects;
pub mod pki;
mod random;
pub mod registry;
pub mod run;
pub mod shutdown;
pub mod state;
pub mod status;
pub mod tls;
pub mod upstream;

pub use run::run;
pub use state::AppState;
