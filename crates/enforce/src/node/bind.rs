//! Which interface each address of an endpoint is on.

use std::collections::BTreeSet;

use bulkhead_wire::NodeProgram;

use crate::ebpf::Bindings;
use crate::netlink::Topology;

/// The interface that the program names, or else the one that the node's host route for the address
/// names. Only attached interfaces count: no other one is judged.
pub fn bind(program: &NodeProgram, topology: &Topology, attached: &BTreeSet<u32>) -> Bindings {
    let by_name = |name: &str| {
        let found = topology.interfaces.iter().find(|(_, known)| *known == name);
        found.map(|(ifindex, _)| *ifindex)
    };
    let mut bindings = Bindings::new();
    for (id, endpoint) in program.endpoints.iter() {
        let named = endpoint.interface.as_deref().map(by_name);
        for address in endpoint.addresses.keys() {
            let ifindex = match named {
                Some(ifindex) => ifindex,
                None => topology.routes.get(address).copied(),
            };
            if let Some(ifindex) = ifindex.filter(|ifindex| attached.contains(ifindex)) {
                bindings.entry(id.clone()).or_default().insert(*address, ifindex);
            }
        }
    }
    bindings
}
