//! NetworkSets and GlobalNetworkSets: labelled addresses outside.

use bulkhead_api::ObjectKey;
use bulkhead_api::calico::NetworkSetSpec;
use bulkhead_types::Labels;
use ipnet::IpNet;

use super::own_labels;
use crate::lower::{self, Notes};
use crate::rule::DomainPattern;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NetworkSet {
    pub key: ObjectKey,
    /// Without reserved keys.
    pub labels: Labels,
    /// Sorted, without duplicates, host bits cleared.
    pub nets: Vec<IpNet>,
    /// Addresses that were looked up under these names belong to the set too. Sorted.
    pub domains: Vec<DomainPattern>,
}

impl NetworkSet {
    pub fn new(
        key: ObjectKey,
        labels: Option<&Labels>,
        spec: &NetworkSetSpec,
        notes: &mut Notes,
    ) -> Self {
        let mut nets = Vec::new();
        for (position, text) in spec.nets.iter().flatten().enumerate() {
            match lower::net(text) {
                Some(net) => nets.push(net),
                None => {
                    let field = format!("spec.nets[{position}]");
                    let message = format!("`{text}` is not an IP address or a CIDR");
                    notes.reading("the net is left out", |n| n.error(field, message));
                }
            }
        }
        nets.sort_unstable();
        nets.dedup();
        let domains = lower::of_set(spec.allowed_egress_domains.as_deref(), notes);
        Self { key, labels: own_labels(labels), nets, domains }
    }
}
