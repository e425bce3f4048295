//! What the node stands on: interfaces of workloads, the bridges over them, and which host endpoint
//! stands at which of the other interfaces.

use std::collections::{BTreeMap, BTreeSet};

use bulkhead_enforce_abi::{INTERFACE_ROUTED, Interface};
use bulkhead_types::{EndpointId, HostInterface};
use bulkhead_wire::NodeProgram;

use crate::ebpf::Ground;
use crate::netlink::Topology;
use crate::netlink::links::Link;

/// The key of the host endpoint that stands wherever no other does.
pub const ANYWHERE: u32 = 0;

/// `attached`: the interfaces of workloads.
pub fn ground(program: &NodeProgram, topology: &Topology, attached: &BTreeSet<u32>) -> Ground {
    let mut ground = Ground::default();
    for ifindex in attached {
        let Some(link) = topology.links.get(ifindex) else { continue };
        let bridge = link.master.and_then(|master| Some((master, topology.links.get(&master)?)));
        let (flags, mac) = match bridge {
            None => (INTERFACE_ROUTED, link.mac),
            Some((master, over)) if over.is_bridge => {
                ground.bridges.insert(*ifindex, master);
                let bridge = Interface { flags: INTERFACE_ROUTED, mac: over.mac, zero: 0 };
                ground.interfaces.insert(master, bridge);
                (INTERFACE_ROUTED, over.mac)
            }
            // A switch of another kind takes the packets before the node's IP stack does.
            Some(_) => (0, link.mac),
        };
        ground.interfaces.insert(*ifindex, Interface { flags, mac, zero: 0 });
    }
    ground.hosts = host_interfaces(program, topology, &ground.interfaces);
    ground
}

/// Which host endpoint stands at which interface of the node's own. The nearest description counts: the
/// interface's name, then an address on it, then all interfaces; among equals the first name.
pub fn host_interfaces(
    program: &NodeProgram,
    topology: &Topology,
    of_workloads: &BTreeMap<u32, Interface>,
) -> BTreeMap<u32, EndpointId> {
    let mut standing = BTreeMap::new();
    let own = topology
        .links
        .iter()
        .filter(|(ifindex, link)| !link.is_loopback && !of_workloads.contains_key(ifindex))
        .filter(|(ifindex, _)| !topology.interfaces.contains_key(ifindex));
    for (ifindex, link) in own {
        if let Some(id) = host_at(program, link) {
            standing.insert(*ifindex, id);
        }
    }
    let all = program.hosts.values().find(|host| host.interface == HostInterface::All);
    if let Some(all) = all {
        standing.insert(ANYWHERE, all.id.clone());
    }
    standing
}

fn host_at(program: &NodeProgram, link: &Link) -> Option<EndpointId> {
    let ranked = program.hosts.values().filter_map(|host| {
        let rank = match &host.interface {
            HostInterface::Named(name) if *name == link.name => 0,
            HostInterface::Named(_) => return None,
            HostInterface::ByAddress => {
                let is_on_it = host.addresses.iter().any(|a| link.addresses.contains(a));
                is_on_it.then_some(1)?
            }
            HostInterface::All => 2,
        };
        Some((rank, &host.id))
    });
    ranked.min().map(|(_, id)| id.clone())
}
