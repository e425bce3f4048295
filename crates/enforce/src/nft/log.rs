//! The kernel's log of packets: one group that only this process listens to.

use super::denial::{ToldWay, told_way};
use super::message::{Attributes, Incoming, LOG, text};
use super::packet::{self, Seen};
use super::socket::{Socket, failed};
use crate::node::EnforceError;

const PACKET: u16 = 0;
const CONFIG: u16 = 1;
const COMMAND: u16 = 1;
const MODE: u16 = 2;
const TIMEOUT: u16 = 4;
const BIND: u8 = 1;
const COPY_PACKET: u8 = 2;
const COPY_BYTES: u32 = 160;

const IN_DEVICE: u16 = 4;
const OUT_DEVICE: u16 = 5;
const PAYLOAD: u16 = 9;
const PREFIX: u16 = 10;

pub fn listen(socket: &mut Socket, group: u16) -> Result<(), EnforceError> {
    listen_to(socket, group, COPY_BYTES)
}

/// The same of the first bytes of every packet.
pub fn listen_to(socket: &mut Socket, group: u16, bytes: u32) -> Result<(), EnforceError> {
    let mode: Vec<u8> = [&bytes.to_be_bytes()[..], &[COPY_PACKET, 0]].concat();
    for attributes in [
        Attributes::new().bytes(COMMAND, &[BIND]),
        Attributes::new().bytes(MODE, &mode).be32(TIMEOUT, 1),
    ] {
        socket
            .ask((LOG << 8 | CONFIG, 0, 0, group), &attributes)
            .map_err(|error| failed("listen to the log of packets", error))?;
    }
    Ok(())
}

/// A told packet: what the rule calls it, the interfaces that it came by and leaves by, and its bytes.
pub struct Logged<'a> {
    pub prefix: &'a str,
    pub came_by: Option<u32>,
    pub leaves_by: Option<u32>,
    pub packet: &'a [u8],
}

pub fn logged<'a>(message: &Incoming<'a>) -> Option<Logged<'a>> {
    if message.kind != LOG << 8 | PACKET {
        return None;
    }
    Some(Logged {
        prefix: text(message.find(PREFIX)?),
        came_by: message.find(IN_DEVICE).and_then(super::message::be32),
        leaves_by: message.find(OUT_DEVICE).and_then(super::message::be32),
        packet: message.find(PAYLOAD)?,
    })
}

/// A packet that was dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Told {
    pub seen: Seen,
    /// The interface of the one who denied it.
    pub ifindex: u32,
    pub way: ToldWay,
}

pub fn read(message: &Incoming<'_>) -> Option<Told> {
    let logged = logged(message)?;
    let way = told_way(logged.prefix)?;
    let device = if way.is_in { logged.came_by } else { logged.leaves_by };
    Some(Told { seen: packet::read(logged.packet)?, ifindex: device?, way })
}
