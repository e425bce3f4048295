//! The one gate to the kernel: small operations, a real kernel behind them or a fake one.

pub mod fake;
pub mod linux;

use bulkhead_enforce_abi::{
    ClassValue, Endpoint, EndpointKey, EntryKey, FailsafeKey, Host, Interface, LocalKey,
    NameEntryKey, NameKey, NameValue, Row, Span,
};
use ipnet::IpNet;

use crate::node::EnforceError;
use crate::realized::{SlotKind, Tables};

/// One step of an update. The order of steps is the planner's business.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KernelOp {
    SetSlots(Vec<(SlotKind, u32, u64)>),
    UnsetSlots(Vec<(SlotKind, u32)>),
    SetNextSlot(SlotKind, u32),
    /// Consecutive spans from an index.
    SetSpans(u32, Vec<Span>),
    SetRow(u32, Row),
    /// Nothing points at these any more; their slots and spans may be used again.
    UnsetRows(Vec<u32>),
    SetEntries(Vec<(EntryKey, u32)>),
    UnsetEntries(Vec<EntryKey>),
    SetNameEntries(Vec<(NameEntryKey, u32)>),
    UnsetNameEntries(Vec<NameEntryKey>),
    /// What is known by name.
    SetNames(Vec<(NameKey, NameValue)>),
    UnsetNames(Vec<NameKey>),
    SetClasses(Vec<(IpNet, ClassValue)>),
    UnsetClasses(Vec<IpNet>),
    SetInterfaces(Vec<(u32, Interface)>),
    UnsetInterfaces(Vec<u32>),
    SetEndpoints(Vec<(EndpointKey, Endpoint)>),
    UnsetEndpoints(Vec<EndpointKey>),
    SetLocals(Vec<(LocalKey, u32)>),
    UnsetLocals(Vec<LocalKey>),
    SetFailsafes(Vec<FailsafeKey>),
    UnsetFailsafes(Vec<FailsafeKey>),
    SetHosts(Vec<(u32, Host)>),
    UnsetHosts(Vec<u32>),
    /// Whether what workloads send to their own host is denied.
    SetToHost(bool),
    SetRevision(u64),
    SetEpoch(u64),
    /// What follows frees what packets may still be looking at: let those that are under way finish.
    Grace,
}

/// Something that keeps the tables and judges packets by them.
pub trait Kernel {
    fn apply(&mut self, op: &KernelOp) -> Result<(), EnforceError>;
    /// Everything that is there, also what an earlier process wrote.
    fn read(&mut self) -> Result<Tables, EnforceError>;
}
