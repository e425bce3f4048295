//! The Rust twin of `bpf/src/abi_dns.h`: what is told about resolvers.

use core::mem::{offset_of, size_of};

use crate::{FlowKey, Plain};

pub const HEARD_QUESTION: u8 = 1;
pub const HEARD_OPENED: u8 = 2;
pub const HEARD_ANSWER: u8 = 3;

/// Before a frame to or from a resolver. The offsets count from the start of the frame.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Heard {
    pub key: FlowKey,
    pub ifindex: u32,
    pub seen_ns: u64,
    pub length: u32,
    pub l3: u16,
    pub l4: u16,
    pub payload: u16,
    pub gso_size: u16,
    pub kind: u8,
    pub is_ipv4: u8,
    pub zero: [u8; 2],
}
plain!(Heard, 72, seen_ns at 48, payload at 64);

pub const DNS_HELD: u32 = 0;
pub const DNS_NOBODY: u32 = 1;
pub const DNS_FULL: u32 = 2;
pub const DNS_SHAPE: u32 = 3;
pub const DNS_UNCOPIED: u32 = 4;

/// So long after its last sign the agent is taken for dead.
pub const LISTENED_MAX_NS: u64 = 2_000_000_000;
