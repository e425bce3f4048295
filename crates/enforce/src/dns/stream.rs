//! DNS over TCP: whole messages out of segments, whatever way they are cut, repeated or turned around.
//!
//! A stream is followed from its SYN+ACK on, never from the middle: where a message begins must not be
//! a guess, because the workload itself decides how the stream is cut.

use std::collections::BTreeMap;

use bulkhead_enforce_abi::FlowKey;

use crate::limits::dns::{STREAM_AHEAD_MAX, STREAMS_MAX, STREAMS_PER_LOOKER_MAX};

/// A message and the two bytes that say how long it is.
const BUFFERED_MAX: usize = 2 + u16::MAX as usize;

#[derive(Debug, Default)]
pub struct Streams {
    streams: BTreeMap<FlowKey, Stream>,
}

#[derive(Debug)]
struct Stream {
    first: u32,
    /// The number of the next byte that is waited for.
    next: u32,
    /// Bytes of a message that is not whole.
    buffer: Vec<u8>,
    /// Segments after a gap, by their distance from `first`.
    ahead: BTreeMap<u32, Vec<u8>>,
    used_ns: u64,
    /// What it said could not be learned: nothing more of it goes on.
    is_refused: bool,
}

/// Nobody knows where in the stream the segment is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unfollowed;

impl Streams {
    /// `number` is that of the SYN.
    pub fn open(&mut self, key: FlowKey, number: u32, now_ns: u64) {
        let first = number.wrapping_add(1);
        if self.streams.get(&key).is_some_and(|known| known.first == first) {
            return;
        }
        let of_looker =
            self.streams.range(FlowKey { endpoint: key.endpoint, ..FlowKey::default() }..);
        let of_looker = of_looker.take_while(|(known, _)| known.endpoint == key.endpoint);
        let is_many = of_looker.clone().count() >= STREAMS_PER_LOOKER_MAX;
        let oldest = if is_many {
            of_looker.min_by_key(|(_, stream)| stream.used_ns).map(|(known, _)| *known)
        } else if self.streams.len() >= STREAMS_MAX {
            self.streams.iter().min_by_key(|(_, stream)| stream.used_ns).map(|(known, _)| *known)
        } else {
            None
        };
        if let Some(oldest) = oldest {
            self.streams.remove(&oldest);
        }
        let (buffer, ahead) = (Vec::new(), BTreeMap::new());
        self.streams.insert(
            key,
            Stream { first, next: first, buffer, ahead, used_ns: now_ns, is_refused: false },
        );
    }

    /// The messages that are whole with this segment.
    pub fn push(
        &mut self,
        key: &FlowKey,
        number: u32,
        payload: &[u8],
        now_ns: u64,
    ) -> Result<Vec<Vec<u8>>, Unfollowed> {
        let stream = self.streams.get_mut(key).ok_or(Unfollowed)?;
        stream.used_ns = now_ns;
        if stream.push(number, payload).is_err() {
            self.streams.remove(key);
            return Err(Unfollowed);
        }
        Ok(stream.messages())
    }

    pub fn refuse(&mut self, key: &FlowKey) {
        if let Some(stream) = self.streams.get_mut(key) {
            stream.is_refused = true;
        }
    }

    pub fn is_refused(&self, key: &FlowKey) -> bool {
        self.streams.get(key).is_some_and(|stream| stream.is_refused)
    }

    /// Forgets streams that nothing came on since.
    pub fn forget(&mut self, before_ns: u64) {
        self.streams.retain(|_, stream| stream.used_ns >= before_ns);
    }
}

impl Stream {
    fn push(&mut self, number: u32, payload: &[u8]) -> Result<(), Unfollowed> {
        let behind = self.next.wrapping_sub(number) as i32;
        if behind < 0 {
            let held: usize = self.ahead.values().map(Vec::len).sum();
            if held + payload.len() > STREAM_AHEAD_MAX {
                return Err(Unfollowed);
            }
            self.ahead.insert(number.wrapping_sub(self.first), payload.to_vec());
            return Ok(());
        }
        self.take(payload.get(behind as usize..).unwrap_or_default());
        while let Some((at, _)) = self.ahead.first_key_value() {
            let behind = self.next.wrapping_sub(self.first.wrapping_add(*at)) as i32;
            if behind < 0 {
                break;
            }
            let Some((_, payload)) = self.ahead.pop_first() else { break };
            self.take(payload.get(behind as usize..).unwrap_or_default());
        }
        Ok(())
    }

    fn take(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
        self.next = self.next.wrapping_add(bytes.len() as u32);
    }

    fn messages(&mut self) -> Vec<Vec<u8>> {
        let mut messages = Vec::new();
        let mut rest = self.buffer.as_slice();
        while let Some((length, after)) = rest.split_first_chunk::<2>()
            && let Some((message, after)) =
                after.split_at_checked(usize::from(u16::from_be_bytes(*length)))
        {
            messages.push(message.to_vec());
            rest = after;
        }
        debug_assert!(rest.len() < BUFFERED_MAX);
        self.buffer = rest.to_vec();
        messages
    }
}

#[cfg(test)]
mod tests;
