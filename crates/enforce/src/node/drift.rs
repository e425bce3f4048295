//! Holds the kernel to what was written to it, whoever else writes: links and pins that somebody
//! removed, elements that somebody deleted or changed.
//!
//! Every look checks all links, all pins, the node's numbers, every endpoint, and how much memory each
//! table takes, which moves with every element; what moved without our doing is compared element by
//! element. In turns every table is compared like that without a cause, to find changed values.
//!
//! Reading endpoints as they lie there is cheap, comparing them is not: as long as they look as they did
//! when they were last found right they are not compared.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::kernel::KernelOp;
use crate::kernel::linux::{LinkDrift, Linux};
use crate::node::EnforceError;
use crate::node::told::ToldLately;
use crate::realized::{SlotKind, Tables};

/// A removed object is found after this long at most.
pub const LOOK_EVERY: Duration = Duration::from_millis(400);
/// One whole comparison in so many looks.
const LOOKS_PER_TURN: u32 = 25;

/// A part of the tables that is compared at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    Numbers,
    Endpoints,
    Slots,
    Classes,
    Entries,
    Names,
    Rows,
}

/// Parts whose memory tells how many elements they have.
pub const COUNTED: [Part; 4] = [Part::Slots, Part::Classes, Part::Entries, Part::Names];
const TURNS: [Part; 5] = [Part::Slots, Part::Classes, Part::Entries, Part::Names, Part::Rows];

#[derive(Debug, Default)]
pub struct Watch {
    /// Bytes of each counted part after our last write.
    known: BTreeMap<Part, u64>,
    /// What the endpoints looked like, in one number, when they were found right after our last write.
    right: Option<u64>,
    n_looks: u32,
    told: ToldLately,
}

impl Watch {
    /// Call after every write: what is there now is ours.
    pub fn trust(&mut self, kernel: &Linux) {
        self.known = COUNTED.iter().map(|part| (*part, kernel.bytes_used(*part))).collect();
        self.right = None;
    }

    pub fn trust_part(&mut self, kernel: &Linux, part: Part) {
        self.known.insert(part, kernel.bytes_used(part));
    }

    /// Parts that somebody else added elements to or took them from.
    pub fn moved(&self, kernel: &Linux) -> Vec<Part> {
        let is_moved = |part: &Part| self.known.get(part) != Some(&kernel.bytes_used(*part));
        COUNTED.into_iter().filter(is_moved).collect()
    }

    /// Looks at everything that can be seen quickly, and at one part in its turn. Links and pins are
    /// mended here; returns what else leads back to `tables`, and the interfaces that lost a program.
    pub fn look(
        &mut self,
        kernel: &mut Linux,
        tables: &Tables,
    ) -> Result<(Vec<KernelOp>, BTreeSet<u32>), EnforceError> {
        let mut bare = BTreeSet::new();
        for (ifindex, side, what) in kernel.check_links()? {
            let what = match what {
                LinkDrift::Detached => {
                    bare.insert(ifindex);
                    "was detached"
                }
                LinkDrift::Replaced => "had its program replaced",
                LinkDrift::Unpinned => "lost its pin",
            };
            self.tell(format!("the link {ifindex}-{side} {what}; put back"));
        }
        for what in kernel.check_hooks()? {
            self.tell(format!("the hook {what}; put back"));
        }
        for name in kernel.check_map_pins()? {
            self.tell(format!("the map `{name}` lost its pin; put back"));
        }
        let mut parts = vec![Part::Numbers, Part::Endpoints];
        parts.extend(self.moved(kernel));
        self.n_looks = self.n_looks.wrapping_add(1);
        if self.is_turn() {
            let turn = (self.n_looks / LOOKS_PER_TURN) as usize % TURNS.len();
            parts.extend(TURNS.get(turn));
        }
        Ok((self.compare(kernel, tables, &parts)?, bare))
    }

    /// Whether the last look was one of the few that take longer.
    pub fn is_turn(&self) -> bool {
        self.n_looks.is_multiple_of(LOOKS_PER_TURN)
    }

    /// What leads back to `tables` in these parts.
    pub fn compare(
        &mut self,
        kernel: &mut Linux,
        tables: &Tables,
        parts: &[Part],
    ) -> Result<Vec<KernelOp>, EnforceError> {
        let mut ops = Vec::new();
        for part in parts {
            let print = |kernel: &Linux| match part {
                Part::Endpoints => kernel.print_endpoints().map(Some),
                _ => Ok(None),
            };
            let before = print(kernel)?;
            if before.is_some() && before == self.right {
                continue;
            }
            let found = kernel.read_part(*part, tables)?;
            let (back, n) = way_back(tables, &found, *part);
            if n > 0 {
                self.tell(format!("{n} elements of {} were changed; put back", part.name()));
                ops.extend(back);
            } else if before.is_some() {
                // Unless somebody wrote while it was read.
                self.right = before.filter(|_| print(kernel).is_ok_and(|after| after == before));
            }
        }
        Ok(ops)
    }

    fn tell(&mut self, sentence: String) {
        self.told.tell(sentence);
    }

    /// What was found lately.
    pub fn told(&mut self) -> Vec<String> {
        self.told.told()
    }
}

impl Part {
    fn name(self) -> &'static str {
        match self {
            Self::Numbers => "the node's numbers",
            Self::Endpoints => "endpoints",
            Self::Slots => "slots",
            Self::Classes => "classes",
            Self::Entries => "entries",
            Self::Names => "names",
            Self::Rows => "rows",
        }
    }
}

impl Linux {
    fn bytes_used(&self, part: Part) -> u64 {
        self.bytes_of(match part {
            Part::Slots => &["slots"],
            Part::Classes => &["classes4", "classes6", "prefixes4", "prefixes6"],
            Part::Entries => &["entries"],
            Part::Names => &["names", "name_entries"],
            Part::Numbers | Part::Endpoints | Part::Rows => &[],
        })
    }
}

/// The operations that lead from what was `found` back to what is `meant`, and how many elements
/// differ. What judges comes back before what points at it; what is too much goes last.
pub fn way_back(meant: &Tables, found: &Tables, part: Part) -> (Vec<KernelOp>, usize) {
    match part {
        Part::Numbers => numbers(meant, found),
        Part::Slots => slots(meant, found),
        Part::Rows => {
            let wrong = changed(&meant.rows, &found.rows);
            let n = wrong.len();
            (wrong.into_iter().map(|(slot, row)| KernelOp::SetRow(slot, row)).collect(), n)
        }
        Part::Entries => both(
            changed(&meant.entries, &found.entries),
            added(&meant.entries, &found.entries),
            KernelOp::SetEntries,
            KernelOp::UnsetEntries,
        ),
        Part::Classes => both(
            changed(&meant.classes, &found.classes),
            added(&meant.classes, &found.classes),
            KernelOp::SetClasses,
            KernelOp::UnsetClasses,
        ),
        Part::Names => {
            let (mut ops, n) = both(
                changed(&meant.name_entries, &found.name_entries),
                added(&meant.name_entries, &found.name_entries),
                KernelOp::SetNameEntries,
                KernelOp::UnsetNameEntries,
            );
            let (more, n_more) = both(
                changed(&meant.names, &found.names),
                added(&meant.names, &found.names),
                KernelOp::SetNames,
                KernelOp::UnsetNames,
            );
            ops.extend(more);
            (ops, n + n_more)
        }
        Part::Endpoints => {
            let (mut ops, n) = both(
                changed(&meant.endpoints, &found.endpoints),
                added(&meant.endpoints, &found.endpoints),
                KernelOp::SetEndpoints,
                KernelOp::UnsetEndpoints,
            );
            let (more, n_more) = both(
                changed(&meant.interfaces, &found.interfaces),
                added(&meant.interfaces, &found.interfaces),
                KernelOp::SetInterfaces,
                KernelOp::UnsetInterfaces,
            );
            ops.extend(more);
            let (more, n_hosts) = hosts(meant, found);
            ops.extend(more);
            (ops, n + n_more + n_hosts)
        }
    }
}

fn changed<K: Ord + Copy, V: PartialEq + Copy>(
    meant: &BTreeMap<K, V>,
    found: &BTreeMap<K, V>,
) -> Vec<(K, V)> {
    if meant == found {
        return Vec::new();
    }
    let differs = |(key, value): &(&K, &V)| found.get(key) != Some(value);
    meant.iter().filter(differs).map(|(key, value)| (*key, *value)).collect()
}

fn added<K: Ord + Copy, V: PartialEq>(meant: &BTreeMap<K, V>, found: &BTreeMap<K, V>) -> Vec<K> {
    if meant == found {
        return Vec::new();
    }
    found.keys().filter(|key| !meant.contains_key(key)).copied().collect()
}

fn both<S, U>(
    set: Vec<S>,
    unset: Vec<U>,
    make_set: impl Fn(Vec<S>) -> KernelOp,
    make_unset: impl Fn(Vec<U>) -> KernelOp,
) -> (Vec<KernelOp>, usize) {
    let n = set.len() + unset.len();
    let set = (!set.is_empty()).then(|| make_set(set));
    let unset = (!unset.is_empty()).then(|| make_unset(unset));
    (set.into_iter().chain(unset).collect(), n)
}

fn hosts(meant: &Tables, found: &Tables) -> (Vec<KernelOp>, usize) {
    let missing: Vec<_> = meant.failsafes.difference(&found.failsafes).copied().collect();
    let extra: Vec<_> = found.failsafes.difference(&meant.failsafes).copied().collect();
    let parts = [
        both(
            changed(&meant.locals, &found.locals),
            added(&meant.locals, &found.locals),
            KernelOp::SetLocals,
            KernelOp::UnsetLocals,
        ),
        both(missing, extra, KernelOp::SetFailsafes, KernelOp::UnsetFailsafes),
        both(
            changed(&meant.hosts, &found.hosts),
            added(&meant.hosts, &found.hosts),
            KernelOp::SetHosts,
            KernelOp::UnsetHosts,
        ),
    ];
    let mut ops = Vec::new();
    let mut n = 0;
    for (part, n_part) in parts {
        ops.extend(part);
        n += n_part;
    }
    if meant.closes_host != found.closes_host {
        ops.push(KernelOp::SetToHost(meant.closes_host));
        n += 1;
    }
    (ops, n)
}

fn slots(meant: &Tables, found: &Tables) -> (Vec<KernelOp>, usize) {
    let all = |tables: &Tables| -> BTreeMap<(SlotKind, u32), u64> {
        let of_kind = |kind| tables.slots.all(kind).map(move |(slot, id)| ((kind, slot), id));
        SlotKind::ALL.into_iter().flat_map(of_kind).collect()
    };
    let (meant, found) = (all(meant), all(found));
    let set = changed(&meant, &found).into_iter().map(|((kind, slot), id)| (kind, slot, id));
    both(set.collect(), added(&meant, &found), KernelOp::SetSlots, KernelOp::UnsetSlots)
}

fn numbers(meant: &Tables, found: &Tables) -> (Vec<KernelOp>, usize) {
    let mut ops = Vec::new();
    for kind in SlotKind::ALL {
        if meant.slots.next(kind) != found.slots.next(kind) {
            ops.push(KernelOp::SetNextSlot(kind, meant.slots.next(kind)));
        }
    }
    if meant.revision != found.revision {
        ops.push(KernelOp::SetRevision(meant.revision));
    }
    if meant.epoch != found.epoch {
        ops.push(KernelOp::SetEpoch(meant.epoch));
    }
    let n = ops.len();
    (ops, n)
}

/// Reads the kernel's side of one part.
impl Linux {
    fn read_part(&mut self, part: Part, meant: &Tables) -> Result<Tables, EnforceError> {
        match part {
            Part::Numbers => self.read_numbers(),
            Part::Endpoints => self.read_endpoints(),
            Part::Slots => Ok(Tables { slots: self.read_slots()?, ..Tables::default() }),
            Part::Classes => self.read_classes(),
            Part::Entries => self.read_entries(),
            Part::Names => self.read_names(),
            Part::Rows => self.read_rows(&meant.slots),
        }
    }
}

#[cfg(test)]
mod tests;
