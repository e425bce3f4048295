//! The real server process, over the real protocol: driven by kube's client and by kubectl.

mod bad_input;
mod client;
mod durability;
mod kubectl;
mod kubectl_kinds;
mod lifecycle;
mod process;
mod security;
