//! A world on the network: namespaces, wires, listeners and probes. No policy anywhere yet.
//!
//! Invariant: what [`Net`] made is gone when it is dropped; sockets first, then names.

mod connect;
mod icmp;
mod ip;
pub mod layout;
mod listen;
mod raw;
mod rewire;
mod sctp;

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use bulkhead_types::{EndpointId, Protocol};
use futures::stream::{self, StreamExt};
use socket2::Type;
use tokio::net::{TcpListener, TcpSocket, TcpStream, UdpSocket};
use tokio::sync::Mutex;
use tokio::task::JoinSet;

use crate::claim::Claim;
use crate::netns::{NetNs, Walker};
use crate::probe::{Outcome, Patience, Probe};
use crate::world::{Endpoint, World};
use connect::Path;
use layout::Lines;

/// Namespaces are made this many at a time.
const PARALLEL: usize = 8;

/// The running namespaces of a world.
#[derive(Debug)]
pub struct Net {
    state: Mutex<State>,
    walker: Walker,
    claim: Arc<Claim>,
}

#[derive(Debug)]
struct State {
    /// Listeners; dropped, and with them their sockets, before the namespaces.
    tasks: JoinSet<()>,
    /// What listens, and whether it is ours and echoes.
    listening: BTreeMap<(IpAddr, Protocol, u16), bool>,
    sctp: BTreeMap<IpAddr, listen::SctpPorts>,
    outside_addresses: BTreeSet<IpAddr>,
    outside: NetNs,
    nodes: BTreeMap<String, (usize, NetNs)>,
    places: BTreeMap<EndpointId, NetNs>,
    world: World,
    endpoints_made: usize,
}

impl Net {
    /// Makes the namespaces of a world; nothing listens yet.
    pub async fn up(claim: Arc<Claim>, world: &World) -> Result<Self> {
        let walker = Walker::start()?;
        let name = claim.netns("out");
        ip::batch(None, &format!("netns add {name}\n")).await?;
        let outside = NetNs::open(&name)?;
        ip::set_switches(&walker, &outside, true)?;
        ip::batch(Some(&name), &layout::outside()).await?;
        let state = State {
            tasks: JoinSet::new(),
            listening: BTreeMap::new(),
            sctp: BTreeMap::new(),
            outside_addresses: BTreeSet::new(),
            outside,
            nodes: BTreeMap::new(),
            places: BTreeMap::new(),
            world: World::default(),
            endpoints_made: 0,
        };
        let net = Self { state: Mutex::new(state), walker, claim };
        for node in &world.nodes {
            net.add_node(node).await?;
        }
        net.add_endpoints(&world.endpoints).await?;
        Ok(net)
    }

    pub async fn add_node(&self, node: &str) -> Result<()> {
        let mut state = self.state.lock().await;
        let index = state.nodes.len() + 1;
        let name = self.claim.netns(&format!("node{index}"));
        ip::batch(None, &format!("netns add {name}\n")).await?;
        let netns = NetNs::open(&name)?;
        ip::set_switches(&self.walker, &netns, true)?;
        let lines = layout::node(index, &name);
        ip::batch(Some(&state.outside.name), &lines.outside).await?;
        ip::batch(Some(&name), &lines.node).await?;
        state.nodes.insert(node.to_owned(), (index, netns));
        state.world.nodes.push(node.to_owned());
        Ok(())
    }

    /// Makes the namespaces of more endpoints, on nodes that exist.
    pub async fn add_endpoints(&self, endpoints: &[Endpoint]) -> Result<()> {
        let mut state = self.state.lock().await;
        let mut names = String::new();
        let mut outside = String::new();
        let mut by_node: BTreeMap<&str, String> = BTreeMap::new();
        let mut insides = Vec::new();
        for endpoint in endpoints {
            let index = state.endpoints_made;
            state.endpoints_made += 1;
            let (node, _) = state.nodes.get(&endpoint.node).with_context(|| {
                format!(
                    "`{}` is on node `{}`, which the lab does not have",
                    endpoint.id, endpoint.node
                )
            })?;
            let name = self.claim.netns(&format!("p{index}"));
            let lines: Lines = layout::endpoint(endpoint, index, *node, &name);
            names.push_str(&format!("netns add {name}\n"));
            outside.push_str(&lines.outside);
            by_node.entry(&endpoint.node).or_default().push_str(&lines.node);
            insides.push((endpoint, name, lines.endpoint));
        }
        ip::batch(None, &names).await?;
        for (endpoint, name, _) in &insides {
            let netns = NetNs::open(name)?;
            ip::set_switches(&self.walker, &netns, false)?;
            state.places.insert(endpoint.id.clone(), netns);
        }
        for (node, lines) in by_node {
            let (_, netns) = state.nodes.get(node).context("the node has gone")?;
            ip::batch(Some(&netns.name), &lines).await?;
        }
        ip::batch(Some(&state.outside.name), &outside).await?;
        let mut made = stream::iter(insides)
            .map(|(_, name, lines)| async move { ip::batch(Some(&name), &lines).await })
            .buffer_unordered(PARALLEL);
        while let Some(result) = made.next().await {
            result?;
        }
        drop(made);
        state.world.endpoints.extend(endpoints.iter().cloned());
        Ok(())
    }

    /// The namespace of a node, for its agent.
    pub async fn node(&self, name: &str) -> Result<NetNs> {
        let state = self.state.lock().await;
        let (_, netns) =
            state.nodes.get(name).with_context(|| format!("the lab has no node `{name}`"))?;
        Ok(netns.clone())
    }

    /// The namespace and the addresses of an endpoint called `namespace/name`.
    pub async fn endpoint(&self, name: &str) -> Result<(NetNs, Endpoint)> {
        let state = self.state.lock().await;
        let endpoint = state.world.endpoint(name);
        let endpoint = endpoint.with_context(|| format!("the lab has no endpoint `{name}`"))?;
        let netns = state.places.get(&endpoint.id).context("the endpoint has no namespace")?;
        Ok((netns.clone(), endpoint.clone()))
    }

    /// Opens sockets in namespaces.
    pub fn walker(&self) -> &Walker {
        &self.walker
    }

    /// The outside namespace, with these addresses of its own.
    pub async fn outside(&self, addresses: &[IpAddr]) -> Result<NetNs> {
        let mut state = self.state.lock().await;
        state.add_outside(addresses.iter().copied()).await?;
        Ok(state.outside.clone())
    }

    pub fn tcp_listener(&self, netns: &NetNs, at: SocketAddr) -> Result<TcpListener> {
        let failed = move || format!("cannot listen on {at}");
        let open = move || listen::open(at, Type::STREAM).with_context(failed);
        Ok(TcpListener::from_std(self.walker.within(netns, open)?.into())?)
    }

    pub async fn tcp_connect(
        &self,
        netns: &NetNs,
        src: IpAddr,
        dst: SocketAddr,
    ) -> Result<TcpStream> {
        let socket = connect::open(&self.walker, netns, SocketAddr::new(src, 0), Type::STREAM)?;
        Ok(TcpSocket::from_std_stream(socket.into()).connect(dst).await?)
    }

    /// The addresses that a probe's packets have.
    pub async fn addresses(&self, probe: &Probe) -> Result<(IpAddr, IpAddr)> {
        let path = self.state.lock().await.path(probe)?;
        Ok((path.src, path.dst))
    }

    /// Echo listeners on every declared port of every endpoint.
    pub async fn listen(&self) -> Result<()> {
        let mut state = self.state.lock().await;
        let mut wanted = Vec::new();
        for endpoint in &state.world.endpoints {
            for address in &endpoint.addresses {
                wanted.extend(
                    endpoint
                        .ports
                        .iter()
                        .map(|(protocol, port)| (endpoint.id.clone(), *address, *protocol, *port)),
                );
            }
        }
        for (id, address, protocol, port) in wanted {
            let netns = state.places.get(&id).context("the endpoint has no namespace")?.clone();
            state.listen(&self.walker, &netns, address, protocol, port)?;
        }
        Ok(())
    }

    /// Sends the packets of every probe; the outcomes are in the order of the probes.
    ///
    /// Destinations get a listener on the probed port where they have none, and addresses that no
    /// endpoint owns appear in the outside namespace: what fails is then the network, not the peer.
    pub async fn probe(&self, probes: &[Probe], patience: &Patience) -> Result<Vec<Outcome>> {
        let mut paths = Vec::with_capacity(probes.len());
        {
            let mut state = self.state.lock().await;
            for probe in probes {
                let path = state.path(probe).with_context(|| format!("probe {}", probe.id))?;
                paths.push(path);
            }
            state.prepare(&self.walker, &mut paths).await?;
        }
        let outcomes = stream::iter(paths)
            .map(|path| async move { self.outcome(&path, patience).await })
            .buffered(patience.parallel.max(1))
            .collect::<Vec<_>>()
            .await;
        Ok(outcomes)
    }

    async fn outcome(&self, path: &Path, patience: &Patience) -> Outcome {
        let began = Instant::now();
        for _ in 0..patience.attempts.max(1) {
            let attempt = path.attempt(&self.walker);
            match tokio::time::timeout(patience.timeout, attempt).await {
                Ok(Ok(())) => return Outcome { connected: true, took: began.elapsed() },
                Ok(Err(error)) => tracing::debug!("{path:?}: {error:#}"),
                Err(_) => {}
            }
        }
        Outcome { connected: false, took: began.elapsed() }
    }
}

impl State {
    /// Looks up both ends of a probe.
    fn path(&self, probe: &Probe) -> Result<Path> {
        let (protocol, v6) = (probe.protocol()?, probe.is_v6()?);
        let (from, src) = self.place(&probe.src, v6)?;
        let (to, dst) = self.place(&probe.dst, v6)?;
        if src.is_ipv6() != dst.is_ipv6() {
            bail!("`{src}` and `{dst}` are of different IP versions");
        }
        let protocol = if protocol.is_icmp() { icmp::protocol(v6) } else { protocol };
        if protocol.has_ports() && probe.port.unwrap_or_default() == 0 {
            bail!("{protocol} needs a `port` from 1 to 65535");
        }
        let (kind, code) = icmp::echo(v6);
        let icmp = (probe.icmp_type.unwrap_or(kind), probe.icmp_code.unwrap_or(code));
        let port = probe.port.unwrap_or_default();
        let src_port = probe.src_port.unwrap_or_default();
        Ok(Path { from, src, src_port, to, dst, protocol, port, icmp, echoes: false })
    }

    fn place(&self, text: &str, v6: bool) -> Result<(NetNs, IpAddr)> {
        let named = match text.parse::<IpAddr>() {
            Ok(address) => self.world.owner(address).map(|endpoint| (endpoint, address)),
            Err(_) => {
                let endpoint = self.world.endpoint(text);
                let endpoint = endpoint
                    .with_context(|| format!("`{text}` is neither an address nor a workload"))?;
                let family = if v6 { 6 } else { 4 };
                let address = endpoint.address(v6);
                let address =
                    address.with_context(|| format!("`{text}` has no IPv{family} address"))?;
                Some((endpoint, address))
            }
        };
        let Some((endpoint, address)) = named else {
            return Ok((self.outside.clone(), text.parse()?));
        };
        let netns = self.places.get(&endpoint.id).context("the endpoint has no namespace")?;
        Ok((netns.clone(), address))
    }

    /// Outside addresses and listeners that the paths need.
    async fn prepare(&mut self, walker: &Walker, paths: &mut [Path]) -> Result<()> {
        let outside = &self.outside.name;
        let ends = paths.iter().flat_map(|path| [(&path.from, path.src), (&path.to, path.dst)]);
        let addresses: Vec<IpAddr> =
            ends.filter(|(netns, _)| netns.name == *outside).map(|(_, address)| address).collect();
        self.add_outside(addresses.into_iter()).await?;
        for path in paths.iter_mut().filter(|path| path.protocol.has_ports()) {
            self.listen(walker, &path.to, path.dst, path.protocol, path.port)?;
            let listener = (path.dst, path.protocol, path.port);
            path.echoes = self.listening.get(&listener).copied().unwrap_or(false);
        }
        Ok(())
    }

    async fn add_outside(&mut self, addresses: impl Iterator<Item = IpAddr>) -> Result<()> {
        let mut lines = String::new();
        for address in addresses {
            if address.is_loopback() || address.is_unspecified() || address.is_multicast() {
                bail!("`{address}` cannot be an address outside");
            }
            if self.outside_addresses.insert(address) {
                lines.push_str(&layout::outside_address(address));
            }
        }
        if lines.is_empty() { Ok(()) } else { ip::batch(Some(&self.outside.name), &lines).await }
    }

    /// Makes something answer at a port, once.
    fn listen(
        &mut self,
        walker: &Walker,
        netns: &NetNs,
        address: IpAddr,
        protocol: Protocol,
        port: u16,
    ) -> Result<()> {
        if self.listening.contains_key(&(address, protocol, port)) {
            return Ok(());
        }
        let at = SocketAddr::new(address, port);
        let open = |kind| {
            let failed = move || format!("cannot listen on {at} ({protocol})");
            walker.within(netns, move || match listen::open(at, kind) {
                // someone else's service: it answers, but it does not echo
                Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => Ok(None),
                opened => opened.map(Some).with_context(failed),
            })
        };
        let mut ours = true;
        match protocol {
            Protocol::TCP => match open(Type::STREAM)? {
                Some(socket) => {
                    let listener = TcpListener::from_std(socket.into())?;
                    self.tasks.spawn(listen::tcp(listener));
                }
                None => ours = false,
            },
            Protocol::UDP => match open(Type::DGRAM)? {
                Some(socket) => {
                    let socket = UdpSocket::from_std(socket.into())?;
                    self.tasks.spawn(listen::udp(socket));
                }
                None => ours = false,
            },
            Protocol::SCTP => {
                if let Some(ports) = self.sctp.get(&address) {
                    ports.add(port);
                } else {
                    let socket =
                        walker.within(netns, move || Ok(listen::SctpPorts::open(address)?))?;
                    let ports = listen::SctpPorts::default();
                    ports.add(port);
                    self.tasks.spawn(ports.clone().serve(socket, address.is_ipv6()));
                    self.sctp.insert(address, ports);
                }
            }
            // nothing to listen on
            _ => {}
        }
        self.listening.insert((address, protocol, port), ours);
        Ok(())
    }
}
