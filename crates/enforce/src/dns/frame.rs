//! From a held frame to what is sent on in its place.
//!
//! Inside the kernel a frame may be what no wire carries: a super-segment, or one whose checksum was
//! left to a network card. A checksum that is wrong stays wrong: what was damaged on its way must not
//! become sound here.

use bulkhead_enforce_abi::Heard;

const TCP: u8 = 6;
const UDP: u8 = 17;
const IPV6_FRAGMENT: u8 = 44;
const TCP_FIN_PSH: u8 = 0x09;
const TCP_CWR: u8 = 0x80;

/// One frame that may go on, and the stretch of it that the transport carries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    pub frame: Vec<u8>,
    pub payload: std::ops::Range<usize>,
    /// The number of the first byte, in TCP.
    pub number: u32,
    /// Whether its checksum holds, so that it may teach something.
    pub is_sound: bool,
}

/// The frames that `held` stands for; nothing where its offsets make no sense.
pub fn parts(head: &Heard, held: &[u8]) -> Vec<Part> {
    split(head, held).unwrap_or_default()
}

fn split(head: &Heard, held: &[u8]) -> Option<Vec<Part>> {
    let (l3, l4) = (usize::from(head.l3), usize::from(head.l4));
    let at = usize::from(head.payload);
    let held = held.get(..end_of(head, held)?)?;
    if !(l3 < l4 && l4 < at && at <= held.len()) {
        return None;
    }
    let (headers, payload) = held.split_at_checked(at)?;
    let size = usize::from(head.gso_size);
    if size == 0 || payload.len() <= size {
        let mut frame = held.to_vec();
        let is_sound = mend(head, &mut frame)?;
        let number = number_of(head, &frame)?;
        return Some(vec![Part { payload: at..frame.len(), frame, number, is_sound }]);
    }
    let n = payload.len().div_ceil(size);
    let mut parts = Vec::with_capacity(n);
    for (index, chunk) in payload.chunks(size).enumerate() {
        let mut frame = headers.to_vec();
        frame.extend_from_slice(chunk);
        resize(head, &mut frame, index, index + 1 == n)?;
        let number = number_of(head, &frame)?;
        parts.push(Part { payload: at..frame.len(), frame, number, is_sound: true });
    }
    Some(parts)
}

/// A packet that is too large for its way, in pieces of so many bytes at most: segments, or fragments.
/// Nothing where it cannot be cut.
pub fn pieces(head: &Heard, packet: &[u8], bytes_max: usize) -> Vec<Vec<u8>> {
    if head.key.protocol == UDP {
        return fragments(head, packet, bytes_max).unwrap_or_default();
    }
    let gso_size = u16::try_from(bytes_max.saturating_sub(usize::from(head.payload)));
    let head = Heard { gso_size: gso_size.unwrap_or(0), ..*head };
    parts(&head, packet).into_iter().map(|part| part.frame).collect()
}

/// Of a packet without a link header.
fn fragments(head: &Heard, packet: &[u8], bytes_max: usize) -> Option<Vec<Vec<u8>>> {
    let l4 = usize::from(head.l4);
    let (header, payload) = packet.split_at_checked(l4)?;
    let extension = if head.is_ipv4 == 1 { 0 } else { 8 };
    if head.l3 != 0 || (extension > 0 && l4 != 40) {
        return None;
    }
    let size = bytes_max.checked_sub(l4 + extension)? / 8 * 8;
    let n = payload.len().div_ceil(size.max(8));
    // All pieces have the same number, which is not 0; nothing else is asked of it.
    let number = u16_at(packet, checksum_at(head)?)? | 1;
    let cut = |(index, chunk): (usize, &[u8])| {
        let (at, has_more) = (u16::try_from(index * size).ok()?, index + 1 < n);
        let mut piece = header.to_vec();
        if head.is_ipv4 == 1 {
            put(&mut piece, 2, u16::try_from(l4 + chunk.len()).ok()?)?;
            put(&mut piece, 4, number)?;
            put(&mut piece, 6, (at / 8) | if has_more { 0x2000 } else { 0 })?;
            put(&mut piece, 10, 0)?;
            let sum = !fold(sum(&piece));
            put(&mut piece, 10, sum)?;
        } else {
            put(&mut piece, 4, u16::try_from(extension + chunk.len()).ok()?)?;
            let next = std::mem::replace(piece.get_mut(6)?, IPV6_FRAGMENT);
            piece.extend([next, 0]);
            piece.extend((at | u16::from(has_more)).to_be_bytes());
            piece.extend([0, 0]);
            piece.extend(number.to_be_bytes());
        }
        piece.extend_from_slice(chunk);
        Some(piece)
    };
    payload.chunks(size.max(8)).enumerate().map(cut).collect()
}

/// Where the packet ends: short frames are padded.
fn end_of(head: &Heard, held: &[u8]) -> Option<usize> {
    let l3 = usize::from(head.l3);
    let end = match head.is_ipv4 {
        1 => l3 + usize::from(u16_at(held, l3 + 2)?),
        _ => l3 + 40 + usize::from(u16_at(held, l3 + 4)?),
    };
    // A super-packet may leave its length open.
    Some(if end <= usize::from(head.l4) { held.len() } else { end.min(held.len()) })
}

fn number_of(head: &Heard, frame: &[u8]) -> Option<u32> {
    match head.key.protocol {
        TCP => {
            frame.get(usize::from(head.l4) + 4..)?.first_chunk().copied().map(u32::from_be_bytes)
        }
        _ => Some(0),
    }
}

/// Fits the headers of a piece: lengths, number, flags, checksums.
fn resize(head: &Heard, frame: &mut [u8], index: usize, is_last: bool) -> Option<()> {
    let (l3, l4) = (usize::from(head.l3), usize::from(head.l4));
    let length = frame.len();
    if head.is_ipv4 == 1 {
        put(frame, l3 + 2, u16::try_from(length - l3).ok()?)?;
        let id = u16_at(frame, l3 + 4)?.wrapping_add(index as u16);
        put(frame, l3 + 4, id)?;
        put(frame, l3 + 10, 0)?;
        let sum = !fold(sum(frame.get(l3..l4)?));
        put(frame, l3 + 10, sum)?;
    } else {
        put(frame, l3 + 4, u16::try_from(length - l3 - 40).ok()?)?;
    }
    let size = u32::from(head.gso_size);
    match head.key.protocol {
        TCP => {
            let number = number_of(head, frame)?.wrapping_add(size.wrapping_mul(index as u32));
            frame.get_mut(l4 + 4..l4 + 8)?.copy_from_slice(&number.to_be_bytes());
            let flags = frame.get_mut(l4 + 13)?;
            if !is_last {
                *flags &= !TCP_FIN_PSH;
            }
            if index > 0 {
                *flags &= !TCP_CWR;
            }
        }
        UDP => put(frame, l4 + 4, u16::try_from(length - l4).ok()?)?,
        _ => return None,
    }
    put(frame, checksum_at(head)?, 0)?;
    let sum = !fold(pseudo(head, frame)? + sum(frame.get(l4..)?));
    put(frame, checksum_at(head)?, if sum == 0 { 0xffff } else { sum })
}

/// Completes a checksum that was left to the network card. Says whether the checksum now holds.
fn mend(head: &Heard, frame: &mut [u8]) -> Option<bool> {
    let at = checksum_at(head)?;
    let known = u16_at(frame, at)?;
    let pseudo = pseudo(head, frame)?;
    if known == 0 && head.key.protocol == UDP && head.is_ipv4 == 1 {
        return Some(true);
    }
    let l4 = usize::from(head.l4);
    if fold(pseudo + sum(frame.get(l4..)?)) == 0xffff {
        return Some(true);
    }
    if known != fold(pseudo) {
        return Some(false);
    }
    put(frame, at, 0)?;
    let sum = !fold(pseudo + sum(frame.get(l4..)?));
    put(frame, at, if sum == 0 { 0xffff } else { sum })?;
    Some(true)
}

fn checksum_at(head: &Heard) -> Option<usize> {
    match head.key.protocol {
        TCP => Some(usize::from(head.l4) + 16),
        UDP => Some(usize::from(head.l4) + 6),
        _ => None,
    }
}

/// The sum over the addresses, the protocol and the length.
fn pseudo(head: &Heard, frame: &[u8]) -> Option<u32> {
    let (l3, l4) = (usize::from(head.l3), usize::from(head.l4));
    let addresses = if head.is_ipv4 == 1 { l3 + 12..l3 + 20 } else { l3 + 8..l3 + 40 };
    let length = u32::try_from(frame.len() - l4).ok()?;
    Some(sum(frame.get(addresses)?) + u32::from(head.key.protocol) + length)
}

fn sum(bytes: &[u8]) -> u32 {
    let (pairs, rest) = bytes.as_chunks::<2>();
    let odd = rest.first().map_or(0, |last| u32::from(*last) << 8);
    pairs.iter().map(|pair| u32::from(u16::from_be_bytes(*pair))).sum::<u32>() + odd
}

fn fold(mut sum: u32) -> u16 {
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    sum as u16
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..)?.first_chunk().copied().map(u16::from_be_bytes)
}

fn put(bytes: &mut [u8], at: usize, value: u16) -> Option<()> {
    *bytes.get_mut(at..)?.first_chunk_mut()? = value.to_be_bytes();
    Some(())
}

#[cfg(test)]
mod tests;
