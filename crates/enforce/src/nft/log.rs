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
    let mode: Vec<u8> = [&COPY_BYTES.to_be_bytes()[..], &[COPY_PACKET, 0]].concat();
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

/// A packet that was dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Told {
    pub seen: Seen,
    /// The interface of the one who denied it.
    pub ifindex: u32,
    pub way: ToldWay,
}

pub fn read(message: &Incoming<'_>) -> Option<Told> {
    if message.kind != LOG << 8 | PACKET {
        return None;
    }
    let way = told_way(text(message.find(PREFIX)?))?;
    let device = message.find(if way.is_in { IN_DEVICE } else { OUT_DEVICE })?;
    let seen = packet::read(message.find(PAYLOAD)?)?;
    Some(Told { seen, ifindex: super::message::be32(device)?, way })
}
