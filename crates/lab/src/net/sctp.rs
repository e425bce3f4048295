//! The first two messages of SCTP on a raw socket, for kernels that have no SCTP.
//!
//! Enough to tell whether an association could begin: INIT is answered by INIT ACK (RFC 9260).

use std::net::IpAddr;

use anyhow::Result;

use super::raw::RawSocket;

const INIT: u8 = 1;
const INIT_ACK: u8 = 2;
/// What the state cookie parameter of an INIT ACK is called.
const STATE_COOKIE: u16 = 7;

/// The parts of an INIT or INIT ACK that a probe looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Message {
    pub chunk: u8,
    pub src_port: u16,
    pub dst_port: u16,
    /// The verification tag: 0 in an INIT.
    pub tag: u32,
    /// The tag that the sender wants to be answered with.
    pub initiate_tag: u32,
}

impl Message {
    pub fn init(src_port: u16, dst_port: u16, initiate_tag: u32) -> Self {
        Self { chunk: INIT, src_port, dst_port, tag: 0, initiate_tag }
    }

    fn answer(self) -> Self {
        Self {
            chunk: INIT_ACK,
            src_port: self.dst_port,
            dst_port: self.src_port,
            tag: self.initiate_tag,
            initiate_tag: self.initiate_tag.wrapping_add(1).max(1),
        }
    }

    /// Whether `self` answers `init`.
    pub fn answers(self, init: Self) -> bool {
        self == Self { initiate_tag: self.initiate_tag, ..init.answer() }
    }

    pub fn write(self) -> Vec<u8> {
        let cookie: &[u8] = if self.chunk == INIT_ACK { b"lab." } else { b"" };
        let parameter = if cookie.is_empty() { 0 } else { 4 + cookie.len() as u16 };
        let mut bytes = Vec::with_capacity(40);
        bytes.extend(self.src_port.to_be_bytes());
        bytes.extend(self.dst_port.to_be_bytes());
        bytes.extend(self.tag.to_be_bytes());
        bytes.extend([0; 4]);
        bytes.extend([self.chunk, 0]);
        bytes.extend((20 + parameter).to_be_bytes());
        bytes.extend(self.initiate_tag.to_be_bytes());
        bytes.extend(65_536_u32.to_be_bytes()); // receiver window
        bytes.extend(1_u16.to_be_bytes()); // outbound streams
        bytes.extend(1_u16.to_be_bytes()); // inbound streams
        bytes.extend(1_u32.to_be_bytes()); // first TSN
        if !cookie.is_empty() {
            bytes.extend(STATE_COOKIE.to_be_bytes());
            bytes.extend(parameter.to_be_bytes());
            bytes.extend(cookie);
        }
        let checksum = crc32c(&bytes).to_le_bytes();
        for (place, byte) in bytes.iter_mut().skip(8).zip(checksum) {
            *place = byte;
        }
        bytes
    }

    /// `None` where the packet is none of the two, or broken.
    pub fn read(bytes: &[u8]) -> Option<Self> {
        let (header, chunk) = bytes.split_at_checked(12)?;
        let (ports, rest) = header.split_at_checked(4)?;
        let (tag, checksum) = rest.split_at_checked(4)?;
        let mut blank = bytes.to_vec();
        blank.iter_mut().skip(8).take(4).for_each(|byte| *byte = 0);
        if crc32c(&blank).to_le_bytes() != *checksum {
            return None;
        }
        let kind = *chunk.first()?;
        let (src_port, dst_port) = ports.split_at_checked(2)?;
        (kind == INIT || kind == INIT_ACK).then_some(Self {
            chunk: kind,
            src_port: u16::from_be_bytes(src_port.try_into().ok()?),
            dst_port: u16::from_be_bytes(dst_port.try_into().ok()?),
            tag: u32::from_be_bytes(tag.try_into().ok()?),
            initiate_tag: u32::from_be_bytes(chunk.get(4..8)?.try_into().ok()?),
        })
    }
}

/// Answers every INIT to a port that `listens` until the socket fails.
pub async fn answer(socket: RawSocket, listens: impl Fn(u16) -> bool) -> Result<()> {
    loop {
        let (sender, packet) = socket.receive().await?;
        let Some(message) = Message::read(&packet).filter(|message| message.chunk == INIT) else {
            continue;
        };
        if listens(message.dst_port) {
            // a reply that cannot be sent is a probe that gets no answer
            let _ = socket.send_to(&message.answer().write(), sender).await;
        }
    }
}

/// Sends an INIT and waits for its answer.
pub async fn connect(socket: &RawSocket, destination: IpAddr, init: Message) -> Result<()> {
    socket.send_to(&init.write(), destination).await?;
    loop {
        let (sender, packet) = socket.receive().await?;
        let answered = Message::read(&packet).is_some_and(|message| message.answers(init));
        if sender == destination && answered {
            return Ok(());
        }
    }
}

/// CRC-32C (Castagnoli), bit by bit: packets here are 40 bytes.
fn crc32c(bytes: &[u8]) -> u32 {
    let mut crc = !0_u32;
    for byte in bytes {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = if crc & 1 == 1 { (crc >> 1) ^ 0x82f6_3b78 } else { crc >> 1 };
        }
    }
    !crc
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksum_of_the_standard_example() {
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
    }

    #[test]
    fn an_answer_reads_back_and_answers() {
        let init = Message::init(4000, 80, 7);
        let read = Message::read(&init.write()).unwrap();
        assert_eq!(read, init);
        let answer = Message::read(&read.answer().write()).unwrap();
        assert!(answer.answers(init));
        assert!(!answer.answers(Message::init(4001, 80, 7)));
    }

    #[test]
    fn a_flipped_bit_is_no_message() {
        let mut bytes = Message::init(1, 2, 3).write();
        bytes[0] ^= 1;
        assert_eq!(Message::read(&bytes), None);
    }
}
