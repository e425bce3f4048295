//! The Rust twin of `bpf/src/abi.h`: the shape of every key, value and event in the kernel maps.
//!
//! Invariant: no struct has padding and every bit pattern is a value, so that each may be read from
//! and written as bytes; the same sizes and offsets are asserted here and in the header. Whoever
//! changes a shape raises [`LAYOUT`] on both sides: maps of another layout are never reused.

#![no_std]

use core::mem::{offset_of, size_of};

/// `BULKHEAD_LAYOUT` of the header.
pub const LAYOUT: u32 = 6;

/// The first layout whose `FlowKey` and `SlotKey` have today's shape and meaning, and whose flows are a
/// [`Flow`], by family, or an [`EarlierFlow`]. From there on an upgrade carries flows over; from older layouts they are
/// learnt again. Whoever changes one of these sets this to the new [`LAYOUT`], or writes the way over.
pub const FLOWS_SINCE: u32 = 4;

/// The packets of a [`Flow`]'s tally stand above its bytes.
pub const TALLY_BITS: u32 = 40;

/// May be read from and written as bytes.
///
/// # Safety
///
/// The type has no padding, and every pattern of bits is a valid value of it.
pub unsafe trait Plain: Copy + Default {
    fn as_bytes(&self) -> &[u8] {
        let start = core::ptr::from_ref(self).cast::<u8>();
        // SAFETY: `start` points at `size_of::<Self>()` initialised bytes (no padding), which live
        // as long as `self` and cannot be written while it is borrowed.
        unsafe { core::slice::from_raw_parts(start, size_of::<Self>()) }
    }

    /// `None` where `bytes` is too short; more than enough is fine.
    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let bytes = bytes.get(..size_of::<Self>())?;
        // SAFETY: `bytes` has the size of `Self`, any bits are a value, and the read needs no
        // alignment.
        Some(unsafe { core::ptr::read_unaligned(bytes.as_ptr().cast::<Self>()) })
    }
}

// SAFETY: an integer.
unsafe impl Plain for u32 {}
// SAFETY: an integer.
unsafe impl Plain for u64 {}
// SAFETY: an array of integers.
unsafe impl Plain for [u8; 4] {}

macro_rules! plain {
    ($name:ident, $size:literal $(, $field:ident at $offset:literal)*) => {
        const _: () = assert!(size_of::<$name>() == $size);
        $(const _: () = assert!(offset_of!($name, $field) == $offset);)*
        // SAFETY: `repr(C)`, integers only, and the fields fill the asserted size.
        unsafe impl Plain for $name {}
    };
}

mod dns;
pub use dns::*;

/// IPv4 is mapped into IPv6; network byte order.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Address(pub [u8; 16]);
plain!(Address, 16);

impl Address {
    pub fn as_v4(&self) -> Option<[u8; 4]> {
        match self.0 {
            [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, a, b, c, d] => Some([a, b, c, d]),
            _ => None,
        }
    }

    pub fn from_v4([a, b, c, d]: [u8; 4]) -> Self {
        Self([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, a, b, c, d])
    }
}

#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EndpointKey {
    pub ifindex: u32,
    pub local: Address,
}
plain!(EndpointKey, 20, local at 4);

/// An [`EndpointKey`] of IPv4.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Endpoint4Key {
    pub ifindex: u32,
    pub local: [u8; 4],
}
plain!(Endpoint4Key, 8);

#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Endpoint {
    pub slot: u32,
    pub ingress: u32,
    pub egress: u32,
    pub lane: u32,
    /// The only link address that it may send from, see [`mac_word`]; 0: any.
    pub mac: u64,
}
plain!(Endpoint, 24, lane at 12, mac at 16);

/// A link address as it lies in an [`Endpoint`].
pub fn mac_word([a, b, c, d, e, f]: [u8; 6]) -> u64 {
    u64::from_ne_bytes([a, b, c, d, e, f, 0, 0])
}

/// The bits of [`Endpoint::lane`]: the lane, and whether rules by DNS name judge what is sent.
pub const ENDPOINT_LANE: u32 = 1;
pub const ENDPOINT_NAMES: u32 = 2;

/// An interface of workloads.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Interface {
    pub flags: u32,
    pub mac: [u8; 6],
    pub zero: u16,
}
plain!(Interface, 12, mac at 4);

pub const INTERFACE_JUDGED: u32 = 1;
pub const INTERFACE_ROUTED: u32 = 2;

/// The beginning of the names of interfaces that carry workloads.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NamePrefix {
    pub value: [u64; 2],
    pub mask: [u64; 2],
}
plain!(NamePrefix, 32, mask at 16);

pub const NAME_PREFIXES_MAX: usize = 16;

/// `None` where the text is no beginning of an interface's name.
pub fn name_prefix(text: &str) -> Option<NamePrefix> {
    let bytes = text.as_bytes();
    if bytes.is_empty() || bytes.len() > 15 {
        return None;
    }
    let mut prefix = NamePrefix::default();
    for (at, byte) in bytes.iter().enumerate() {
        let (word, shift) = (at / 8, at % 8);
        let mut one = [0u8; 8];
        *one.get_mut(shift)? = *byte;
        *prefix.value.get_mut(word)? |= u64::from_ne_bytes(one);
        *one.get_mut(shift)? = 0xff;
        *prefix.mask.get_mut(word)? |= u64::from_ne_bytes(one);
    }
    Some(prefix)
}

pub const STAGE_UNTRACKED: usize = 0;
pub const STAGE_PRE_DNAT: usize = 1;
pub const STAGE_NORMAL: usize = 2;
pub const STAGE_FORWARD: usize = 3;
pub const STAGES: usize = 4;

/// A host endpoint at an interface; at interface 0, wherever no other is. `[0]` is ingress.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Host {
    pub slots: [u32; STAGES],
    pub locals: [[u32; 2]; STAGES],
    pub failsafe: [u32; 2],
    pub lane: u32,
    pub zero: u32,
}
plain!(Host, 64, locals at 16, failsafe at 48, lane at 56);

/// `length` counts the 32 bits of the table too.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LocalKey {
    pub length: u32,
    pub locals: u32,
    pub address: Address,
}
plain!(LocalKey, 24, address at 8);

/// `length` counts the 64 bits of set, protocol and port too.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FailsafeKey {
    pub length: u32,
    pub set: u32,
    pub protocol: u8,
    pub zero: u8,
    pub port: u16,
    pub address: Address,
}
plain!(FailsafeKey, 28, port at 10, address at 12);

#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Prefix4 {
    pub length: u32,
    pub octets: [u8; 4],
}
plain!(Prefix4, 8);

#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Prefix6 {
    pub length: u32,
    pub address: Address,
}
plain!(Prefix6, 20);

#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ClassValue {
    pub lane: [u32; 2],
}
plain!(ClassValue, 8);

/// The slot of `ClassId::OUTSIDE`.
pub const CLASS_OUTSIDE: u32 = 0;

#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EntryKey {
    pub program: u32,
    pub class: u32,
}
plain!(EntryKey, 8);

/// What an endpoint looked up.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NameKey {
    pub endpoint: u32,
    pub program: u32,
    pub remote: Address,
}
plain!(NameKey, 24);

/// Slots of name sets.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NameValue {
    pub lane: [u32; 2],
}
plain!(NameValue, 8);

pub const NAME_SET_NONE: u32 = 0;
/// A set that the program has no row for.
pub const NAME_SET_CUT: u32 = u32::MAX;

#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NameEntryKey {
    pub program: u32,
    pub class: u32,
    pub set: u32,
}
plain!(NameEntryKey, 12);

pub const LEAF_ALLOW: u32 = 0x8000_0000;
/// Only beside [`LEAF_ALLOW`]: the next stage is asked.
pub const LEAF_NO_SAY: u32 = 0x4000_0000;
pub const LEAF_UNKNOWN: u32 = 0;
/// The rule's slot in a leaf.
pub const RULE_MASK: u32 = 0x3fff_ffff;

/// From here on a slot stands for what decides where no written rule does.
pub const RULE_FIXED: u32 = 0x3fff_fff0;
pub const RULE_FAILSAFE: u32 = 0x3fff_fff1;
pub const RULE_STAGE_DEFAULT: u32 = 0x3fff_fff2;
pub const RULE_WORKLOAD_TO_HOST: u32 = 0x3fff_fff3;
pub const RULE_HOST_TO_WORKLOAD: u32 = 0x3fff_fff4;

pub const PART_TCP: usize = 0;
pub const PART_UDP: usize = 1;
pub const PART_SCTP: usize = 2;
pub const PART_ICMP: usize = 3;
pub const PART_ICMPV6: usize = 4;
pub const PART_OTHER: usize = 5;
pub const PARTS: usize = 8;

/// Without spans `value` is the leaf itself; else the index of the first span.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RowPart {
    pub value: u32,
    pub n_spans: u32,
}
plain!(RowPart, 8);

#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Row {
    pub parts: [RowPart; PARTS],
}
plain!(Row, 64);

/// Without sources `value` is a leaf; else the index of the first span by source port.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span {
    pub start: u16,
    pub n_sources: u16,
    pub value: u32,
}
plain!(Span, 8, value at 4);

/// Words of `deny_bits`: a bit for each /24.
pub const DENY_WORDS: u32 = 262_144;

pub const OPENER_LOCAL: u8 = 0;
pub const OPENER_REMOTE: u8 = 1;

/// Lanes of a [`FlowKey`] from here on hold denied attempts.
pub const LANE_DENIED: u8 = 3;

#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FlowKey {
    pub endpoint: u32,
    pub local: Address,
    pub remote: Address,
    pub local_port: u16,
    pub remote_port: u16,
    pub protocol: u8,
    pub lane: u8,
    pub zero: u16,
}
plain!(FlowKey, 44, local_port at 36, lane at 41);

/// A [`FlowKey`] of IPv4.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flow4Key {
    pub endpoint: u32,
    pub local: [u8; 4],
    pub remote: [u8; 4],
    pub local_port: u16,
    pub remote_port: u16,
    pub protocol: u8,
    pub lane: u8,
    pub zero: u16,
}
plain!(Flow4Key, 20, local_port at 12, lane at 17);

pub const STATE_OPENER_FIN: u32 = 1;
pub const STATE_REPLIER_FIN: u32 = 2;
pub const STATE_RESET: u32 = 4;
pub const STATE_REPLIED: u32 = 8;
pub const STATE_CONFIRMED: u32 = 16;
pub const STATE_SYN: u32 = 32;

/// `judged`: the epoch in the upper half, the leaf in the lower.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flow {
    pub judged: u64,
    pub revision: u64,
    pub started_ns: u64,
    pub seen_ns: u64,
    pub packets: [u64; 2],
    pub bytes: [u64; 2],
    pub state: u32,
    pub opener: u8,
    pub icmp_type: u8,
    pub icmp_code: u8,
    /// The node has translated the destination: `real` and `real_port` were judged.
    pub is_translated: u8,
    pub real: Address,
    pub real_port: u16,
    pub zero: u16,
    pub zero2: u32,
    /// What `packets` (upper 24 bits) and `bytes` do not have yet.
    pub tally: [u64; 2],
}
plain!(Flow, 112, packets at 32, state at 64, opener at 68, real at 72, tally at 96);

/// A [`Flow`] of layouts before 6, which had all but the tally.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EarlierFlow {
    pub words: [u64; 12],
}
plain!(EarlierFlow, 96);

pub const EVENT_NEW: u8 = 1;
pub const EVENT_DENIED: u8 = 2;
pub const EVENT_LATE_DENIED: u8 = 3;
pub const EVENT_ENDED: u8 = 4;
pub const EVENT_DROPPED: u8 = 5;
pub const EVENT_CUT: u8 = 6;

pub const REASON_MALFORMED: u8 = 1;
pub const REASON_NO_PROGRAM: u8 = 2;
pub const REASON_NOT_ITS_ADDRESS: u8 = 3;
pub const REASON_FRAGMENT: u8 = 4;
pub const REASON_NOT_IP: u8 = 5;
pub const REASON_LINK_NOISE: u8 = 6;
pub const REASON_STRAY_RESET: u8 = 7;
pub const REASON_LOST_EVENT: u8 = 8;
pub const REASON_FLOWS_FULL: u8 = 9;
pub const REASON_NOT_ITS_MAC: u8 = 10;
pub const REASON_NO_TRANSLATION: u8 = 11;
pub const REASON_BUSY: u8 = 12;
/// [`Flow::judged`] of its event is the content id of the rule.
pub const REASON_DENY_SET: u8 = 13;
pub const REASONS: usize = 16;

#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Event {
    pub kind: u8,
    pub reason: u8,
    pub from_workload: u8,
    pub zero: u8,
    pub ifindex: u32,
    pub key: FlowKey,
    /// Of an [`EVENT_CUT`], the packet's sequence number. The one that it acknowledges is
    /// [`Flow::zero2`], and [`Flow::real`] begins with the frame's two link addresses.
    pub number: u32,
    pub flow: Flow,
}
plain!(Event, 168, key at 8, flow at 56);

pub const CONFIG_EPOCH: u32 = 0;
pub const CONFIG_REVISION: u32 = 1;
pub const CONFIG_NEXT_SLOT: u32 = 2;
pub const CONFIG_LISTENED: u32 = 23;
pub const CONFIG_NETFILTER: u32 = 24;
pub const CONFIG_TO_HOST: u32 = 25;
pub const CONFIG_HOSTS: u32 = 26;
pub const CONFIG_DENY6: u32 = 27;
pub const CONFIG_RESETS: u32 = 28;
pub const CONFIGS: u32 = 32;

#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SlotKey {
    pub kind: u32,
    pub slot: u32,
}
plain!(SlotKey, 8);

impl From<EarlierFlow> for Flow {
    fn from(earlier: EarlierFlow) -> Self {
        let mut bytes = [0; size_of::<Flow>()];
        if let Some(head) = bytes.get_mut(..size_of::<EarlierFlow>()) {
            head.copy_from_slice(earlier.as_bytes());
        }
        Self::from_bytes(&bytes).unwrap_or_default()
    }
}

impl Flow {
    pub fn leaf(&self) -> u32 {
        (self.judged & 0xffff_ffff) as u32
    }

    /// Packets from the opener (0) and to it (1).
    pub fn n_packets(&self, side: usize) -> u64 {
        let of = |counts: &[u64; 2]| counts.get(side).copied().unwrap_or(0);
        of(&self.packets).wrapping_add(of(&self.tally) >> TALLY_BITS)
    }

    /// Bytes from the opener (0) and to it (1).
    pub fn n_bytes(&self, side: usize) -> u64 {
        let of = |counts: &[u64; 2]| counts.get(side).copied().unwrap_or(0);
        of(&self.bytes).wrapping_add(of(&self.tally) & ((1 << TALLY_BITS) - 1))
    }

    /// Whether nobody had a word about it: no rule decided, and none logged it.
    pub fn is_unsaid(&self) -> bool {
        let rule = self.leaf() & RULE_MASK;
        self.leaf() & LEAF_NO_SAY != 0 && (rule == 0 || rule >= RULE_FIXED)
    }

    pub fn is_allowed(&self) -> bool {
        self.leaf() & LEAF_ALLOW != 0
    }
}
