//! ICMP and ICMPv6 messages of probes.

use std::net::IpAddr;

use anyhow::Result;
use bulkhead_types::Protocol;

use super::raw::RawSocket;

/// Type and code of an echo request.
pub fn echo(v6: bool) -> (u8, u8) {
    (if v6 { 128 } else { 8 }, 0)
}

pub fn protocol(v6: bool) -> Protocol {
    if v6 { Protocol::ICMPV6 } else { Protocol::ICMP }
}

/// A message with an identifier and a payload that tells it from others. The kernel fills in the
/// checksum of ICMPv6.
pub fn message(v6: bool, (kind, code): (u8, u8), identifier: u16, nonce: u64) -> Vec<u8> {
    let mut bytes = vec![kind, code, 0, 0];
    bytes.extend(identifier.to_be_bytes());
    bytes.extend(1_u16.to_be_bytes());
    bytes.extend(nonce.to_be_bytes());
    if !v6 {
        let checksum = checksum(&bytes).to_be_bytes();
        for (place, byte) in bytes.iter_mut().skip(2).zip(checksum) {
            *place = byte;
        }
    }
    bytes
}

/// Sends an echo request and waits for the reply.
pub async fn ping(
    socket: &RawSocket,
    destination: IpAddr,
    identifier: u16,
    nonce: u64,
) -> Result<()> {
    let v6 = destination.is_ipv6();
    socket.send_to(&message(v6, echo(v6), identifier, nonce), destination).await?;
    let reply = message(true, (if v6 { 129 } else { 0 }, 0), identifier, nonce);
    loop {
        let (sender, packet) = socket.receive().await?;
        let same_kind = packet.get(..2) == reply.get(..2);
        if sender == destination && same_kind && packet.get(4..) == reply.get(4..) {
            return Ok(());
        }
    }
}

/// The internet checksum.
fn checksum(bytes: &[u8]) -> u16 {
    let mut sum = 0_u32;
    for pair in bytes.chunks(2) {
        let high = pair.first().copied().unwrap_or_default();
        let low = pair.get(1).copied().unwrap_or_default();
        sum += u32::from(u16::from_be_bytes([high, low]));
    }
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_checksummed_message_sums_to_zero() {
        assert_eq!(checksum(&message(false, echo(false), 7, 0x0123_4567_89ab_cdef)), 0);
    }
}
