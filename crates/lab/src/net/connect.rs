//! One attempt of a probe, protocol by protocol.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use bulkhead_types::Protocol;
use socket2::{Domain, Socket, Type};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, UdpSocket};

use super::raw::{self, RawSocket};
use super::{icmp, sctp};
use crate::netns::{NetNs, Walker};
use crate::nonce::nonce;

/// A probe with every name looked up.
#[derive(Clone, Debug)]
pub struct Path {
    pub from: NetNs,
    pub src: IpAddr,
    /// 0 leaves it to the kernel.
    pub src_port: u16,
    pub to: NetNs,
    pub dst: IpAddr,
    pub protocol: Protocol,
    pub port: u16,
    /// Type and code, for ICMP and ICMPv6.
    pub icmp: (u8, u8),
    /// Whether the listener is the lab's own: others are not asked to echo.
    pub echoes: bool,
}

/// Opens a socket that sends from an address in a namespace.
pub fn open(walker: &Walker, netns: &NetNs, src: SocketAddr, kind: Type) -> Result<Socket> {
    walker.within(netns, move || {
        let socket = Socket::new(Domain::for_address(src), kind, None)?;
        socket.set_nonblocking(true)?;
        if src.port() != 0 {
            socket.set_reuse_address(true)?;
            // the port is wanted again: nothing of this connection may linger on
            socket.set_linger((kind == Type::STREAM).then_some(Duration::ZERO))?;
        }
        socket.bind(&src.into()).with_context(|| format!("cannot send from `{src}`"))?;
        Ok(socket)
    })
}

impl Path {
    fn destination(&self) -> SocketAddr {
        SocketAddr::new(self.dst, self.port)
    }

    fn source(&self) -> SocketAddr {
        SocketAddr::new(self.src, self.src_port)
    }

    /// Returns when the destination has answered; the caller sets the time limit.
    pub async fn attempt(&self, walker: &Walker) -> Result<()> {
        let nonce = nonce();
        match self.protocol {
            Protocol::TCP => self.tcp(walker, nonce).await,
            Protocol::UDP => self.udp(walker, nonce).await,
            Protocol::SCTP => self.sctp(walker, nonce).await,
            protocol if protocol.is_icmp() && self.icmp == icmp::echo(self.dst.is_ipv6()) => {
                let socket = self.raw(walker, &self.from, self.src)?;
                icmp::ping(&socket, self.dst, nonce as u16, nonce).await
            }
            _ => self.unanswered(walker, nonce).await,
        }
    }

    async fn tcp(&self, walker: &Walker, nonce: u64) -> Result<()> {
        let socket = TcpSocket::from_std_stream(
            open(walker, &self.from, self.source(), Type::STREAM)?.into(),
        );
        let mut stream = socket.connect(self.destination()).await?;
        if !self.echoes {
            return Ok(());
        }
        stream.write_all(&nonce.to_be_bytes()).await?;
        if stream.read_u64().await? != nonce {
            bail!("{} answered with other bytes than were sent", self.destination());
        }
        Ok(())
    }

    async fn udp(&self, walker: &Walker, nonce: u64) -> Result<()> {
        let socket =
            UdpSocket::from_std(open(walker, &self.from, self.source(), Type::DGRAM)?.into())?;
        socket.connect(self.destination()).await?;
        socket.send(&nonce.to_be_bytes()).await?;
        let mut reply = [0; 8];
        loop {
            if socket.recv(&mut reply).await? == 8 && u64::from_be_bytes(reply) == nonce {
                return Ok(());
            }
        }
    }

    async fn sctp(&self, walker: &Walker, nonce: u64) -> Result<()> {
        let socket = self.raw(walker, &self.from, self.src)?;
        let any_port = 32_768 | (nonce >> 48) as u16;
        let src_port = if self.src_port == 0 { any_port } else { self.src_port };
        let init = sctp::Message::init(src_port, self.port, (nonce as u32).max(1));
        sctp::connect(&socket, self.dst, init).await
    }

    /// For what no one replies to: the destination is watched for the packet itself.
    async fn unanswered(&self, walker: &Walker, nonce: u64) -> Result<()> {
        let watch = self.raw(walker, &self.to, self.dst)?;
        let socket = self.raw(walker, &self.from, self.src)?;
        let packet = if self.protocol.is_icmp() {
            icmp::message(self.dst.is_ipv6(), self.icmp, nonce as u16, nonce)
        } else {
            nonce.to_be_bytes().to_vec()
        };
        socket.send_to(&packet, self.dst).await?;
        loop {
            let (sender, seen) = watch.receive().await?;
            if sender == self.src && seen.ends_with(&nonce.to_be_bytes()) {
                return Ok(());
            }
        }
    }

    fn raw(&self, walker: &Walker, netns: &NetNs, local: IpAddr) -> Result<RawSocket> {
        let protocol = self.protocol;
        let socket = walker.within(netns, move || Ok(raw::open(local, protocol)?))?;
        Ok(RawSocket::new(socket, local.is_ipv6())?)
    }
}
