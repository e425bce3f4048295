//! What answers in a namespace: echo over TCP and UDP, INIT ACK over SCTP.

use std::collections::BTreeSet;
use std::io::Result;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};

use bulkhead_types::Protocol;
use socket2::{Domain, Socket, Type};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::task::JoinSet;

use super::raw::{self, RawSocket};
use super::sctp;

/// Opens a bound, non-blocking socket; to be called inside its namespace.
pub fn open(address: SocketAddr, kind: Type) -> Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), kind, None)?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.set_nonblocking(true)?;
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    if kind == Type::STREAM {
        socket.listen(1024)?;
    }
    Ok(socket)
}

/// Sends back what it gets, on every connection.
pub async fn tcp(listener: TcpListener) {
    let mut connections = JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        match listener.accept().await {
            Ok((stream, _)) => drop(connections.spawn(echo(stream))),
            // out of file descriptors, or the client is gone: the next one may do better
            Err(_) => tokio::task::yield_now().await,
        }
    }
}

async fn echo(mut stream: TcpStream) {
    let mut buffer = vec![0; 2048];
    while let Ok(length @ 1..) = stream.read(&mut buffer).await {
        let Some(data) = buffer.get(..length) else { return };
        if stream.write_all(data).await.is_err() {
            return;
        }
    }
}

/// Sends every datagram back.
pub async fn udp(socket: UdpSocket) {
    let mut buffer = vec![0; 2048];
    loop {
        // errors are those of earlier replies: the asker is gone
        if let Ok((length, sender)) = socket.recv_from(&mut buffer).await
            && let Some(data) = buffer.get(..length)
        {
            let _ = socket.send_to(data, sender).await;
        }
    }
}

/// The SCTP ports of one address; one raw socket answers for all of them.
#[derive(Clone, Debug, Default)]
pub struct SctpPorts(Arc<Mutex<BTreeSet<u16>>>);

impl SctpPorts {
    pub fn add(&self, port: u16) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(port);
    }

    fn contains(&self, port: u16) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).contains(&port)
    }

    /// To be called inside the namespace.
    pub fn open(address: IpAddr) -> Result<Socket> {
        raw::open(address, Protocol::SCTP)
    }

    pub async fn serve(self, socket: Socket, v6: bool) {
        let Ok(socket) = RawSocket::new(socket, v6) else { return };
        if let Err(error) = sctp::answer(socket, |port| self.contains(port)).await {
            tracing::warn!("SCTP listener ended: {error:#}");
        }
    }
}
