//! Addresses change class in one of two ways. Where no endpoint changes its programs, each address
//! moves by itself: old or new by nature. Otherwise the new class goes into the lane that nobody
//! looks at, every endpoint flips to that lane with its programs, and then both lanes are made equal.

use bulkhead_enforce_abi::{CLASS_OUTSIDE, ClassValue};
use bulkhead_wire::NodeProgram;
use ipnet::IpNet;

use super::{NewSlots, dangling};
use crate::limits::MapSizes;
use crate::node::EnforceError;
use crate::realized::Tables;

pub struct ClassChange {
    /// Before the flip.
    pub set: Vec<(IpNet, ClassValue)>,
    /// Prefixes that go away: at once without a flip, after the grace period with one.
    pub unset: Vec<IpNet>,
    /// After the grace period: both lanes equal.
    pub settle: Vec<(IpNet, ClassValue)>,
    /// The lane to flip to, if there is to be a flip.
    pub lane: Option<u32>,
    /// Whether any address changes class.
    pub moves: bool,
    added: Vec<IpNet>,
}

/// The lane of the endpoints; 0 where there are none.
pub fn lane_of(now: &Tables) -> u32 {
    now.endpoints.values().next().map_or(0, |endpoint| endpoint.lane & 1)
}

/// An update was cut short by the end of its process: lanes are not to be relied on.
fn is_torn(now: &Tables) -> bool {
    let lane = lane_of(now);
    now.endpoints.values().any(|endpoint| endpoint.lane & 1 != lane)
        || now.classes.values().any(|value| value.lane[0] != value.lane[1])
}

pub fn plan(
    now: &Tables,
    program: &NodeProgram,
    slots: &NewSlots,
    judges_move: bool,
) -> Result<ClassChange, EnforceError> {
    let mut settled = Vec::new();
    for (prefix, class) in program.classes.iter() {
        let class = slots
            .class(*class)
            .ok_or_else(|| dangling(program, format!("class {class} of `{prefix}`")))?;
        let value = ClassValue { lane: [class, class] };
        if now.classes.get(prefix) != Some(&value) {
            settled.push((*prefix, value));
        }
    }
    let unset: Vec<IpNet> = now
        .classes
        .keys()
        .filter(|prefix| !program.classes.contains_key(prefix))
        .copied()
        .collect();
    let added = settled
        .iter()
        .map(|(prefix, _)| *prefix)
        .filter(|prefix| !now.classes.contains_key(prefix))
        .collect();
    let moves = !settled.is_empty() || !unset.is_empty();
    if !moves || !judges_move || is_torn(now) {
        let (set, settle) = (settled, Vec::new());
        return Ok(ClassChange { set, unset, settle, lane: None, moves, added });
    }

    let old_lane = lane_of(now) as usize;
    let lanes = |old: u32, new: u32| ClassValue {
        lane: if old_lane == 0 { [old, new] } else { [new, old] },
    };
    let mut set: Vec<(IpNet, ClassValue)> = settled
        .iter()
        .map(|(prefix, value)| {
            let old = now.class_covering(*prefix, old_lane, false);
            (*prefix, lanes(old, value.lane[0]))
        })
        .collect();
    set.extend(unset.iter().map(|prefix| {
        let old = now.class_covering(*prefix, old_lane, false);
        let new = covering(program, *prefix).and_then(|class| slots.class(class));
        (*prefix, lanes(old, new.unwrap_or(CLASS_OUTSIDE)))
    }));
    let lane = Some(1 - old_lane as u32);
    Ok(ClassChange { set, unset, settle: settled, lane, moves, added })
}

/// The class that the addresses of a prefix have once the prefix itself is gone.
fn covering(program: &NodeProgram, prefix: IpNet) -> Option<bulkhead_wire::ClassId> {
    (0..prefix.prefix_len())
        .rev()
        .filter_map(|length| IpNet::new(prefix.addr(), length).ok())
        .find_map(|shorter| program.classes.get(&shorter.trunc()).copied())
}

impl ClassChange {
    pub fn capacity(
        &self,
        now: &Tables,
        check: &impl Fn(&'static str, usize, u32) -> Result<(), EnforceError>,
        sizes: &MapSizes,
    ) -> Result<(), EnforceError> {
        for (map, is_exact, is_v4, size) in [
            ("classes4", true, true, sizes.classes),
            ("classes6", true, false, sizes.classes),
            ("prefixes4", false, true, sizes.prefixes),
            ("prefixes6", false, false, sizes.prefixes),
        ] {
            let belongs = |prefix: &&IpNet| {
                (prefix.prefix_len() == prefix.max_prefix_len()) == is_exact
                    && prefix.addr().is_ipv4() == is_v4
            };
            if !self.added.iter().any(|prefix| belongs(&prefix)) {
                continue;
            }
            let n_now = now.classes.keys().filter(belongs).count();
            let n_added = self.added.iter().filter(belongs).count();
            check(map, n_now + n_added, size)?;
        }
        Ok(())
    }
}
