//! A small DNS server and a client, made by hand; and the namespace outside that the names lead to.

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::world::{World, inside, sh};

const PATIENCE: Duration = Duration::from_secs(8);
const TICK: Duration = Duration::from_millis(20);

pub const A: u16 = 1;
pub const CNAME: u16 = 5;
pub const AAAA: u16 = 28;

pub const TRUSTED: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 99, 0, 53));
pub const TRUSTED6: IpAddr = IpAddr::V6(Ipv6Addr::new(0xfd99, 0, 0, 0, 0, 0, 0, 0x53));
pub const STRANGER: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 99, 0, 54));

/// What a name leads to: number N has these.
pub fn address4(n: u16) -> IpAddr {
    let [a, b] = n.to_be_bytes();
    IpAddr::from([10, 70, a, b])
}

pub fn address6(n: u16) -> IpAddr {
    Ipv6Addr::new(0xfd70, 0, 0, 0, 0, 0, 0, n).into()
}

fn address_of(n: u16, kind: u16) -> IpAddr {
    if kind == AAAA { address6(n) } else { address4(n) }
}

fn put_name(bytes: &mut Vec<u8>, name: &str) {
    for label in name.split('.') {
        bytes.push(label.len() as u8);
        bytes.extend(label.bytes());
    }
    bytes.push(0);
}

/// The name, and where it ends.
fn name_at(bytes: &[u8], mut at: usize) -> (String, usize) {
    let mut labels: Vec<String> = Vec::new();
    loop {
        let length = usize::from(bytes[at]);
        match length {
            0 => return (labels.join("."), at + 1),
            192.. => return ("compressed".to_owned(), at + 2),
            _ => labels.push(String::from_utf8_lossy(&bytes[at + 1..=at + length]).into_owned()),
        }
        at += 1 + length;
    }
}

pub fn mk_query(id: u16, name: &str, kind: u16) -> Vec<u8> {
    let mut bytes = id.to_be_bytes().to_vec();
    bytes.extend([1, 0, 0, 1, 0, 0, 0, 0, 0, 1]);
    put_name(&mut bytes, name);
    bytes.extend(kind.to_be_bytes());
    bytes.extend([0, 1]);
    bytes.extend([0, 0, 41, 0x10, 0, 0, 0, 0, 0, 0, 0]);
    bytes
}

pub enum Data {
    Address(IpAddr),
    Alias(String),
}

pub fn mk_response(query: &[u8], flags: u8, records: &[(String, Data)]) -> Vec<u8> {
    let (_, end) = name_at(query, 12);
    let mut bytes = query[..2].to_vec();
    bytes.extend([0x81 | flags, 0x80, 0, 1]);
    bytes.extend((records.len() as u16).to_be_bytes());
    bytes.extend([0, 0, 0, 1]);
    bytes.extend(&query[12..end + 4]);
    for (owner, data) in records {
        put_name(&mut bytes, owner);
        let (kind, data) = match data {
            Data::Address(IpAddr::V4(address)) => (A, address.octets().to_vec()),
            Data::Address(IpAddr::V6(address)) => (AAAA, address.octets().to_vec()),
            Data::Alias(target) => {
                let mut data = Vec::new();
                put_name(&mut data, target);
                (CNAME, data)
            }
        };
        bytes.extend(kind.to_be_bytes());
        bytes.extend([0, 1, 0, 0, 0, 1]);
        bytes.extend((data.len() as u16).to_be_bytes());
        bytes.extend(data);
    }
    bytes.extend([0, 0, 41, 0x10, 0, 0, 0, 0, 0, 0, 0]);
    bytes
}

/// What the servers answer. A number in the first label is the address; the rest says how.
fn respond(query: &[u8], is_tcp: bool) -> Vec<u8> {
    let (asked, end) = name_at(query, 12);
    let kind = u16::from_be_bytes([query[end], query[end + 1]]);
    let lower = asked.to_ascii_lowercase();
    let digits: String = lower.chars().filter(char::is_ascii_digit).collect();
    let n: u16 = digits.parse().unwrap_or(1);
    let address = address_of(n, kind);
    let own = |address| (asked.clone(), Data::Address(address));
    let mut query = query.to_vec();
    let records = match lower.split('.').next().unwrap_or_default() {
        first if first.starts_with("alias") => vec![
            (asked.clone(), Data::Alias("mid.cdn.test".to_owned())),
            ("mid.cdn.test".to_owned(), Data::Alias("edge.cdn.test".to_owned())),
            ("edge.cdn.test".to_owned(), Data::Address(address)),
        ],
        first if first.starts_with("large") && !is_tcp => return mk_response(&query, 2, &[]),
        first if first.starts_with("large") => {
            (0..300).map(|more| own(address4(n + more))).collect()
        }
        // Larger than what one packet carries.
        first if first.starts_with("broad") => {
            (0..200).map(|more| own(address_of(n + more, kind))).collect()
        }
        first if first.starts_with("wide") => (0..30).map(|more| own(address4(n + more))).collect(),
        first if first.starts_with("wrongid") => {
            query[1] ^= 1;
            vec![own(address)]
        }
        first if first.starts_with("wrongname") => {
            let (name, _) = (asked.clone(), ());
            let other = name.replace("wrongname", "writename");
            let at = 12..end;
            let mut bytes = Vec::new();
            put_name(&mut bytes, &other);
            query.splice(at, bytes);
            vec![(other, Data::Address(address))]
        }
        _ => vec![own(address)],
    };
    mk_response(&query, 0, &records)
}

/// The wide world of a test: resolvers, and a machine that has every address.
pub struct Outside {
    pub netns: String,
    stop: Arc<AtomicBool>,
    threads: Vec<std::thread::JoinHandle<()>>,
}

impl Outside {
    pub fn of(world: &World) -> Self {
        let node = world.node();
        let netns = format!("{node}-out");
        sh(&format!(
            "set -e; ip netns add {netns}; ip -n {netns} link set lo up
             ip netns exec {netns} sysctl -qw net.ipv6.conf.all.forwarding=1
             ip -n {node} link add out0 type veth peer name eth0 netns {netns}
             ip netns exec {node} sysctl -qw net.ipv6.conf.out0.accept_dad=0
             ip -n {node} addr add 10.99.0.1/24 dev out0
             ip -n {node} addr add fd99::1/64 dev out0 nodad
             ip -n {node} link set out0 up
             ip -n {netns} addr add 10.99.0.53/24 dev eth0
             ip -n {netns} addr add 10.99.0.54/24 dev eth0
             ip -n {netns} addr add fd99::53/64 dev eth0 nodad
             ip -n {netns} link set eth0 up
             ip -n {netns} route add local 10.70.0.0/16 dev lo
             ip -n {netns} -6 route add local fd70::/64 dev lo
             ip -n {netns} route add default via 10.99.0.1
             ip -n {netns} -6 route add default via fd99::1
             ip -n {node} route add 10.70.0.0/16 via 10.99.0.53
             ip -n {node} -6 route add fd70::/64 via fd99::53"
        ));
        let mut outside = Self { netns, stop: Arc::default(), threads: Vec::new() };
        for address in [TRUSTED, TRUSTED6, STRANGER] {
            outside.serve(address);
        }
        outside
    }

    fn serve(&mut self, address: IpAddr) {
        let at = SocketAddr::new(address, 53);
        let (udp, tcp) =
            inside(&self.netns, || (UdpSocket::bind(at).unwrap(), TcpListener::bind(at).unwrap()));
        self.answer_udp(udp);
        tcp.set_nonblocking(true).unwrap();
        let stop = Arc::clone(&self.stop);
        self.threads.push(std::thread::spawn(move || {
            while !stop.load(Ordering::Relaxed) {
                match tcp.accept() {
                    Ok((stream, _)) => serve_tcp(stream),
                    Err(_) => std::thread::sleep(TICK),
                }
            }
        }));
    }

    pub fn answer_udp(&mut self, udp: UdpSocket) {
        udp.set_read_timeout(Some(TICK)).unwrap();
        let stop = Arc::clone(&self.stop);
        self.threads.push(std::thread::spawn(move || {
            let mut buffer = [0; 1_024];
            while !stop.load(Ordering::Relaxed) {
                if let Ok((n, from)) = udp.recv_from(&mut buffer) {
                    let _ = udp.send_to(&respond(&buffer[..n], false), from);
                }
            }
        }));
    }

    /// Accepts whoever comes to the port.
    pub fn accept(&mut self, port: u16) {
        let listener = inside(&self.netns, || TcpListener::bind(("::", port)).unwrap());
        listener.set_nonblocking(true).unwrap();
        let stop = Arc::clone(&self.stop);
        self.threads.push(std::thread::spawn(move || {
            let mut open: Vec<TcpStream> = Vec::new();
            while !stop.load(Ordering::Relaxed) {
                // Whoever hangs up is hung up on.
                open.retain(|mut stream| !matches!(stream.read(&mut [0; 64]), Ok(0)));
                match listener.accept() {
                    Ok((stream, _)) => {
                        stream.set_nonblocking(true).unwrap();
                        open.push(stream);
                    }
                    Err(_) => std::thread::sleep(Duration::from_millis(2)),
                }
            }
        }));
    }
}

/// In pieces that no message boundary explains.
fn serve_tcp(mut stream: TcpStream) {
    stream.set_nonblocking(false).unwrap();
    stream.set_nodelay(true).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut length = [0; 2];
    while stream.read_exact(&mut length).is_ok() {
        let mut query = vec![0; usize::from(u16::from_be_bytes(length))];
        if stream.read_exact(&mut query).is_err() {
            return;
        }
        let response = respond(&query, true);
        let mut framed = (response.len() as u16).to_be_bytes().to_vec();
        framed.extend(response);
        for piece in framed.chunks(700) {
            if stream.write_all(piece).is_err() {
                return;
            }
        }
    }
}

impl Drop for Outside {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
        let _ = std::process::Command::new("ip").args(["netns", "del", &self.netns]).output();
    }
}

/// A workload's stub resolver: asks once.
pub struct Client {
    udp: UdpSocket,
    id: u16,
}

impl Client {
    /// Run inside the workload's namespace.
    pub fn new(server: IpAddr) -> Self {
        let any = if server.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
        let udp = UdpSocket::bind(any).unwrap();
        udp.connect(SocketAddr::new(server, 53)).unwrap();
        udp.set_read_timeout(Some(PATIENCE)).unwrap();
        Self { udp, id: 0x1200 }
    }

    /// As [`Client::new`], for an answer that is not to come.
    pub fn impatient(server: IpAddr) -> Self {
        let client = Self::new(server);
        client.udp.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
        client
    }

    /// The answer to one question, or how it failed.
    pub fn ask(&mut self, name: &str, kind: u16) -> std::io::Result<Vec<u8>> {
        self.id += 2;
        self.udp.send(&mk_query(self.id, name, kind))?;
        let mut buffer = vec![0; 16_384];
        let n = self.udp.recv(&mut buffer)?;
        buffer.truncate(n);
        Ok(buffer)
    }
}

/// Over TCP, as after a truncated answer.
pub fn ask_tcp(server: IpAddr, names: &[&str]) -> std::io::Result<()> {
    let mut stream = TcpStream::connect_timeout(&SocketAddr::new(server, 53), PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    for (id, name) in names.iter().enumerate() {
        let query = mk_query(id as u16, name, A);
        let mut framed = (query.len() as u16).to_be_bytes().to_vec();
        framed.extend(query);
        stream.write_all(&framed)?;
    }
    for _ in names {
        let mut length = [0; 2];
        stream.read_exact(&mut length)?;
        stream.read_exact(&mut vec![0; usize::from(u16::from_be_bytes(length))])?;
    }
    Ok(())
}
