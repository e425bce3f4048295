//! Builds frames byte by byte.

use std::net::IpAddr;

use bulkhead_types::{Packet, Protocol};

pub const SYN: u8 = 0x02;
pub const ACK: u8 = 0x10;
pub const FIN: u8 = 0x01;
pub const RST: u8 = 0x04;

/// A frame to be: set what matters, then [`Frame::bytes`].
#[derive(Clone, Debug)]
pub struct Frame {
    pub packet: Packet,
    pub tcp_flags: u8,
    /// ICMP query id.
    pub query_id: u16,
    pub vlan_tags: usize,
    /// Bytes of IPv4 options; a multiple of 4.
    pub options: usize,
    /// IPv6 extension headers before the transport: `(protocol number, 8-byte units)`.
    pub extensions: Vec<(u8, usize)>,
    /// Fragment: `(id, offset in bytes, more)`.
    pub fragment: Option<(u32, u16, bool)>,
    pub hop_limit: u8,
    pub payload: Vec<u8>,
    /// Cuts the frame to this length.
    pub cut: Option<usize>,
}

pub fn mk_packet(src: IpAddr, dst: IpAddr, protocol: Protocol, ports: (u16, u16)) -> Packet {
    let (src_port, dst_port) = ports;
    Packet { src, dst, protocol, src_port, dst_port, icmp_type: 0, icmp_code: 0 }
}

impl Frame {
    pub fn new(packet: Packet) -> Self {
        Self {
            packet,
            tcp_flags: SYN,
            query_id: 7,
            vlan_tags: 0,
            options: 0,
            extensions: Vec::new(),
            fragment: None,
            hop_limit: 64,
            payload: vec![0xaa; 16],
            cut: None,
        }
    }

    pub fn flags(mut self, flags: u8) -> Self {
        self.tcp_flags = flags;
        self
    }

    pub fn transport(&self) -> Vec<u8> {
        let Packet { protocol, src_port, dst_port, icmp_type, icmp_code, .. } = self.packet;
        let mut bytes = Vec::new();
        match protocol {
            Protocol::TCP => {
                bytes.extend(src_port.to_be_bytes());
                bytes.extend(dst_port.to_be_bytes());
                bytes.extend([
                    0,
                    0,
                    0,
                    1,
                    0,
                    0,
                    0,
                    1,
                    0x50,
                    self.tcp_flags,
                    0xff,
                    0xff,
                    0,
                    0,
                    0,
                    0,
                ]);
            }
            Protocol::UDP => {
                bytes.extend(src_port.to_be_bytes());
                bytes.extend(dst_port.to_be_bytes());
                bytes.extend((8 + self.payload.len() as u16).to_be_bytes());
                bytes.extend([0, 0]);
            }
            Protocol::SCTP => {
                bytes.extend(src_port.to_be_bytes());
                bytes.extend(dst_port.to_be_bytes());
                bytes.extend([0; 8]);
            }
            Protocol::ICMP | Protocol::ICMPV6 => {
                bytes.extend([icmp_type, icmp_code, 0, 0]);
                bytes.extend(self.query_id.to_be_bytes());
                bytes.extend([0, 1]);
            }
            _ => {}
        }
        bytes.extend(&self.payload);
        bytes
    }

    /// From the IP header on.
    pub fn network(&self) -> Vec<u8> {
        let later = self.fragment.is_some_and(|(_, offset, _)| offset > 0);
        let transport = if later { self.payload.clone() } else { self.transport() };
        match (self.packet.src, self.packet.dst) {
            (IpAddr::V4(src), IpAddr::V4(dst)) => {
                let header = 20 + self.options;
                let mut bytes = vec![0x40 | (header / 4) as u8, 0];
                bytes.extend(((header + transport.len()) as u16).to_be_bytes());
                let (id, offset, more) = self.fragment.unwrap_or((0, 0, false));
                bytes.extend((id as u16).to_be_bytes());
                bytes.extend(((offset / 8) | if more { 0x2000 } else { 0 }).to_be_bytes());
                bytes.extend([self.hop_limit, self.packet.protocol.0, 0, 0]);
                bytes.extend(src.octets());
                bytes.extend(dst.octets());
                bytes.resize(header, 1);
                bytes.extend(transport);
                bytes
            }
            (IpAddr::V6(src), IpAddr::V6(dst)) => {
                let chain = self.chain(&transport);
                let mut bytes = vec![0x60, 0, 0, 0];
                bytes.extend((chain.1.len() as u16).to_be_bytes());
                bytes.extend([chain.0, self.hop_limit]);
                bytes.extend(src.octets());
                bytes.extend(dst.octets());
                bytes.extend(chain.1);
                bytes
            }
            _ => panic!("mixed families"),
        }
    }

    /// Extension headers and transport, with the first one's number.
    fn chain(&self, transport: &[u8]) -> (u8, Vec<u8>) {
        let mut next = self.packet.protocol.0;
        let mut bytes = transport.to_vec();
        let mut headers: Vec<(u8, Vec<u8>)> = Vec::new();
        for (number, units) in &self.extensions {
            let mut header = vec![0; units * 8];
            // AH counts 4-byte units less 2, the others 8-byte units less 1.
            header[1] = if *number == 51 { units * 2 - 2 } else { units - 1 } as u8;
            headers.push((*number, header));
        }
        if let Some((id, offset, more)) = self.fragment {
            let mut header = vec![0, 0];
            header.extend((offset | u16::from(more)).to_be_bytes());
            header.extend(id.to_be_bytes());
            headers.push((44, header));
        }
        for (number, mut header) in headers.into_iter().rev() {
            header[0] = next;
            header.extend(bytes);
            bytes = header;
            next = number;
        }
        (next, bytes)
    }

    pub fn bytes(&self) -> Vec<u8> {
        let mut bytes = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2];
        for _ in 0..self.vlan_tags {
            bytes.extend([0x81, 0, 0, 5]);
        }
        bytes.extend(if self.packet.src.is_ipv4() { [0x08, 0x00] } else { [0x86, 0xdd] });
        bytes.extend(self.network());
        if let Some(length) = self.cut {
            bytes.truncate(length);
        }
        bytes
    }
}

/// An ICMP error from `src` to `dst` about `quoted`.
pub fn mk_error(src: IpAddr, dst: IpAddr, quoted: &Frame) -> Frame {
    let is_v4 = src.is_ipv4();
    let protocol = if is_v4 { Protocol::ICMP } else { Protocol::ICMPV6 };
    let mut packet = mk_packet(src, dst, protocol, (0, 0));
    packet.icmp_type = if is_v4 { 3 } else { 1 };
    packet.icmp_code = if is_v4 { 3 } else { 4 };
    let mut frame = Frame::new(packet);
    let mut inside = quoted.network();
    // Routers quote the header and 8 bytes at least.
    inside.truncate(if is_v4 { 28 + quoted.options } else { 48 });
    frame.query_id = 0;
    frame.payload = inside;
    frame
}
