//! From what is enforced and what should be, to the operations between: a pure function.
//!
//! Make before break: names and rules, rows, entries, classes, then every endpoint is flipped to its
//! new programs, then the epoch moves, and after a grace period the old is freed.
//!
//! INVARIANT(old-or-new): after every operation, each packet is judged as the old program or the new
//! one would, never by a mixture. What makes this hold: a class value has two lanes, and an endpoint
//! says in one element which lane goes with its programs; and a program whose answer changes gets a
//! new slot, so the slots of old programs keep their meaning until nothing uses them.

mod classes;
pub mod hosts;
pub mod names;
mod order;
mod places;
mod programs;
mod rows;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use bulkhead_enforce_abi::{
    CLASS_OUTSIDE, ENDPOINT_NAMES, Endpoint, EndpointKey, INTERFACE_JUDGED, Interface, mac_word,
};
use bulkhead_types::{EndpointId, EndpointKind, Mac};
use bulkhead_wire::id::content_hash;
use bulkhead_wire::{ClassId, NodeProgram};

use crate::dns::Cache;
use crate::kernel::KernelOp;
use crate::limits::MapSizes;
use crate::node::EnforceError;
use crate::realized::{SlotKind, Slots, Tables, mapped};
use order::Parts;

pub use places::plan_places;

/// Where one address of an endpoint is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    pub ifindex: u32,
    /// The only link address that it may send from there; any where `None`.
    pub mac: Option<Mac>,
}

/// Where each address of an endpoint is.
pub type Bindings = BTreeMap<EndpointId, BTreeMap<IpAddr, Place>>;

impl From<u32> for Place {
    fn from(ifindex: u32) -> Self {
        Self { ifindex, mac: None }
    }
}

/// Names one attachment of an endpoint. Another interface makes another endpoint slot, so what was
/// seen on the old one is never taken for the new.
pub fn endpoint_content(id: &EndpointId, ifindex: u32) -> u64 {
    let kind: &[u8] = match id.kind {
        EndpointKind::Pod => b"pod",
        EndpointKind::Workload => b"workload",
        EndpointKind::Host => b"host",
    };
    let ifindex = ifindex.to_le_bytes();
    content_hash([kind, id.namespace.as_bytes(), id.name.as_bytes(), &ifindex[..]])
}

/// What the node has besides the addresses of its endpoints.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ground {
    /// Interfaces of workloads, and bridges over several of them.
    pub interfaces: BTreeMap<u32, Interface>,
    /// The bridge that an interface of a workload is a port of: what is routed comes by it.
    pub bridges: BTreeMap<u32, u32>,
    /// The host endpoint that stands at an interface of the node's own; at 0, wherever no other does.
    pub hosts: BTreeMap<u32, EndpointId>,
}

/// Slots as they will be: the known ones and the ones that this plan adds.
struct NewSlots {
    slots: Slots,
    added: Vec<(SlotKind, u32, u64)>,
}

impl NewSlots {
    fn of(&self, kind: SlotKind, content: u64) -> Option<u32> {
        self.slots.of(kind, content)
    }

    fn add(&mut self, kind: SlotKind, slot: u32, content: u64) -> u32 {
        self.slots.set(kind, slot, content);
        self.added.push((kind, slot, content));
        slot
    }

    fn add_next(&mut self, kind: SlotKind, content: u64) -> u32 {
        self.add(kind, self.slots.next(kind), content)
    }

    fn get_or_add(&mut self, kind: SlotKind, content: u64) -> u32 {
        self.of(kind, content).unwrap_or_else(|| self.add_next(kind, content))
    }

    fn class(&self, class: ClassId) -> Option<u32> {
        if class == ClassId::OUTSIDE {
            Some(CLASS_OUTSIDE)
        } else {
            self.of(SlotKind::Class, class.0)
        }
    }
}

/// Whether an address that stays is judged by other programs.
fn judges_move(now: &Tables, wanted: &BTreeMap<EndpointKey, Endpoint>) -> bool {
    now.endpoints.iter().any(|(key, old)| {
        wanted.get(key).is_some_and(|new| (new.ingress, new.egress) != (old.ingress, old.egress))
    })
}

/// What leads from `now` to `program` on these `bindings`. Empty where nothing changes but names.
/// Nothing is planned where it would not fit.
pub fn plan(
    now: &Tables,
    program: &NodeProgram,
    bindings: &Bindings,
    sizes: &MapSizes,
) -> Result<Vec<KernelOp>, EnforceError> {
    let (was, ground, cache) = (None, Ground::default(), Cache::default());
    plan_on(now, was, program, bindings, &ground, sizes, &cache)
}

/// As [`plan`], where the node has more than its endpoints and these have looked names up. `was`: the
/// program that a plan has led to, carried out to its end; then addresses and rules take time only as far
/// as they are not the same.
pub fn plan_on(
    now: &Tables,
    was: Option<&NodeProgram>,
    program: &NodeProgram,
    bindings: &Bindings,
    ground: &Ground,
    sizes: &MapSizes,
    cache: &Cache,
) -> Result<Vec<KernelOp>, EnforceError> {
    let mut slots = new_slots(now, was, program);
    let rows = rows::plan(now, program, &mut slots, sizes)?;
    let entries = programs::plan(now, program, &mut slots)?;
    let wanted = wanted_endpoints(program, bindings, ground, &mut slots)?;
    let hosts = hosts::plan(now, program, &ground.hosts, &mut slots)?;
    if let Some((map, needed, available)) = hosts.excess() {
        let (needed, available) = (needed as u64, u64::from(available));
        let revision = program.revision;
        return Err(EnforceError::Capacity { map, needed, available, revision });
    }
    let judges_move = hosts.moves || judges_move(now, &wanted);
    let classes = classes::moves(now, was, program, &slots)?;
    let names = names::moves(now, program, bindings, &slots, cache);
    // What moves alone is old or new by nature; what moves together needs the other lane.
    let n_moving = [classes.any(), names.any(), judges_move].into_iter().filter(|any| *any).count();
    let is_flip = n_moving > 1 && !classes::is_torn(now);
    let lane = classes::lane_of(now) ^ u32::from(is_flip);
    let rejudge = n_moving > 0 || !entries.set.is_empty() || !entries.named.set.is_empty();
    let classes = classes.laid_out(now, program, &slots, is_flip);
    let names = names.laid_out(classes::lane_of(now), is_flip);
    let endpoints = EndpointChange::between(now, wanted, ground, lane);
    capacity(now, program, sizes, &slots, &rows, &entries, &classes, &names, &endpoints)?;

    let mut parts = Parts { rows, entries, classes, names, hosts, endpoints, lane, is_flip };
    let mut ops = parts.update(now, program, &slots, rejudge);
    let frees = parts.frees(was, program, &slots);
    if !frees.is_empty() {
        ops.push(KernelOp::Grace);
        ops.extend(frees);
    }
    Ok(ops)
}

/// The known slots, and those of what programs are made of.
fn new_slots(now: &Tables, was: Option<&NodeProgram>, program: &NodeProgram) -> NewSlots {
    let mut slots = NewSlots { slots: now.slots.clone(), added: Vec::new() };
    let nothing = NodeProgram::default();
    let was = was.unwrap_or(&nothing);
    for (rule, _, is) in was.rules.differences(&program.rules) {
        if is.is_some() {
            slots.get_or_add(SlotKind::Rule, rule.0);
        }
    }
    let named = program.names.entries.keys();
    for (_, _, set) in named.clone() {
        slots.get_or_add(SlotKind::NameSet, set.0);
    }
    let judged = program.entries.keys().map(|(_, class)| class);
    let judged = judged.chain(named.map(|(_, class, _)| class));
    let members = was.classes.differences(&program.classes);
    for class in members.iter().filter_map(|(_, _, is)| *is).chain(judged) {
        if *class != ClassId::OUTSIDE {
            slots.get_or_add(SlotKind::Class, class.0);
        }
    }
    slots
}

fn dangling(program: &NodeProgram, what: String) -> EnforceError {
    EnforceError::Dangling { what, revision: program.revision }
}

/// Every bound address with its judges, in lane 0.
fn wanted_endpoints(
    program: &NodeProgram,
    bindings: &Bindings,
    ground: &Ground,
    slots: &mut NewSlots,
) -> Result<BTreeMap<EndpointKey, Endpoint>, EnforceError> {
    let mut wanted = BTreeMap::new();
    for (id, endpoint) in program.endpoints.iter() {
        let Some(bound) = bindings.get(id) else { continue };
        let sees_names = names::sees(program, endpoint);
        for (address, judges) in &endpoint.addresses {
            let Some(Place { ifindex, mac }) = bound.get(address).copied() else { continue };
            let slot = slots.get_or_add(SlotKind::Endpoint, endpoint_content(id, ifindex));
            let of_program = |of: bulkhead_wire::ProgramId| {
                slots
                    .of(SlotKind::Program, of.0)
                    .ok_or_else(|| dangling(program, format!("program {of} of endpoint `{id}`")))
            };
            let value = Endpoint {
                slot,
                ingress: of_program(judges.ingress)?,
                egress: of_program(judges.egress)?,
                lane: if sees_names { ENDPOINT_NAMES } else { 0 },
                mac: mac.map_or(0, |mac| mac_word(mac.octets())),
            };
            let local = mapped(*address);
            wanted.insert(EndpointKey { ifindex, local }, value);
            if let Some(bridge) = ground.bridges.get(&ifindex) {
                wanted.insert(EndpointKey { ifindex: *bridge, local }, value);
            }
        }
    }
    Ok(wanted)
}

struct EndpointChange {
    set: Vec<(EndpointKey, Endpoint)>,
    unset: Vec<EndpointKey>,
    interfaces_set: Vec<(u32, Interface)>,
    interfaces_unset: Vec<u32>,
    /// Endpoint slots that stay in use.
    live: BTreeSet<u32>,
    n_added: usize,
    n_interfaces_added: usize,
}

impl EndpointChange {
    fn between(
        now: &Tables,
        wanted: BTreeMap<EndpointKey, Endpoint>,
        ground: &Ground,
        lane: u32,
    ) -> Self {
        let live = wanted.values().map(|endpoint| endpoint.slot).collect();
        let mut interfaces = ground.interfaces.clone();
        for key in wanted.keys() {
            interfaces.entry(key.ifindex).or_default().flags |= INTERFACE_JUDGED;
        }
        let unset = now.endpoints.keys().filter(|key| !wanted.contains_key(key)).copied().collect();
        let n_added = wanted.keys().filter(|key| !now.endpoints.contains_key(key)).count();
        let set = wanted
            .into_iter()
            .map(|(key, endpoint)| (key, Endpoint { lane: lane | endpoint.lane, ..endpoint }))
            .filter(|(key, endpoint)| now.endpoints.get(key) != Some(endpoint))
            .collect();
        let interfaces_unset =
            now.interfaces.keys().filter(|key| !interfaces.contains_key(key)).copied().collect();
        let n_interfaces_added =
            interfaces.keys().filter(|key| !now.interfaces.contains_key(key)).count();
        let interfaces_set: Vec<(u32, Interface)> = interfaces
            .into_iter()
            .filter(|(key, interface)| now.interfaces.get(key) != Some(interface))
            .collect();
        Self { set, unset, interfaces_set, interfaces_unset, live, n_added, n_interfaces_added }
    }
}

/// Classes with a slot that no address has. Where it is known which program had slots, only what has
/// left a class, or does not ask for it any more, can have been the last.
fn memberless(was: Option<&NodeProgram>, program: &NodeProgram, slots: &NewSlots) -> BTreeSet<u64> {
    let mut memberless = BTreeSet::new();
    match was {
        Some(was) => {
            let members = was.classes.differences(&program.classes).into_iter();
            memberless.extend(members.filter_map(|(_, was, _)| was.map(|class| class.0)));
            let entries = was.entries.differences(&program.entries).into_iter();
            memberless.extend(entries.map(|((_, class), ..)| class.0));
            let named = was.names.entries.differences(&program.names.entries).into_iter();
            memberless.extend(named.map(|((_, class, _), ..)| class.0));
        }
        None => memberless.extend(slots.slots.all(SlotKind::Class).map(|(_, content)| content)),
    }
    for class in program.classes.values() {
        if memberless.is_empty() {
            break;
        }
        memberless.remove(&class.0);
    }
    memberless
}

/// Names that nothing uses once the plan is carried out.
fn stale_slots(
    was: Option<&NodeProgram>,
    program: &NodeProgram,
    slots: &NewSlots,
    live_endpoints: &BTreeSet<u32>,
    hosts: &hosts::HostChange,
) -> Vec<(SlotKind, u32)> {
    let programs: BTreeSet<u64> = program.entries.keys().map(|(id, _)| id.0).collect();
    let judged = program.entries.keys().map(|(_, class)| class.0);
    let judged: BTreeSet<u64> =
        judged.chain(program.names.entries.keys().map(|(_, class, _)| class.0)).collect();
    let memberless = memberless(was, program, slots);
    let rows = program.entries.values().chain(program.names.entries.values());
    let rows: BTreeSet<u64> = rows.map(|row| row.0).collect();
    let sets: BTreeSet<u64> = program.names.entries.keys().map(|(_, _, set)| set.0).collect();
    let mut stale = Vec::new();
    for kind in SlotKind::ALL {
        for (slot, content) in slots.slots.all(kind) {
            let used = match kind {
                SlotKind::Program => programs.contains(&content),
                SlotKind::Class => judged.contains(&content) || !memberless.contains(&content),
                SlotKind::Row => rows.contains(&content),
                SlotKind::Rule => program.rules.contains_key(&bulkhead_wire::RuleId(content)),
                SlotKind::Endpoint => live_endpoints.contains(&slot) || hosts.live.contains(&slot),
                SlotKind::NameSet => sets.contains(&content),
                SlotKind::Locals => hosts.live_tables.contains(&slot),
                SlotKind::Failsafes => hosts.live_lists.contains(&slot),
            };
            // An older slot of the same content is a program that was replaced.
            if !used || slots.of(kind, content) != Some(slot) {
                stale.push((kind, slot));
            }
        }
    }
    stale
}

#[expect(clippy::too_many_arguments, reason = "one place that sees every part of a plan")]
fn capacity(
    now: &Tables,
    program: &NodeProgram,
    sizes: &MapSizes,
    slots: &NewSlots,
    rows: &rows::RowChange,
    entries: &programs::EntryChange,
    classes: &classes::ClassChange,
    names: &names::NameChange,
    endpoints: &EndpointChange,
) -> Result<(), EnforceError> {
    let check = |map: &'static str, needed: usize, available: u32| {
        if needed as u64 <= u64::from(available) {
            return Ok(());
        }
        let (needed, available) = (needed as u64, u64::from(available));
        Err(EnforceError::Capacity { map, needed, available, revision: program.revision })
    };
    // At the peak, the new stands beside the old.
    check("slots", now.slots.len() + slots.added.len(), sizes.slots)?;
    check("rows", rows.slots_end as usize, sizes.rows)?;
    check("spans", rows.spans_end as usize, sizes.spans)?;
    check("entries", now.entries.len() + entries.n_added, sizes.entries)?;
    let n_named = now.name_entries.len() + entries.named.n_added;
    check("name_entries", n_named, sizes.name_entries)?;
    check("names", now.names.len() + names.n_added, sizes.names)?;
    classes.capacity(now, &check, sizes)?;
    check("endpoints", now.endpoints.len() + endpoints.n_added, sizes.endpoints)?;
    check("interfaces", now.interfaces.len() + endpoints.n_interfaces_added, sizes.interfaces)
}
