//! Nodes, as rules see them: labels, and the addresses that the node says are its own.

use std::net::IpAddr;

use bulkhead_types::Labels;
use k8s_openapi::api::core::v1::Node;

use crate::lower::Notes;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NodeFacts {
    pub labels: Labels,
    /// Sorted, without duplicates.
    pub addresses: Vec<IpAddr>,
}

impl NodeFacts {
    pub fn new(node: &Node, notes: &mut Notes) -> Self {
        let status = node.status.as_ref();
        let written = status.and_then(|status| status.addresses.as_deref()).unwrap_or_default();
        let mut addresses = Vec::new();
        for (position, address) in written.iter().enumerate() {
            // The others are names.
            if !matches!(address.type_.as_str(), "InternalIP" | "ExternalIP") {
                continue;
            }
            match address.address.parse::<IpAddr>() {
                Ok(address) => addresses.push(address),
                Err(_) => {
                    let field = format!("status.addresses[{position}]");
                    let message = format!("`{}` is not an IP address", address.address);
                    notes.reading("the address is left out", |n| n.error(field, message));
                }
            }
        }
        addresses.sort_unstable();
        addresses.dedup();
        Self { labels: node.metadata.labels.clone().unwrap_or_default(), addresses }
    }
}
