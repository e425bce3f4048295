//! A kernel in memory: the same tables, and the judgement of `bpf/src/judge.h` in Rust, so that plans
//! can be tested step by step without privileges.

use std::collections::HashMap;

use bulkhead_enforce_abi::{
    CLASS_OUTSIDE, ENDPOINT_LANE, ENDPOINT_NAMES, EndpointKey, EntryKey, LEAF_UNKNOWN,
    NAME_SET_NONE, NameEntryKey, NameKey, PART_ICMP, PART_ICMPV6, PART_OTHER, PART_SCTP, PART_TCP,
    PART_UDP, Span,
};
use bulkhead_types::{Direction, Packet, Protocol};
use ipnet::IpNet;

use crate::kernel::{Kernel, KernelOp};
use crate::node::EnforceError;
use crate::realized::{Tables, mapped};

#[derive(Clone, Debug, Default)]
pub struct Fake {
    pub tables: Tables,
    pub spans: HashMap<u32, Span>,
    /// How many operations succeed before the rest fail; `None`: all.
    pub ops_left: Option<usize>,
}

impl Kernel for Fake {
    fn apply(&mut self, op: &KernelOp) -> Result<(), EnforceError> {
        if let Some(left) = &mut self.ops_left {
            *left = left.checked_sub(1).ok_or_else(|| EnforceError::Kernel {
                action: "apply an operation".to_owned(),
                message: "the fake kernel was told to fail".to_owned(),
            })?;
        }
        if let KernelOp::SetSpans(start, spans) = op {
            self.spans.extend((*start..).zip(spans.iter().copied()));
        }
        self.tables.apply(op);
        Ok(())
    }

    fn read(&mut self) -> Result<Tables, EnforceError> {
        Ok(self.tables.clone())
    }
}

impl Fake {
    /// The leaf for a packet at an interface; `None` where the interface or address has no endpoint.
    pub fn judge(&self, ifindex: u32, direction: Direction, packet: &Packet) -> Option<u32> {
        let (local, remote) = match direction {
            Direction::Ingress => (packet.dst, packet.src),
            Direction::Egress => (packet.src, packet.dst),
        };
        let key = EndpointKey { ifindex, local: mapped(local) };
        let endpoint = self.tables.endpoints.get(&key)?;
        let program = match direction {
            Direction::Ingress => endpoint.ingress,
            Direction::Egress => endpoint.egress,
        };
        let lane = (endpoint.lane & ENDPOINT_LANE) as usize;
        let class = self.tables.class_covering(IpNet::from(remote), lane, false);
        let looks = direction == Direction::Egress && endpoint.lane & ENDPOINT_NAMES != 0;
        let looked_up = NameKey { endpoint: endpoint.slot, program, remote: mapped(remote) };
        let known = self.tables.names.get(&looked_up).filter(|_| looks);
        let set = known.and_then(|value| value.lane.get(lane)).copied().unwrap_or(NAME_SET_NONE);
        let row = if set == NAME_SET_NONE {
            let of = |class| self.tables.entries.get(&EntryKey { program, class });
            of(class).or_else(|| of(CLASS_OUTSIDE))
        } else {
            let of = |class| self.tables.name_entries.get(&NameEntryKey { program, class, set });
            of(class).or_else(|| of(CLASS_OUTSIDE))
        };
        Some(row.and_then(|row| self.row_leaf(*row, packet)).unwrap_or(LEAF_UNKNOWN))
    }

    fn row_leaf(&self, row: u32, packet: &Packet) -> Option<u32> {
        let icmp = u16::from_be_bytes([packet.icmp_type, packet.icmp_code]);
        let (part, key) = match packet.protocol {
            Protocol::TCP => (PART_TCP, packet.dst_port),
            Protocol::UDP => (PART_UDP, packet.dst_port),
            Protocol::SCTP => (PART_SCTP, packet.dst_port),
            Protocol::ICMP => (PART_ICMP, icmp),
            Protocol::ICMPV6 => (PART_ICMPV6, icmp),
            Protocol(number) => (PART_OTHER, u16::from(number)),
        };
        let part = self.tables.rows.get(&row)?.parts.get(part)?;
        if part.n_spans == 0 {
            return Some(part.value);
        }
        let span = self.span_at(part.value, part.n_spans, key)?;
        if span.n_sources == 0 {
            return Some(span.value);
        }
        self.span_at(span.value, u32::from(span.n_sources), packet.src_port).map(|span| span.value)
    }

    fn span_at(&self, first: u32, n: u32, key: u16) -> Option<Span> {
        (first..first + n)
            .filter_map(|index| self.spans.get(&index))
            .take_while(|span| span.start <= key)
            .last()
            .copied()
    }
}
