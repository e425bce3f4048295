//! Any bytes are a message that keeps its type's invariants, or an error.
//!
//! Input: one byte that chooses the message, then the message.

use std::fmt::Debug;
use std::net::IpAddr;

use bulkhead_types::{Direction, Packet, Protocol};
use bulkhead_wire::{
    Codec, FlowBatch, FlowReceipt, FlowRecord, FromNode, JoinRequest, JoinResponse, NodeProgram,
    ProgramDelta, ToNode,
};

/// How many kinds of message there are to choose from.
pub const KINDS: u8 = 9;

pub fn run(data: &[u8]) {
    let Some((kind, data)) = data.split_first() else { return };
    match kind % KINDS {
        0 => {
            if let Some(program) = decoded::<NodeProgram>(data) {
                ask(&program);
            }
        }
        1 => {
            if let Some(delta) = decoded::<ProgramDelta>(data) {
                let mut program = NodeProgram { revision: delta.base, ..NodeProgram::default() };
                assert_eq!(delta.apply(&mut program), Ok(()));
                ask(&program);
            }
        }
        2 => drop(decoded::<ToNode>(data)),
        3 => drop(decoded::<FromNode>(data)),
        4 => drop(decoded::<FlowRecord>(data)),
        5 => drop(decoded::<FlowBatch>(data)),
        6 => drop(decoded::<FlowReceipt>(data)),
        7 => drop(decoded::<JoinRequest>(data)),
        _ => drop(decoded::<JoinResponse>(data)),
    }
}

fn decoded<T: Codec + PartialEq + Debug>(data: &[u8]) -> Option<T> {
    let value = match T::decode(data) {
        Ok(value) => value,
        Err(error) => {
            assert!(!error.to_string().is_empty());
            return None;
        }
    };
    match T::decode(&value.encode()) {
        Ok(again) => assert_eq!(again, value, "a message means something else the second time"),
        Err(error) => panic!("what was read cannot be read again: {error}"),
    }
    Some(value)
}

/// A program that was decoded answers, whatever it lacks.
fn ask(program: &NodeProgram) {
    for endpoint in program.endpoints.values().take(4) {
        for &own in endpoint.addresses.keys().take(2) {
            let other: IpAddr = match own {
                IpAddr::V4(_) => [10, 0, 0, 1].into(),
                IpAddr::V6(_) => [0u16, 0, 0, 0, 0, 0, 0, 1].into(),
            };
            for protocol in [Protocol::TCP, Protocol::ICMP, Protocol(47)] {
                let ports = if protocol.has_ports() { 80 } else { 0 };
                let packet = Packet {
                    src: other,
                    dst: own,
                    protocol,
                    src_port: ports,
                    dst_port: ports,
                    icmp_type: 8,
                    icmp_code: 0,
                };
                let _ = program.decide(&endpoint.id, Direction::Ingress, &packet);
            }
        }
    }
}
