//! Addresses change class in one of two ways. Where nothing else changes, neither programs nor names,
//! each address moves by itself: old or new by nature. Otherwise the new class goes into the lane that nobody
//! looks at, every endpoint flips to that lane with its programs, and then both lanes are made equal.

use bulkhead_enforce_abi::{CLASS_OUTSIDE, ClassValue, ENDPOINT_LANE};
use bulkhead_wire::{ClassId, NodeProgram};
use ipnet::IpNet;

use super::{NewSlots, dangling};
use crate::limits::MapSizes;
use crate::node::EnforceError;
use crate::realized::Tables;

/// What changes, before it is known how.
pub struct ClassMoves {
    settled: Vec<(IpNet, ClassValue)>,
    unset: Vec<IpNet>,
    added: Vec<IpNet>,
}

pub struct ClassChange {
    /// Before the flip.
    pub set: Vec<(IpNet, ClassValue)>,
    /// Prefixes that go away: at once without a flip, after the grace period with one.
    pub unset: Vec<IpNet>,
    /// After the grace period: both lanes equal.
    pub settle: Vec<(IpNet, ClassValue)>,
    added: Vec<IpNet>,
}

/// The lane of the endpoints; 0 where there are none.
pub fn lane_of(now: &Tables) -> u32 {
    let endpoint = now.endpoints.values().next().map(|endpoint| endpoint.lane);
    let host = || now.hosts.values().next().map(|host| host.lane);
    endpoint.or_else(host).map_or(0, |lane| lane & ENDPOINT_LANE)
}

/// An update was cut short by the end of its process: lanes are not to be relied on.
pub fn is_torn(now: &Tables) -> bool {
    let lane = lane_of(now);
    now.endpoints.values().any(|endpoint| endpoint.lane & ENDPOINT_LANE != lane)
        || now.hosts.values().any(|host| host.lane & ENDPOINT_LANE != lane)
        || now.classes.values().any(|value| value.lane[0] != value.lane[1])
        || now.names.values().any(|value| value.lane[0] != value.lane[1])
}

/// `was`: the program that `now` holds whole, if it holds one.
pub fn moves(
    now: &Tables,
    was: Option<&NodeProgram>,
    program: &NodeProgram,
    slots: &NewSlots,
) -> Result<ClassMoves, EnforceError> {
    let mut moves = ClassMoves { settled: Vec::new(), unset: Vec::new(), added: Vec::new() };
    match was {
        Some(was) => {
            for (prefix, _, class) in was.classes.differences(&program.classes) {
                match class {
                    Some(class) => moves.settle(now, program, slots, (prefix, class))?,
                    None => moves.unset.push(*prefix),
                }
            }
        }
        None => {
            for member in &program.classes {
                moves.settle(now, program, slots, member)?;
            }
            let gone = now.classes.keys().filter(|prefix| !program.classes.contains_key(prefix));
            moves.unset = gone.copied().collect();
        }
    }
    Ok(moves)
}

impl ClassMoves {
    fn settle(
        &mut self,
        now: &Tables,
        program: &NodeProgram,
        slots: &NewSlots,
        (prefix, class): (&IpNet, &ClassId),
    ) -> Result<(), EnforceError> {
        let class = slots
            .class(*class)
            .ok_or_else(|| dangling(program, format!("class {class} of `{prefix}`")))?;
        let value = ClassValue { lane: [class, class] };
        let old = now.classes.get(prefix);
        if old != Some(&value) {
            self.settled.push((*prefix, value));
        }
        if old.is_none() {
            self.added.push(*prefix);
        }
        Ok(())
    }

    /// Whether any address changes class.
    pub fn any(&self) -> bool {
        !self.settled.is_empty() || !self.unset.is_empty()
    }

    /// `is_flip`: by way of the lane that nobody looks at.
    pub fn laid_out(
        self,
        now: &Tables,
        program: &NodeProgram,
        slots: &NewSlots,
        is_flip: bool,
    ) -> ClassChange {
        let Self { settled, unset, added } = self;
        if !is_flip {
            return ClassChange { set: settled, unset, settle: Vec::new(), added };
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
        ClassChange { set, unset, settle: settled, added }
    }
}

/// The class that the addresses of a prefix have once the prefix itself is gone.
fn covering(program: &NodeProgram, prefix: IpNet) -> Option<ClassId> {
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
            // Counted only where it might not fit.
            let n_at_most = now.classes.len() + self.added.len();
            if n_at_most <= size as usize || !self.added.iter().any(|prefix| belongs(&prefix)) {
                continue;
            }
            let n_now = now.classes.keys().filter(belongs).count();
            let n_added = self.added.iter().filter(belongs).count();
            check(map, n_now + n_added, size)?;
        }
        Ok(())
    }
}
