//! Host endpoints: which stands at which interface, with tables of programs by the near address and
//! lists of fail-safe ports.
//!
//! Tables and lists are named by their content, so they never change: what a host endpoint says
//! changes with its one element, which names others.

use std::collections::{BTreeMap, BTreeSet};

use bulkhead_enforce_abi::{
    FailsafeKey, Host, LocalKey, STAGE_FORWARD, STAGE_NORMAL, STAGE_PRE_DNAT, STAGE_UNTRACKED,
};
use bulkhead_types::{Direction, EndpointId, FailsafePort, HostStage};
use bulkhead_wire::host::Locals;
use bulkhead_wire::id::content_hash;
use bulkhead_wire::{HostProgram, NodeProgram};
use ipnet::IpNet;

use super::{NewSlots, dangling};
use crate::limits::{FAILSAFES_MAX, HOSTS_MAX, LOCALS_MAX};
use crate::node::EnforceError;
use crate::realized::{SlotKind, Tables, mapped};

#[derive(Default)]
pub struct HostChange {
    pub locals_set: Vec<(LocalKey, u32)>,
    pub locals_unset: Vec<LocalKey>,
    pub failsafes_set: Vec<FailsafeKey>,
    pub failsafes_unset: Vec<FailsafeKey>,
    /// In lane 0, all of them.
    wanted: BTreeMap<u32, Host>,
    /// Endpoint slots that stay in use.
    pub live: BTreeSet<u32>,
    /// Slots of tables and lists that stay in use.
    pub live_tables: BTreeSet<u32>,
    pub live_lists: BTreeSet<u32>,
    /// Whether some host endpoint that was there gets other programs.
    pub moves: bool,
    pub n_locals: usize,
    pub n_failsafes: usize,
}

/// Names one stage of a host endpoint, of which the flows are remembered apart.
pub fn stage_content(id: &EndpointId, stage: HostStage) -> u64 {
    let stage = [stage_index(stage) as u8];
    content_hash([b"host stage".as_slice(), id.name.as_bytes(), &stage])
}

fn stage_index(stage: HostStage) -> usize {
    match stage {
        HostStage::Untracked => STAGE_UNTRACKED,
        HostStage::PreDnat => STAGE_PRE_DNAT,
        HostStage::Normal => STAGE_NORMAL,
        HostStage::Forward => STAGE_FORWARD,
    }
}

pub(super) fn plan(
    now: &Tables,
    program: &NodeProgram,
    standing: &BTreeMap<u32, EndpointId>,
    slots: &mut NewSlots,
) -> Result<HostChange, EnforceError> {
    let mut change = HostChange::default();
    let mut locals: BTreeMap<LocalKey, u32> = BTreeMap::new();
    let mut failsafes: BTreeSet<FailsafeKey> = BTreeSet::new();
    for (ifindex, id) in standing {
        let Some(host) = program.hosts.get(id) else { continue };
        let mut element = Host::default();
        for ((stage, direction), table) in &host.stages {
            let slot = table_slot(program, table, slots, &mut locals)?;
            change.live_tables.insert(slot);
            set(&mut element, *stage, *direction, slot);
            let flows = slots.get_or_add(SlotKind::Endpoint, stage_content(id, *stage));
            change.live.insert(flows);
            if let Some(of_stage) = element.slots.get_mut(stage_index(*stage)) {
                *of_stage = flows;
            }
        }
        element.failsafe = lists_of(host, slots, &mut failsafes);
        change.live_lists.extend(element.failsafe);
        change.wanted.insert(*ifindex, element);
    }
    change.moves = now.hosts.iter().any(|(key, old)| {
        let same = |new: &Host| (new.slots, new.locals) == (old.slots, old.locals);
        change.wanted.get(key).is_some_and(|new| !same(new))
    });
    change.n_locals = locals.len();
    change.n_failsafes = failsafes.len();
    change.locals_unset = now.locals.keys().filter(|k| !locals.contains_key(k)).copied().collect();
    change.locals_set = locals.into_iter().filter(|(k, v)| now.locals.get(k) != Some(v)).collect();
    change.failsafes_unset = now.failsafes.difference(&failsafes).copied().collect();
    change.failsafes_set = failsafes.difference(&now.failsafes).copied().collect();
    Ok(change)
}

impl HostChange {
    /// The elements to write, with everyone in `lane`.
    pub fn set(&self, now: &Tables, lane: u32) -> Vec<(u32, Host)> {
        let placed = self.wanted.iter().map(|(key, host)| (*key, Host { lane, ..*host }));
        placed.filter(|(key, host)| now.hosts.get(key) != Some(host)).collect()
    }

    pub fn unset(&self, now: &Tables) -> Vec<u32> {
        now.hosts.keys().filter(|key| !self.wanted.contains_key(key)).copied().collect()
    }

    /// What does not fit, if anything: the map, how much is needed, and how much there is.
    pub fn excess(&self) -> Option<(&'static str, usize, u32)> {
        let maps = [
            ("hosts", self.wanted.len(), HOSTS_MAX),
            ("locals", self.n_locals, LOCALS_MAX),
            ("failsafes", self.n_failsafes, FAILSAFES_MAX),
        ];
        maps.into_iter().find(|(_, needed, available)| *needed > *available as usize)
    }
}

fn set(element: &mut Host, stage: HostStage, direction: Direction, table: u32) {
    let side = match direction {
        Direction::Ingress => 0,
        Direction::Egress => 1,
    };
    let cell = element.locals.get_mut(stage_index(stage)).and_then(|sides| sides.get_mut(side));
    if let Some(cell) = cell {
        *cell = table;
    }
}

fn wide(prefix: IpNet) -> u32 {
    let length = u32::from(prefix.prefix_len());
    if prefix.addr().is_ipv4() { length + 96 } else { length }
}

fn table_slot(
    program: &NodeProgram,
    table: &Locals,
    slots: &mut NewSlots,
    locals: &mut BTreeMap<LocalKey, u32>,
) -> Result<u32, EnforceError> {
    let mut judged = Vec::with_capacity(table.len());
    for (prefix, of) in table {
        let slot = slots
            .of(SlotKind::Program, of.0)
            .ok_or_else(|| dangling(program, format!("program {of} of a host endpoint")))?;
        judged.push((*prefix, slot));
    }
    let bytes: Vec<[u8; 24]> = judged
        .iter()
        .map(|(prefix, slot)| {
            let mut bytes = [0; 24];
            let (address, numbers) = bytes.split_at_mut(16);
            address.copy_from_slice(&mapped(prefix.addr()).0);
            let (length, program) = numbers.split_at_mut(4);
            length.copy_from_slice(&wide(*prefix).to_be_bytes());
            program.copy_from_slice(&slot.to_be_bytes());
            bytes
        })
        .collect();
    let content = content_hash(bytes.iter().map(<[u8; 24]>::as_slice));
    let name = slots.get_or_add(SlotKind::Locals, content);
    locals.extend(judged.into_iter().map(|(prefix, slot)| {
        let address = mapped(prefix.addr());
        (LocalKey { length: 32 + wide(prefix), locals: name, address }, slot)
    }));
    Ok(name)
}

fn lists_of(
    host: &HostProgram,
    slots: &mut NewSlots,
    failsafes: &mut BTreeSet<FailsafeKey>,
) -> [u32; 2] {
    [&host.failsafe_inbound, &host.failsafe_outbound].map(|ports| {
        if ports.is_empty() {
            return 0;
        }
        let words: Vec<String> = ports.iter().map(|port| format!("{port:?}")).collect();
        let content = content_hash(words.iter().map(String::as_bytes));
        let set = slots.get_or_add(SlotKind::Failsafes, content);
        failsafes.extend(ports.iter().map(|port| failsafe_key(set, port)));
        set
    })
}

fn failsafe_key(set: u32, port: &FailsafePort) -> FailsafeKey {
    let (length, address) = match port.net {
        Some(net) => (wide(net), mapped(net.network())),
        None => (0, Default::default()),
    };
    FailsafeKey {
        length: 64 + length,
        set,
        protocol: port.protocol.0,
        zero: 0,
        port: port.port,
        address,
    }
}
