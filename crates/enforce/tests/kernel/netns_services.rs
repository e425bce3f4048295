//! Services: what a node translates is judged by the real back end, whoever translates.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::process::Command;

use bulkhead_enforce::BackendChoice;
use bulkhead_types::Direction;
use bulkhead_wire::{FlowEvent, Judges};

use crate::netns_hosts::{Outside, SHORT, at};
use crate::netns_node::{connect, enforce, is_closed, listen, talk};
use crate::programs::Maker;
use crate::world::{World, sh, wait_for};

const OUT: Direction = Direction::Egress;

/// Who translates the addresses of Services on a node.
#[derive(Clone, Copy)]
pub enum Proxy {
    Nftables,
    /// By either of the programs of that name: on the kernel's nftables, and on its own older tables.
    Iptables(&'static str),
}

/// As a Service is translated on a node: what goes to a port of `address` goes to a pod.
pub fn translate(world: &World, proxy: Proxy, (address, at): (&str, u16), to: (Ipv4Addr, u16)) {
    let (node, (to, port)) = (world.node(), to);
    let enter = format!("nsenter --net=/var/run/netns/{node}");
    match proxy {
        Proxy::Nftables => sh(&format!(
            "{enter} nft -f - <<'E'
             add table ip services
             add chain ip services pre {{ type nat hook prerouting priority -100 ; }}
             add chain ip services out {{ type nat hook output priority -100 ; }}
             add rule ip services pre ip daddr {address} tcp dport {at} dnat to {to}:{port}
             add rule ip services out ip daddr {address} tcp dport {at} dnat to {to}:{port}
E"
        )),
        Proxy::Iptables(program) => {
            for chain in ["PREROUTING", "OUTPUT"] {
                sh(&format!(
                    "{enter} {program} -w -t nat -A {chain} -d {address}/32 -p tcp --dport {at} \\
                     -m comment --comment 'shop/web' -j DNAT --to-destination {to}:{port}"
                ));
            }
        }
    }
}

#[test]
fn a_service_of_a_proxy_on_nftables_is_judged_by_the_back_end_that_it_leads_to() {
    a_service_is_judged_by_its_back_end(Proxy::Nftables);
}

#[test]
fn a_service_of_a_proxy_on_iptables_is_judged_by_the_back_end_that_it_leads_to() {
    a_service_is_judged_by_its_back_end(Proxy::Iptables("iptables-nft"));
}

#[test]
fn a_service_of_a_proxy_on_legacy_iptables_is_judged_by_the_back_end_that_it_leads_to() {
    a_service_is_judged_by_its_back_end(Proxy::Iptables("iptables-legacy"));
}

fn a_service_is_judged_by_its_back_end(proxy: Proxy) {
    let world = World::new(3);
    let (handle, mut records) = world.start();
    let [client, open, shut] = [0, 1, 2].map(|n: usize| &world.pods[n]);
    translate(&world, proxy, ("10.96.0.1", 80), (open.v4, 8080));
    translate(&world, proxy, ("10.96.0.2", 80), (shut.v4, 8080));
    let class = bulkhead_wire::ClassId(7);
    let program = |revision, port: u16| {
        let mut maker = Maker::new(revision);
        maker.class(&format!("{}/32", open.v4), class);
        let (all, none, some) = (maker.allow(), maker.deny(), maker.allow_ports(&[port]));
        let free = maker.judge(&all, &[]);
        let bound = Judges { ingress: free, egress: maker.judge(&none, &[(class, &some)]) };
        maker.endpoint("client", &client.addresses(), bound);
        for pod in [open, shut] {
            let judges = Judges { ingress: free, egress: free };
            maker.endpoint(&pod.name, &pod.addresses(), judges);
        }
        maker.program
    };
    enforce(&handle, program(1, 8080));
    let listeners = [open, shut].map(|pod| listen(&pod.netns, pod.v4_port(8080)));
    let through = connect(&client.netns, at("10.96.0.1", 80)).expect("the back end is allowed");
    let (served, _) = listeners[0].accept().unwrap();
    talk(&through, &served).unwrap();
    assert!(is_closed(&client.netns, at("10.96.0.2", 80)), "the back end is denied");
    let direct = connect(&client.netns, open.v4_port(8080)).expect("and so without a Service");
    drop(direct);
    let record = wait_for("what is told about it", || {
        let record = records.try_recv().ok()?;
        (record.event == FlowEvent::New && record.direction == OUT).then_some(record)
    });
    assert_eq!((record.packet.dst, record.packet.dst_port), (open.v4.into(), 8080));

    // Both ways: what is not allowed any more is cut, what still is goes on.
    enforce(&handle, program(2, 8080));
    talk(&through, &served).unwrap();
    enforce(&handle, program(3, 8081));
    (&served).write_all(b"late").unwrap();
    through.set_read_timeout(Some(SHORT)).unwrap();
    (&through).read_exact(&mut [0; 4]).expect_err("a cut connection goes on");
    assert!(is_closed(&client.netns, at("10.96.0.1", 80)));
}

#[test]
fn a_bridge_is_no_way_around_translation() {
    let world = World::new(0);
    let node = world.node();
    let pods = ["a", "b"].map(|name| format!("{node}-{name}"));
    sh(&format!(
        "set -e; ip -n {node} link add br0 type bridge; ip -n {node} addr add 10.66.0.254/24 dev br0
         ip -n {node} link set br0 up"
    ));
    for (n, pod) in pods.iter().enumerate() {
        let address = format!("10.66.0.{}", n + 1);
        sh(&format!(
            "set -e; ip netns add {pod}; ip -n {pod} link set lo up
             ip -n {node} link add bhl{n} type veth peer name eth0 netns {pod}
             ip -n {node} link set bhl{n} master br0 up
             ip -n {pod} addr add {address}/24 dev eth0; ip -n {pod} link set eth0 up
             ip -n {pod} route add default via 10.66.0.254"
        ));
    }
    struct Gone<'a>(&'a [String; 2]);
    impl Drop for Gone<'_> {
        fn drop(&mut self) {
            for pod in self.0 {
                let _ = Command::new("ip").args(["netns", "del", pod]).output();
            }
        }
    }
    let _gone = Gone(&pods);
    let outside = Outside::new(&world);
    translate(&world, Proxy::Nftables, ("10.96.0.1", 80), ("192.0.2.9".parse().unwrap(), 8080));
    let (handle, _records) = world.start_on(BackendChoice::Ebpf);
    let class = bulkhead_wire::ClassId(9);
    let program = |revision, open: bool| {
        let mut maker = Maker::new(revision);
        maker.class("192.0.2.9/32", class);
        let (all, none) = (maker.allow(), maker.deny());
        let free = maker.judge(&all, &[]);
        let row = if open { &all } else { &none };
        let egress = maker.judge(&none, &[(class, row)]);
        for (n, name) in ["a", "b"].iter().enumerate() {
            let address = format!("10.66.0.{}", n + 1).parse().unwrap();
            maker.endpoint(name, &[address], Judges { ingress: free, egress });
        }
        maker.program
    };
    enforce(&handle, program(1, true));
    wait_for("both pods", || (handle.report().borrow().attached.len() == 2).then_some(()));
    let far = listen(&outside.netns, at("192.0.2.9", 8080));
    let client: TcpStream = connect(&pods[0], at("10.96.0.1", 80)).expect("by the bridge");
    let (served, _) = far.accept().unwrap();
    talk(&client, &served).unwrap();
    let _other = listen(&pods[1], at("10.66.0.2", 8080));
    assert!(is_closed(&pods[0], at("10.66.0.2", 8080)), "what the bridge itself switches");
    enforce(&handle, program(2, false));
    assert!(is_closed(&pods[0], at("10.96.0.1", 80)), "what goes by the bridge");
}
