//! Interfaces that a container runtime has made and told of: what it says needs no finding.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use bulkhead_types::{EndpointId, Mac};

use crate::netlink::far::{FarEnds, Peer};
use crate::netlink::links::Link;
use crate::netlink::{FarEnd, pairs};
use crate::node::EnforceError;

/// By interface number.
pub type Given = BTreeMap<u32, GivenInterface>;

/// What a runtime says of an interface that it has made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NewInterface {
    /// Whom it is for; `None`: whoever has the addresses.
    pub id: Option<EndpointId>,
    /// Names on the host's side, of which one is its. None: it is found by its addresses.
    pub names: Vec<String>,
    pub addresses: BTreeSet<IpAddr>,
}

/// An interface that is one endpoint's as long as it exists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GivenInterface {
    pub ifindex: u32,
    pub name: String,
    pub id: Option<EndpointId>,
    pub addresses: BTreeSet<IpAddr>,
    /// That the workload's side had when it was given; it may send from no other.
    pub mac: Option<Mac>,
}

impl NewInterface {
    /// The interface with exactly these addresses at its other end, among the named ones if any are.
    pub fn find(
        &self,
        links: &BTreeMap<u32, Link>,
        far: &mut FarEnds,
    ) -> Result<GivenInterface, EnforceError> {
        let mut found: Vec<(u32, String, Peer)> = Vec::new();
        for (ifindex, (name, at)) in self.candidates(links, far)? {
            let Ok(peer) = far.read(at) else { continue };
            if self.addresses.is_subset(&peer.addresses) {
                found.push((ifindex, name, peer));
            }
        }
        match found.as_slice() {
            [(ifindex, name, peer)] => Ok(GivenInterface {
                ifindex: *ifindex,
                name: name.clone(),
                id: self.id.clone(),
                addresses: self.addresses.clone(),
                mac: peer.mac,
            }),
            _ => Err(self.not_found(found.len())),
        }
    }

    /// Where there are names nothing else is asked for: a node may have a thousand links.
    fn candidates(
        &self,
        links: &BTreeMap<u32, Link>,
        far: &mut FarEnds,
    ) -> Result<BTreeMap<u32, (String, FarEnd)>, EnforceError> {
        if self.names.is_empty() {
            return pairs();
        }
        let named = links.iter().filter(|(_, link)| self.names.contains(&link.name));
        let found = named.filter_map(|(ifindex, link)| {
            Some((*ifindex, (link.name.clone(), far.of(*ifindex).ok()??)))
        });
        Ok(found.collect())
    }

    fn not_found(&self, n: usize) -> EnforceError {
        let addresses: Vec<String> = self.addresses.iter().map(IpAddr::to_string).collect();
        let among = match self.names.as_slice() {
            [] => "all interfaces".to_owned(),
            names => format!("`{}`", names.join("`, `")),
        };
        EnforceError::Kernel {
            action: format!("find the interface with {} behind it", addresses.join(" and ")),
            message: format!("{n} of {among} lead to a namespace that has it"),
        }
    }
}
