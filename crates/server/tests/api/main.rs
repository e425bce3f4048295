//! The real server process, over the real protocol: driven by kube's client and by kubectl.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "tests fail by panic"
)]

mod bad_input;
mod client;
mod confirm;
mod durability;
mod kubectl;
mod kubectl_kinds;
mod lifecycle;
mod process;
mod security;
