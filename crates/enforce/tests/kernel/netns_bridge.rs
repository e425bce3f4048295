//! Pods on a bridge, as most network plugins make them: no host route says where they are.

use std::net::SocketAddr;

use bulkhead_enforce::{EnforceReport, MapSizes, Node, NodeHandle, NodeOptions};
use bulkhead_types::EndpointId;
use bulkhead_wire::{Judges, NodeProgram};

use crate::netns_node::{connect, enforce, is_closed, listen};
use crate::programs::Maker;
use crate::world::{inside, sh, wait_for};

/// A node with a bridge, and namespaces behind it. Gone when dropped.
struct Bridge {
    tag: String,
    pods: Vec<String>,
}

impl Bridge {
    fn new(test: &str) -> Self {
        let tag = format!("bhk-b{}{test}", std::process::id());
        sh(&format!(
            "set -e; ip netns add {tag}; ip -n {tag} link set lo up
             ip -n {tag} link add br0 type bridge; ip -n {tag} addr add 10.66.0.254/24 dev br0
             ip -n {tag} link set br0 up"
        ));
        Self { tag, pods: Vec::new() }
    }

    fn pod(&self, name: &str) -> String {
        format!("{}-{name}", self.tag)
    }

    /// With an interface but no address yet.
    fn add(&mut self, name: &str) -> String {
        let (node, pod) = (&self.tag, self.pod(name));
        sh(&format!(
            "set -e; ip netns add {pod}; ip -n {pod} link set lo up
             ip -n {node} link add bhl{name} type veth peer name eth0 netns {pod}
             ip -n {node} link set bhl{name} master br0 up; ip -n {pod} link set eth0 up"
        ));
        self.pods.push(pod.clone());
        pod
    }

    fn start(&self) -> NodeHandle {
        let mut options = NodeOptions::new("test-node", format!("/sys/fs/bpf/{}", self.tag));
        options.netns = Some(format!("/var/run/netns/{}", self.tag).into());
        options.interface_prefixes = vec!["bhl".to_owned()];
        options.sizes = MapSizes::SMALL;
        Node::start(options).unwrap().0
    }
}

impl Drop for Bridge {
    fn drop(&mut self) {
        let netns = format!("/var/run/netns/{}", self.tag);
        for netns in self.pods.iter().chain([&self.tag]) {
            let _ = std::process::Command::new("ip").args(["netns", "del", netns]).output();
        }
        let _ = Node::teardown(format!("/sys/fs/bpf/{}", self.tag).as_ref(), Some(netns.as_ref()));
    }
}

/// Pods by name and address; port 80 is open.
fn mk_program(revision: u64, pods: &[(&str, &str)]) -> NodeProgram {
    let mut maker = Maker::new(revision);
    let (ports, all) = (maker.allow_ports(&[80]), maker.allow());
    let judges = Judges { ingress: maker.judge(&ports, &[]), egress: maker.judge(&all, &[]) };
    for (name, address) in pods {
        maker.endpoint(name, &[address.parse().unwrap()], judges);
    }
    maker.program
}

fn wait_report(handle: &NodeHandle, what: &str, is: impl Fn(&EnforceReport) -> bool) {
    wait_for(what, || is(&handle.report().borrow()).then_some(()));
}

#[test]
fn pods_on_a_bridge_are_found_by_the_addresses_in_their_namespaces() {
    let mut bridge = Bridge::new("found");
    let [front, back] = ["front", "back"].map(|name| bridge.add(name));
    let handle = bridge.start();
    let pods = [("front", "10.66.0.1"), ("back", "10.66.0.2")];
    let report = enforce(&handle, mk_program(1, &pods));
    assert_eq!(report.waiting.len(), 2, "nobody has an address yet");
    sh(&format!("ip -n {front} addr add 10.66.0.1/24 dev eth0"));
    sh(&format!("ip -n {back} addr add 10.66.0.2/24 dev eth0"));
    wait_report(&handle, "both pods", |report| report.attached.len() == 2);

    let open: SocketAddr = "10.66.0.2:80".parse().unwrap();
    let shut: SocketAddr = "10.66.0.2:81".parse().unwrap();
    let _listeners = [open, shut].map(|at| listen(&back, at));
    connect(&front, open).unwrap();
    assert!(is_closed(&front, shut), "a port that no rule opens");
    connect(&bridge.tag, open).unwrap();
}

#[test]
fn an_address_that_a_pod_gives_itself_is_not_its() {
    let mut bridge = Bridge::new("stolen");
    let front = bridge.add("front");
    sh(&format!("ip -n {front} addr add 10.66.0.1/24 dev eth0"));
    let handle = bridge.start();
    let pods = [("front", "10.66.0.1"), ("back", "10.66.0.2")];
    let report = enforce(&handle, mk_program(1, &pods));
    assert_eq!(report.attached, [EndpointId::pod("test", "front")]);

    sh(&format!("ip -n {front} addr add 10.66.0.2/24 dev eth0"));
    wait_report(&handle, "a doubt", |report| !report.doubts.is_empty());
    let report = handle.report().borrow().clone();
    assert_eq!(report.waiting, [EndpointId::pod("test", "back")]);
    let stolen: SocketAddr = "10.66.0.2:80".parse().unwrap();
    let _listener = listen(&front, stolen);
    assert!(is_closed(&bridge.tag, stolen), "a stolen address is reached");

    let back = bridge.add("back");
    sh(&format!("ip -n {back} addr add 10.66.0.2/24 dev eth0"));
    wait_report(&handle, "the real owner", |report| report.waiting.is_empty());
    let _listener = listen(&back, stolen);
    sh(&format!("ip -n {} neigh flush dev br0", bridge.tag));
    sh(&format!("ip -n {front} addr del 10.66.0.2/24 dev eth0"));
    connect(&bridge.tag, stolen).unwrap();
}

#[test]
fn a_restart_does_not_forget_whose_an_interface_is() {
    let mut bridge = Bridge::new("kept");
    let front = bridge.add("front");
    sh(&format!("ip -n {front} addr add 10.66.0.1/24 dev eth0"));
    let pods = [("front", "10.66.0.1"), ("back", "10.66.0.2")];
    let handle = bridge.start();
    enforce(&handle, mk_program(1, &pods));
    drop(handle);
    sh(&format!("ip -n {front} addr del 10.66.0.1/24 dev eth0"));
    sh(&format!("ip -n {front} addr add 10.66.0.2/24 dev eth0"));
    let handle = bridge.start();
    let report = enforce(&handle, mk_program(2, &pods));
    assert_eq!(report.attached, [EndpointId::pod("test", "front")]);
    let inside_of = inside(&front, || std::net::UdpSocket::bind("10.66.0.2:53").is_ok());
    assert!(inside_of, "the pod has the address, but nothing passes under it");
}
