//! What endpoints know by name, as the maps hold it.
//!
//! A key holds the program, because an endpoint may send from addresses that different programs judge.
//! So what a program that comes or goes knows is written or removed apart from everybody else's; only
//! where a program stays does an address move from one set to another, like an address that changes
//! class.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use bulkhead_enforce_abi::{NAME_SET_CUT, NAME_SET_NONE, NameKey, NameValue};
use bulkhead_wire::{ClassId, EndpointProgram, NodeProgram, ProgramId, Tag};

use super::{Bindings, NewSlots, Place, endpoint_content};
use crate::dns::Cache;
use crate::realized::{SlotKind, Slots, Tables, mapped};

/// What changes, before it is known how.
pub struct NameMoves {
    /// Of programs that stay: key, old slot, new slot.
    moved: Vec<(NameKey, u32, u32)>,
    /// Of programs that nobody is judged by yet.
    fresh: Vec<(NameKey, u32)>,
    /// Of programs, or endpoints, that go.
    retired: Vec<NameKey>,
    n_added: usize,
}

pub struct NameChange {
    /// Before the flip.
    pub set: Vec<(NameKey, NameValue)>,
    /// What goes away: at once without a flip, after the grace period with one.
    pub unset: Vec<NameKey>,
    /// After the grace period: both lanes equal.
    pub settle: Vec<(NameKey, NameValue)>,
    /// After the grace period, in any case.
    pub retired: Vec<NameKey>,
    pub n_added: usize,
}

/// Whether anything that the endpoint sends is judged by names.
pub fn sees(program: &NodeProgram, endpoint: &EndpointProgram) -> bool {
    let judges = endpoint.addresses.values();
    judges.into_iter().any(|judges| program.names.programs.contains_key(&judges.egress))
}

/// What the kernel has for tags: nothing where the program sees none of them.
pub fn set_slot(
    program: &NodeProgram,
    slots: &Slots,
    judge: ProgramId,
    tags: &BTreeSet<Tag>,
) -> u32 {
    let Some(set) = program.names.seen_by(judge, tags) else { return NAME_SET_NONE };
    if !program.names.entries.contains_key(&(judge, ClassId::OUTSIDE, set)) {
        return NAME_SET_CUT;
    }
    slots.of(SlotKind::NameSet, set.0).unwrap_or(NAME_SET_CUT)
}

/// The programs that judge what one attachment of an endpoint sends.
pub fn judges_of(
    endpoint: &EndpointProgram,
    bound: &BTreeMap<std::net::IpAddr, Place>,
    ifindex: u32,
) -> BTreeSet<ProgramId> {
    let addresses = endpoint.addresses.iter();
    let here = addresses
        .filter(|(address, _)| bound.get(address).is_some_and(|place| place.ifindex == ifindex));
    here.map(|(_, judges)| judges.egress).collect()
}

/// Everything that is to be known, and who will be judged by what.
fn wanted(
    program: &NodeProgram,
    bindings: &Bindings,
    slots: &NewSlots,
    cache: &Cache,
) -> (BTreeMap<NameKey, u32>, BTreeSet<(u32, u32)>) {
    let (mut wanted, mut judged) = (BTreeMap::new(), BTreeSet::new());
    let mut seen: HashMap<(ProgramId, &BTreeSet<Tag>), u32> = HashMap::new();
    for (id, endpoint) in program.endpoints.iter() {
        let Some(bound) = bindings.get(id) else { continue };
        let ifindexes: BTreeSet<u32> = bound.values().map(|place| place.ifindex).collect();
        for ifindex in ifindexes {
            let content = endpoint_content(id, ifindex);
            let Some(endpoint_slot) = slots.of(SlotKind::Endpoint, content) else { continue };
            for judge in judges_of(endpoint, bound, ifindex) {
                let Some(judge_slot) = slots.of(SlotKind::Program, judge.0) else { continue };
                judged.insert((endpoint_slot, judge_slot));
                if !program.names.programs.contains_key(&judge) {
                    continue;
                }
                for (address, tags) in cache.tagged(content) {
                    let set = *seen
                        .entry((judge, tags))
                        .or_insert_with(|| set_slot(program, &slots.slots, judge, tags));
                    if set != NAME_SET_NONE {
                        let (endpoint, program) = (endpoint_slot, judge_slot);
                        let remote = mapped(address);
                        wanted.insert(NameKey { endpoint, program, remote }, set);
                    }
                }
            }
        }
    }
    (wanted, judged)
}

pub(super) fn moves(
    now: &Tables,
    program: &NodeProgram,
    bindings: &Bindings,
    slots: &NewSlots,
    cache: &Cache,
) -> NameMoves {
    let mut moves =
        NameMoves { moved: Vec::new(), fresh: Vec::new(), retired: Vec::new(), n_added: 0 };
    if now.names.is_empty() && program.names.is_empty() {
        return moves;
    }
    let (wanted, will_judge) = wanted(program, bindings, slots, cache);
    let judges: BTreeSet<(u32, u32)> =
        now.endpoints.values().map(|endpoint| (endpoint.slot, endpoint.egress)).collect();
    let lane = super::classes::lane_of(now) as usize;
    for (key, set) in &wanted {
        let old = now.names.get(key);
        if old == Some(&NameValue { lane: [*set; 2] }) {
            continue;
        }
        moves.n_added += usize::from(old.is_none());
        if judges.contains(&(key.endpoint, key.program)) {
            let old = old.and_then(|value| value.lane.get(lane)).copied();
            moves.moved.push((*key, old.unwrap_or(NAME_SET_NONE), *set));
        } else {
            moves.fresh.push((*key, *set));
        }
    }
    for (key, old) in now.names.iter().filter(|(key, _)| !wanted.contains_key(key)) {
        let place = (key.endpoint, key.program);
        if judges.contains(&place) && will_judge.contains(&place) {
            let old = old.lane.get(lane).copied().unwrap_or(NAME_SET_NONE);
            moves.moved.push((*key, old, NAME_SET_NONE));
        } else {
            moves.retired.push(*key);
        }
    }
    moves
}

impl NameMoves {
    /// Whether any address changes set under a program that stays.
    pub fn any(&self) -> bool {
        !self.moved.is_empty()
    }

    pub fn laid_out(self, old_lane: u32, is_flip: bool) -> NameChange {
        let settled = |set: u32| NameValue { lane: [set; 2] };
        let mut change = NameChange {
            set: self.fresh.into_iter().map(|(key, set)| (key, settled(set))).collect(),
            unset: Vec::new(),
            settle: Vec::new(),
            retired: self.retired,
            n_added: self.n_added,
        };
        for (key, old, new) in self.moved {
            if new == NAME_SET_NONE {
                change.unset.push(key);
            }
            if is_flip {
                let lane = if old_lane == 0 { [old, new] } else { [new, old] };
                change.set.push((key, NameValue { lane }));
            }
            if new != NAME_SET_NONE {
                let place = if is_flip { &mut change.settle } else { &mut change.set };
                place.push((key, settled(new)));
            }
        }
        change
    }
}
