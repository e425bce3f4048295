//! The kernel side, from pure plans to real packets. Needs root, and says so by failing.
//!
//! One program, because the makers of worlds, frames and programs serve all of it.

#[cfg(test)]
mod bench;
#[cfg(test)]
mod dns;
#[cfg(test)]
mod packets;
#[cfg(test)]
mod programs;
#[cfg(test)]
mod random;
#[cfg(test)]
mod world;

#[cfg(test)]
mod bpf_flows;
#[cfg(test)]
mod bpf_fragments;
#[cfg(test)]
mod bpf_judge;
#[cfg(test)]
mod bpf_mac;
#[cfg(test)]
mod bpf_names;
#[cfg(test)]
mod bpf_packet;
#[cfg(test)]
mod bpf_worlds;
#[cfg(test)]
mod netns_backends;
#[cfg(test)]
mod netns_bridge;
#[cfg(test)]
mod netns_drift;
#[cfg(test)]
mod netns_flows;
#[cfg(test)]
mod netns_gate;
#[cfg(test)]
mod netns_hosts;
#[cfg(test)]
mod netns_logged;
#[cfg(test)]
mod netns_names;
#[cfg(test)]
mod netns_node;
#[cfg(test)]
mod netns_services;
#[cfg(test)]
mod netns_takeover;
#[cfg(test)]
mod netns_update;
#[cfg(test)]
mod plan;
