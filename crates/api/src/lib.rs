//! What people write and read: the API objects, their schemas and how manifests are read.
//!
//! Built-in Kubernetes kinds come from `k8s-openapi`; the others are spelled out here.
//! Invariant: no HTTP, no store, no logic beyond field validation; `wire` is never imported.

pub mod addressing;
pub mod calico;
pub mod enforcement;
pub mod entry;
pub mod expand;
pub mod flow;
pub mod gateway;
pub mod manifest;
pub mod network_policy_api;
pub mod object;
pub mod owner;
pub mod reach;
pub mod service;
pub mod upstream;
pub mod workload;

pub use object::{Object, ObjectKey};
