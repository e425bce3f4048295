//! The gate of a host at boot, on real packets.

use std::net::SocketAddr;

use bulkhead_enforce::gate::{self, Failsafe};
use bulkhead_enforce::{MapSizes, Node, NodeOptions};
use bulkhead_types::{FailsafePort, Protocol};
use bulkhead_wire::NodeProgram;

use crate::netns_node::{connect, enforce, is_closed, listen};
use crate::world::{inside, sh};

/// A host and its neighbour; gone when dropped.
struct Pair {
    host: String,
    peer: String,
}

impl Pair {
    fn new() -> Self {
        let tag = format!("bhk-g{}", std::process::id());
        let (host, peer) = (format!("{tag}-host"), format!("{tag}-peer"));
        sh(&format!(
            "set -e; ip netns add {host}; ip netns add {peer}
             ip -n {host} link set lo up
             ip -n {host} link add up0 type veth peer name up0 netns {peer}
             for n in {host} {peer}; do
               ip netns exec $n sysctl -qw net.ipv6.conf.up0.accept_dad=0
               ip -n $n link set up0 up
             done
             ip -n {host} addr add 10.67.0.1/24 dev up0; ip -n {peer} addr add 10.67.0.2/24 dev up0
             ip -n {host} addr add fd67::1/64 dev up0 nodad
             ip -n {peer} addr add fd67::2/64 dev up0 nodad"
        ));
        Self { host, peer }
    }

    fn host_netns(&self) -> String {
        format!("/var/run/netns/{}", self.host)
    }
}

impl Drop for Pair {
    fn drop(&mut self) {
        let _ = Node::teardown(format!("/sys/fs/bpf/{}", self.host).as_ref(), None);
        for netns in [&self.host, &self.peer] {
            let _ = std::process::Command::new("ip").args(["netns", "del", netns]).output();
        }
    }
}

fn at(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

fn port(port: u16, net: Option<&str>) -> FailsafePort {
    FailsafePort { protocol: Protocol::TCP, port, net: net.map(|net| net.parse().unwrap()) }
}

#[test]
fn only_failsafe_traffic_passes_until_the_agent_has_a_program() {
    let pair = Pair::new();
    let (host, peer) = (&pair.host, &pair.peer);
    let _services = [
        (host, "10.67.0.1:22"),
        (host, "[fd67::1]:22"),
        (host, "10.67.0.1:2222"),
        (host, "10.67.0.1:2223"),
        (peer, "10.67.0.2:6444"),
        (peer, "10.67.0.2:80"),
    ]
    .map(|(netns, address)| listen(netns, at(address)));
    let _web = listen(host, at("10.67.0.1:80"));
    let login = listen(host, at("10.67.0.1:2200"));

    let failsafe = Failsafe {
        inbound: vec![
            port(22, None),
            port(2200, None),
            port(2222, Some("10.67.0.0/24")),
            port(2223, Some("10.68.0.0/16")),
        ],
        outbound: vec![port(6444, None)],
    };
    let netns = pair.host_netns();
    gate::close(Some(netns.as_ref()), &failsafe).unwrap();
    let client = connect(peer, login.local_addr().unwrap()).unwrap();
    let (server, _) = login.accept().unwrap();
    gate::close(Some(netns.as_ref()), &failsafe).unwrap();
    crate::netns_node::talk(&client, &server).expect("a closed gate can be closed again");
    for open in ["10.67.0.1:22", "[fd67::1]:22", "10.67.0.1:2222"] {
        connect(peer, at(open)).unwrap_or_else(|error| panic!("{open}: {error}"));
    }
    connect(host, at("10.67.0.2:6444")).unwrap();
    for shut in ["10.67.0.1:80", "10.67.0.1:2223"] {
        assert!(is_closed(peer, at(shut)), "{shut} passes the gate");
    }
    assert!(is_closed(host, at("10.67.0.2:80")), "a connection out passes the gate");
    let lo = inside(host, || std::net::TcpListener::bind("127.0.0.1:0").unwrap());
    connect(host, lo.local_addr().unwrap()).unwrap();

    let mut options = NodeOptions::new("test-node", format!("/sys/fs/bpf/{host}"));
    options.netns = Some(netns.clone().into());
    options.interface_prefixes = vec!["bhl".to_owned()];
    options.sizes = MapSizes::SMALL;
    let (handle, _records) = Node::start(options).unwrap();
    assert!(is_closed(peer, at("10.67.0.1:80")), "an agent without a program lifts the gate");
    enforce(&handle, NodeProgram { revision: bulkhead_types::Revision(1), ..Default::default() });
    connect(peer, at("10.67.0.1:80")).unwrap();
    connect(host, at("10.67.0.2:80")).unwrap();
    assert!(!gate::open(Some(netns.as_ref())).unwrap(), "it is there no more");
}
