//! Sockets of nfnetlink: transactions, dumps, and groups that are listened to.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, getsockname,
    recv, send, setsockopt, socket, sockopt,
};
use socket2::{SockFilter, SockRef};

use super::message::{
    ACK, Attributes, Batch, DONE, DUMP, DUMP_INTERRUPTED, ERROR, HEADER_PORT, Head, Incoming,
    REQUEST, messages, push_message,
};
use crate::node::EnforceError;

/// A transaction is one write, whatever its size.
const SEND_BYTES: usize = 256 << 20;
const LISTEN_BYTES: usize = 8 << 20;
const READ_BYTES: usize = 256 << 10;
const DUMP_ATTEMPTS: usize = 8;

#[derive(Debug)]
pub struct Socket {
    fd: OwnedFd,
    sequence: u32,
    buffer: Vec<u8>,
    port: u32,
}

pub fn failed(action: &str, error: impl std::fmt::Display) -> EnforceError {
    EnforceError::Kernel { action: action.to_owned(), message: error.to_string() }
}

impl Socket {
    pub fn open() -> Result<Self, EnforceError> {
        let action = "open a socket to netfilter";
        let fd = socket(
            AddressFamily::Netlink,
            SockType::Raw,
            SockFlag::SOCK_CLOEXEC,
            SockProtocol::NetlinkNetFilter,
        )
        .map_err(|error| failed(action, error))?;
        bind(fd.as_raw_fd(), &NetlinkAddr::new(0, 0)).map_err(|error| failed(action, error))?;
        setsockopt(&fd, sockopt::SndBufForce, &SEND_BYTES)
            .map_err(|error| failed(action, error))?;
        setsockopt(&fd, sockopt::RcvBufForce, &LISTEN_BYTES)
            .map_err(|error| failed(action, error))?;
        let name: NetlinkAddr =
            getsockname(fd.as_raw_fd()).map_err(|error| failed(action, error))?;
        Ok(Self { fd, sequence: 1, buffer: vec![0; READ_BYTES], port: name.pid() })
    }

    /// Room for what is told while nobody reads.
    pub fn make_room(&self, bytes: usize) -> Result<(), EnforceError> {
        setsockopt(&self.fd, sockopt::RcvBufForce, &bytes)
            .map_err(|error| failed("make room for what netfilter tells", error))
    }

    /// By which the kernel names this socket as the author of a change.
    pub fn port(&self) -> u32 {
        self.port
    }

    /// Carries the batch out, or nothing of it.
    pub fn commit(&mut self, action: &str, batch: &Batch) -> Result<(), EnforceError> {
        if batch.is_empty() {
            return Ok(());
        }
        let (bytes, last) = batch.encode(self.sequence);
        let first = self.sequence;
        self.sequence = last.wrapping_add(2);
        self.write(action, &bytes)?;
        let mut refused: Option<(u32, i32)> = None;
        loop {
            let mut done = false;
            self.read(action, |message| {
                if message.kind == ERROR && message.error() != 0 && refused.is_none() {
                    refused = Some((message.sequence, message.error()));
                }
                done |= message.kind == ERROR && message.sequence.wrapping_sub(first) > 0;
            })?;
            if let Some((sequence, code)) = refused {
                self.drain();
                let error = nix::Error::from_raw(code);
                let message = format!("operation {}: {error}", sequence.wrapping_sub(first));
                return Err(failed(action, message));
            }
            if done {
                return Ok(());
            }
        }
    }

    /// One message that is answered by an acknowledgement.
    pub fn ask(
        &mut self,
        (kind, flags, family, resource): (u16, u16, u8, u16),
        attributes: &Attributes,
    ) -> Result<(), nix::Error> {
        let mut bytes = Vec::new();
        let sequence = self.next_sequence();
        let head = Head { kind, flags: REQUEST | ACK | flags, sequence, family, resource };
        push_message(&mut bytes, &head, attributes);
        send(self.fd.as_raw_fd(), &bytes, MsgFlags::empty())?;
        loop {
            let n = recv(self.fd.as_raw_fd(), &mut self.buffer, MsgFlags::empty())?;
            let read = self.buffer.get(..n).unwrap_or_default();
            let answer = messages(read)
                .find(|message| message.kind == ERROR && message.sequence == sequence);
            if let Some(answer) = answer {
                return match answer.error() {
                    0 => Ok(()),
                    code => Err(nix::Error::from_raw(code)),
                };
            }
        }
    }

    /// Everything of one kind.
    pub fn dump(
        &mut self,
        action: &str,
        (kind, family): (u16, u8),
        attributes: &Attributes,
        mut each: impl FnMut(Incoming<'_>),
    ) -> Result<(), EnforceError> {
        for _ in 0..DUMP_ATTEMPTS {
            let mut bytes = Vec::new();
            let sequence = self.next_sequence();
            let head = Head { kind, flags: REQUEST | DUMP, sequence, family, resource: 0 };
            push_message(&mut bytes, &head, attributes);
            self.write(action, &bytes)?;
            let (mut done, mut interrupted, mut refused) = (false, false, 0);
            while !done {
                self.read(action, |message| {
                    if message.sequence != sequence {
                        return;
                    }
                    interrupted |= message.flags & DUMP_INTERRUPTED != 0;
                    match message.kind {
                        DONE => done = true,
                        ERROR => {
                            refused = message.error();
                            done = true;
                        }
                        _ => each(message),
                    }
                })?;
            }
            // What has gone since is no dump's error.
            if refused != 0 && refused != nix::libc::ENOENT {
                return Err(failed(action, nix::Error::from_raw(refused)));
            }
            if !interrupted {
                return Ok(());
            }
        }
        Err(failed(action, "the tables change all the time"))
    }

    /// Listens to a group of changes.
    pub fn join(&self, group: u32) -> Result<(), EnforceError> {
        super::group::join(self.fd.as_fd(), group)
            .map_err(|error| failed("listen to netfilter", error))
    }

    /// Nothing is told that the socket of this port has changed.
    pub fn ignore(&self, port: u32) -> Result<(), EnforceError> {
        const LOAD_WORD: u16 = 0x20;
        const JUMP_EQUAL: u16 = 0x15;
        const RETURN: u16 = 0x06;
        // The filter reads numbers in network order; headers have them in the machine's.
        let port = u32::from_be_bytes(port.to_ne_bytes());
        let filter = [
            SockFilter::new(LOAD_WORD, 0, 0, HEADER_PORT),
            SockFilter::new(JUMP_EQUAL, 0, 1, port),
            SockFilter::new(RETURN, 0, 0, 0),
            SockFilter::new(RETURN, 0, 0, u32::MAX),
        ];
        SockRef::from(&self.fd)
            .attach_filter(&filter)
            .map_err(|error| failed("filter what netfilter tells", error))
    }

    /// What has come, without waiting. `false`: some of it was lost.
    pub fn take(&mut self, mut each: impl FnMut(Incoming<'_>)) -> bool {
        let mut is_complete = true;
        while let Some(told) = self.take_one(&mut each) {
            is_complete &= told;
        }
        is_complete
    }

    /// What one read brings; `None`: nothing. `false`: some of it was lost.
    pub fn take_one(&mut self, each: impl FnMut(Incoming<'_>)) -> Option<bool> {
        match recv(self.fd.as_raw_fd(), &mut self.buffer, MsgFlags::MSG_DONTWAIT) {
            Ok(0) => None,
            Ok(n) => {
                messages(self.buffer.get(..n).unwrap_or_default()).for_each(each);
                Some(true)
            }
            Err(nix::Error::ENOBUFS) => Some(false),
            Err(nix::Error::EINTR) => Some(true),
            Err(_) => None,
        }
    }

    fn drain(&mut self) {
        self.take(|_| {});
    }

    fn next_sequence(&mut self) -> u32 {
        self.sequence = self.sequence.wrapping_add(1).max(1);
        self.sequence
    }

    fn write(&self, action: &str, bytes: &[u8]) -> Result<(), EnforceError> {
        send(self.fd.as_raw_fd(), bytes, MsgFlags::empty())
            .map(|_| ())
            .map_err(|error| failed(action, error))
    }

    fn read(&mut self, action: &str, each: impl FnMut(Incoming<'_>)) -> Result<(), EnforceError> {
        let n = loop {
            match recv(self.fd.as_raw_fd(), &mut self.buffer, MsgFlags::empty()) {
                Ok(n) => break n,
                Err(nix::Error::EINTR) => {}
                Err(error) => return Err(failed(action, error)),
            }
        };
        messages(self.buffer.get(..n).unwrap_or_default()).for_each(each);
        Ok(())
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}
