//! What a world consists of, read from its objects: endpoints with addresses and ports, and nodes.
//!
//! Pure: no namespace is made here. Invariant: every endpoint has a node and at least one address.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use anyhow::{Context, Result, bail};
use bulkhead_api::Object;
use bulkhead_types::{EndpointId, Protocol};
use k8s_openapi::api::core::v1::{Pod, PodSpec};

/// The node of endpoints that name none.
pub const DEFAULT_NODE: &str = "lab-1";

/// Everything that gets a namespace.
#[derive(Clone, Debug, Default)]
pub struct World {
    pub endpoints: Vec<Endpoint>,
    /// Names of the nodes, sorted.
    pub nodes: Vec<String>,
}

/// A pod or workload as a machine on the network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    pub id: EndpointId,
    pub node: String,
    /// IPv4 and IPv6, the first of each family is what it sends from.
    pub addresses: Vec<IpAddr>,
    pub ports: BTreeSet<(Protocol, u16)>,
}

impl Endpoint {
    /// The address of a family that the endpoint is reached at by name.
    pub fn address(&self, v6: bool) -> Option<IpAddr> {
        self.addresses.iter().copied().find(|address| address.is_ipv6() == v6)
    }
}

impl World {
    /// Objects must have their addresses (`api::addressing::assign` gives them where manifests do not).
    pub fn from_objects<'a>(objects: impl IntoIterator<Item = &'a Object>) -> Result<Self> {
        let mut world = World::default();
        for object in objects {
            let endpoint = match object {
                Object::Pod(pod) => pod_endpoint(pod)?,
                Object::Workload(workload) => Some(workload_endpoint(workload)?),
                _ => None,
            };
            world.endpoints.extend(endpoint);
        }
        world.check()?;
        let nodes: BTreeSet<String> = world.endpoints.iter().map(|e| e.node.clone()).collect();
        world.nodes = nodes.into_iter().collect();
        if world.nodes.is_empty() {
            world.nodes.push(DEFAULT_NODE.to_owned());
        }
        Ok(world)
    }

    /// The endpoint that owns an address.
    pub fn owner(&self, address: IpAddr) -> Option<&Endpoint> {
        self.endpoints.iter().find(|endpoint| endpoint.addresses.contains(&address))
    }

    /// The endpoint called `namespace/name`; a pod before a workload of the same name.
    pub fn endpoint(&self, name: &str) -> Option<&Endpoint> {
        self.endpoints
            .iter()
            .filter(|endpoint| endpoint.id.to_string() == name)
            .min_by_key(|endpoint| endpoint.id.kind)
    }

    fn check(&self) -> Result<()> {
        let mut owners = BTreeMap::new();
        for endpoint in &self.endpoints {
            if endpoint.addresses.is_empty() {
                bail!("`{}` has no address: give it one or let the loader assign one", endpoint.id);
            }
            for address in &endpoint.addresses {
                if let Some(other) = owners.insert(*address, &endpoint.id) {
                    bail!("`{other}` and `{}` both have the address `{address}`", endpoint.id);
                }
            }
        }
        Ok(())
    }
}

fn pod_endpoint(pod: &Pod) -> Result<Option<Endpoint>> {
    let id = EndpointId::pod(
        pod.metadata.namespace.as_deref().unwrap_or("default"),
        pod.metadata.name.as_deref().unwrap_or_default(),
    );
    let spec = pod.spec.as_ref();
    let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
    let host_network = spec.and_then(|spec| spec.host_network).unwrap_or(false);
    if host_network || matches!(phase, Some("Succeeded" | "Failed")) {
        return Ok(None);
    }
    let mut texts = BTreeSet::new();
    let mut addresses = Vec::new();
    let status = pod.status.as_ref();
    let listed = status.and_then(|s| s.pod_ips.as_ref()).into_iter().flatten().map(|ip| &ip.ip);
    for text in listed.chain(status.and_then(|s| s.pod_ip.as_ref())) {
        if texts.insert(text.clone()) {
            addresses.push(text.parse().with_context(|| format!("pod `{id}`, address `{text}`"))?);
        }
    }
    let ports = spec.map(|spec| pod_ports(&id, spec)).transpose()?.unwrap_or_default();
    let node = spec.and_then(|spec| spec.node_name.clone()).filter(|name| !name.is_empty());
    Ok(Some(Endpoint {
        id,
        node: node.unwrap_or_else(|| DEFAULT_NODE.to_owned()),
        addresses,
        ports,
    }))
}

fn pod_ports(id: &EndpointId, spec: &PodSpec) -> Result<BTreeSet<(Protocol, u16)>> {
    let sidecars = spec.init_containers.iter().flatten();
    let sidecars = sidecars.filter(|c| c.restart_policy.as_deref() == Some("Always"));
    let containers = spec.containers.iter().chain(sidecars);
    containers
        .flat_map(|container| container.ports.iter().flatten())
        .map(|port| listened(id, port.protocol.as_deref(), port.container_port))
        .collect()
}

fn workload_endpoint(workload: &bulkhead_api::workload::Workload) -> Result<Endpoint> {
    let id = EndpointId::workload(
        workload.metadata.namespace.as_deref().unwrap_or("default"),
        workload.metadata.name.as_deref().unwrap_or_default(),
    );
    let spec = &workload.spec;
    let addresses = spec
        .addresses
        .iter()
        .map(|text| text.parse().with_context(|| format!("workload `{id}`, address `{text}`")))
        .collect::<Result<_>>()?;
    let ports = spec
        .ports
        .iter()
        .map(|port| listened(&id, port.protocol.as_deref(), port.port))
        .collect::<Result<_>>()?;
    let node = spec.node_name.clone().filter(|name| !name.is_empty());
    Ok(Endpoint { id, node: node.unwrap_or_else(|| DEFAULT_NODE.to_owned()), addresses, ports })
}

fn listened(id: &EndpointId, protocol: Option<&str>, port: i32) -> Result<(Protocol, u16)> {
    let protocol =
        protocol.unwrap_or("TCP").parse().with_context(|| format!("a port of `{id}`"))?;
    let port = u16::try_from(port).ok().filter(|port| *port > 0);
    Ok((protocol, port.with_context(|| format!("`{id}`: ports are numbers from 1 to 65535"))?))
}

#[cfg(test)]
mod tests;
