//! A virtual machine as a Workload: the same verdicts, both ways, as for any other endpoint.

use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::time::Duration;

use bulkhead_lab::Lab;
use bulkhead_lab::netns::NetNs;

use crate::guest::Guest;
use crate::node;

const TAP: &str = "bhlvm";
const MAC: &str = "02:00:00:00:90:02";
const GUEST: &str = "10.90.0.2";
const OUTSIDE: &str = "192.0.2.7";
const SHORT: Duration = Duration::from_millis(1_500);
const LONG: Duration = Duration::from_secs(20);

const OBJECTS: &str = "
apiVersion: v1
kind: Namespace
metadata: {name: shop}
---
apiVersion: bulkhead.dev/v1
kind: Workload
metadata: {namespace: shop, name: machine, labels: {app: machine}}
spec:
  nodeName: lab-1
  addresses: [10.90.0.2]
  interface: bhlvm
  mac: '02:00:00:00:90:02'
---
apiVersion: projectcalico.org/v3
kind: NetworkPolicy
metadata: {namespace: shop, name: machine}
spec:
  selector: app == 'machine'
  types: [Ingress, Egress]
  ingress:
  - {action: Allow, protocol: TCP, source: {nets: [192.0.2.7/32]}, destination: {ports: [80]}}
  - {action: Allow, protocol: UDP, source: {nets: [192.0.2.7/32]}, destination: {ports: [7]}}
  egress:
  - {action: Allow, protocol: TCP, destination: {nets: [192.0.2.7/32], ports: [8080]}}
  - {action: Allow, protocol: UDP, destination: {nets: [192.0.2.7/32], ports: [5300]}}
";

/// A place outside of the node, with services that the guest dials.
struct Outside {
    netns: NetNs,
}

impl Outside {
    async fn new(lab: &Lab) -> Self {
        let netns = lab.net().outside(&[OUTSIDE.parse().unwrap()]).await.unwrap();
        let route = ["-n", &netns.name, "route", "add", GUEST, "via", "169.254.64.1", "dev", "n1"];
        let status =
            std::process::Command::new("ip").args(route).args(["onlink", "src", OUTSIDE]).status();
        assert!(status.unwrap().success());
        let outside = Self { netns };
        for port in [8080, 8081] {
            let listener = outside.within(lab, move || TcpListener::bind((OUTSIDE, port)));
            std::thread::spawn(move || {
                for stream in listener.incoming() {
                    let _ = stream.and_then(|mut stream| stream.write_all(b"hello\n"));
                }
            });
        }
        for port in [5300, 5301] {
            let socket = outside.within(lab, move || UdpSocket::bind((OUTSIDE, port)));
            std::thread::spawn(move || {
                let mut text = [0; 64];
                while let Ok((n, from)) = socket.recv_from(&mut text) {
                    let _ = socket.send_to(&text[..n], from);
                }
            });
        }
        outside
    }

    fn within<T: Send + 'static>(
        &self,
        lab: &Lab,
        work: impl FnOnce() -> std::io::Result<T> + Send + 'static,
    ) -> T {
        lab.net().walker().within(&self.netns, move || Ok(work()?)).unwrap()
    }

    fn reaches_tcp(&self, lab: &Lab, port: u16, patience: Duration) -> bool {
        let to = SocketAddr::new(GUEST.parse::<IpAddr>().unwrap(), port);
        let connected = self.within(lab, move || Ok(TcpStream::connect_timeout(&to, patience)));
        let Ok(mut stream) = connected else { return false };
        stream.set_read_timeout(Some(patience)).unwrap();
        let mut said = String::new();
        let _ = stream.read_to_string(&mut said);
        said.contains("hello")
    }

    fn reaches_udp(&self, lab: &Lab, port: u16, patience: Duration) -> bool {
        let socket = self.within(lab, || UdpSocket::bind((OUTSIDE, 0)));
        socket.set_read_timeout(Some(patience)).unwrap();
        socket.send_to(b"knock", (GUEST, port)).unwrap();
        socket.recv_from(&mut [0; 64]).is_ok()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_virtual_machine_is_judged_like_any_other_endpoint() {
    let lab = node::start().await;
    let line = format!(
        "ip tuntap add {TAP} mode tap && ip link set {TAP} addrgenmode none && \
         ip addr add 10.90.0.1/32 dev {TAP} && ip link set {TAP} up && \
         ip route add {GUEST}/32 dev {TAP}"
    );
    let made = node::command(&lab, "sh").args(["-ec", &line]).output().unwrap();
    assert!(made.status.success(), "{}", node::text(&made));
    lab.apply(&node::objects(OBJECTS)).await.unwrap();
    let outside = Outside::new(&lab).await;
    lab.wait_enforced().await.unwrap();

    let setup = format!(
        "busybox ip link set lo up\nbusybox ip addr add {GUEST}/24 dev eth0\n\
         busybox ip link set eth0 up\nbusybox ip route add default via 10.90.0.1\n\
         busybox nc -ll -p 80 -e /bin/busybox echo hello &\n\
         busybox nc -ll -p 81 -e /bin/busybox echo hello &\nudp serve 7 9 &"
    );
    let mut guest = Guest::boot(&lab, TAP, MAC, &setup);

    assert!(!guest.reaches_tcp(OUTSIDE, 8081) && guest.reaches_tcp(OUTSIDE, 8080), "TCP out");
    assert!(!guest.reaches_udp(GUEST, OUTSIDE, 5301), "UDP out, no rule");
    assert!(guest.reaches_udp(GUEST, OUTSIDE, 5300), "UDP out");
    assert!(!outside.reaches_tcp(&lab, 81, SHORT) && outside.reaches_tcp(&lab, 80, LONG), "TCP in");
    assert!(!outside.reaches_udp(&lab, 9, SHORT) && outside.reaches_udp(&lab, 7, LONG), "UDP in");

    let (is_done, said) = guest.run("busybox ip addr add 10.90.0.66/24 dev eth0");
    assert!(is_done, "{said}");
    assert!(!guest.reaches_udp("10.90.0.66", OUTSIDE, 5300), "under another address");
    let dressed = |mac: &str| {
        format!(
            "busybox ip link set eth0 down; busybox ip link set eth0 address {mac}; \
             busybox ip link set eth0 up; busybox ip route add default via 10.90.0.1"
        )
    };
    guest.run(&dressed("02:00:00:00:66:66"));
    assert!(!guest.reaches_udp(GUEST, OUTSIDE, 5300), "under another link address");
    guest.run(&dressed(MAC));
    assert!(guest.reaches_udp(GUEST, OUTSIDE, 5300), "under its own again");
}
