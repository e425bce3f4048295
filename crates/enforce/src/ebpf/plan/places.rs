//! The same program on other interfaces: what changes most often, and what must not wait for a look at
//! everything that a program says.

use std::collections::BTreeSet;

use bulkhead_wire::NodeProgram;

use super::order::push;
use super::{
    Bindings, EndpointChange, Ground, NewSlots, classes, judges_move, names, wanted_endpoints,
};
use crate::dns::Cache;
use crate::kernel::KernelOp;
use crate::limits::MapSizes;
use crate::node::EnforceError;
use crate::realized::{SlotKind, Tables};

/// As [`plan_on`](super::plan_on), where `now` is what a plan of this very program has led to, carried
/// out to its end, and its host endpoints stand where they stood. `None` where more moves than places:
/// then everything must be looked at.
pub fn plan_places(
    now: &Tables,
    program: &NodeProgram,
    bindings: &Bindings,
    ground: &Ground,
    sizes: &MapSizes,
    cache: &Cache,
) -> Result<Option<Vec<KernelOp>>, EnforceError> {
    let mut slots = NewSlots { slots: now.slots.clone(), added: Vec::new() };
    let wanted = wanted_endpoints(program, bindings, ground, &mut slots)?;
    if judges_move(now, &wanted) {
        return Ok(None);
    }
    let names = names::moves(now, program, bindings, &slots, cache);
    if names.any() {
        return Ok(None);
    }
    let lane = classes::lane_of(now);
    let names = names.laid_out(lane, false);
    let endpoints = EndpointChange::between(now, wanted, ground, lane);
    let fits = now.slots.len() + slots.added.len() <= sizes.slots as usize
        && now.names.len() + names.n_added <= sizes.names as usize
        && now.endpoints.len() + endpoints.n_added <= sizes.endpoints as usize
        && now.interfaces.len() + endpoints.n_interfaces_added <= sizes.interfaces as usize;
    if !fits {
        // The whole plan says what does not fit.
        return Ok(None);
    }
    let stale = stale_endpoints(now, &slots, &endpoints.live);
    let next = slots.slots.next(SlotKind::Endpoint);

    let mut ops = Vec::new();
    push(&mut ops, slots.added, KernelOp::SetSlots);
    if next != now.slots.next(SlotKind::Endpoint) {
        ops.push(KernelOp::SetNextSlot(SlotKind::Endpoint, next));
    }
    push(&mut ops, endpoints.unset, KernelOp::UnsetEndpoints);
    push(&mut ops, names.set, KernelOp::SetNames);
    push(&mut ops, names.unset, KernelOp::UnsetNames);
    push(&mut ops, endpoints.interfaces_set, KernelOp::SetInterfaces);
    push(&mut ops, endpoints.set, KernelOp::SetEndpoints);
    push(&mut ops, endpoints.interfaces_unset, KernelOp::UnsetInterfaces);
    let mut frees = Vec::new();
    push(&mut frees, names.settle, KernelOp::SetNames);
    push(&mut frees, names.retired, KernelOp::UnsetNames);
    push(&mut frees, stale, KernelOp::UnsetSlots);
    if !frees.is_empty() {
        ops.push(KernelOp::Grace);
        ops.extend(frees);
    }
    Ok(Some(ops))
}

/// Of attachments that are no more. Host endpoints stay where they are.
fn stale_endpoints(now: &Tables, slots: &NewSlots, live: &BTreeSet<u32>) -> Vec<(SlotKind, u32)> {
    let of_hosts: BTreeSet<u32> = now.hosts.values().flat_map(|host| host.slots).collect();
    let is_stale = |(slot, content): &(u32, u64)| {
        let is_live = live.contains(slot) || of_hosts.contains(slot);
        !is_live || slots.of(SlotKind::Endpoint, *content) != Some(*slot)
    };
    let all = slots.slots.all(SlotKind::Endpoint);
    all.filter(is_stale).map(|(slot, _)| (SlotKind::Endpoint, slot)).collect()
}
