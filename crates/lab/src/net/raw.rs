//! Raw IP sockets on the async runtime.

use std::io::Result;
use std::net::{IpAddr, SocketAddr};

use bulkhead_types::Protocol;
use socket2::{Domain, Socket, Type};
use tokio::net::UdpSocket;

/// Sends and receives the payload of one IP protocol at one address.
#[derive(Debug)]
pub struct RawSocket {
    /// Not UDP: the runtime only needs something that sends and receives datagrams.
    socket: UdpSocket,
    v6: bool,
}

/// Opens a socket; to be called inside its namespace.
pub fn open(local: IpAddr, protocol: Protocol) -> Result<Socket> {
    let number = i32::from(protocol.0);
    let domain = if local.is_ipv6() { Domain::IPV6 } else { Domain::IPV4 };
    let socket = Socket::new(domain, Type::RAW, Some(socket2::Protocol::from(number)))?;
    socket.set_nonblocking(true)?;
    socket.bind(&SocketAddr::new(local, 0).into())?;
    Ok(socket)
}

impl RawSocket {
    pub fn new(socket: Socket, v6: bool) -> Result<Self> {
        Ok(Self { socket: UdpSocket::from_std(socket.into())?, v6 })
    }

    pub async fn send_to(&self, payload: &[u8], destination: IpAddr) -> Result<()> {
        self.socket.send_to(payload, SocketAddr::new(destination, 0)).await.map(|_| ())
    }

    /// The sender and what follows the IP header.
    pub async fn receive(&self) -> Result<(IpAddr, Vec<u8>)> {
        let mut buffer = vec![0; 4096];
        let (length, sender) = self.socket.recv_from(&mut buffer).await?;
        buffer.truncate(length);
        // an IPv4 raw socket hands over the header too, an IPv6 one does not
        let first = buffer.first().copied().unwrap_or_default();
        let header = if self.v6 { 0 } else { usize::from(first & 0x0f) * 4 };
        Ok((sender.ip(), buffer.split_off(header.min(length))))
    }
}
