use bulkhead_enforce_abi::{Address, ClassValue, Endpoint, EndpointKey, EntryKey, Interface, Row};

use super::*;
use crate::kernel::Kernel;
use crate::kernel::fake::Fake;

fn mk_tables() -> Tables {
    let mut tables = Tables { epoch: 5, revision: 9, ..Tables::default() };
    tables.slots.set(SlotKind::Rule, 3, 30);
    for slot in 1..4 {
        tables.rows.insert(slot, Row::default());
        tables.entries.insert(EntryKey { program: 1, class: slot }, slot);
        let prefix = format!("10.0.0.{slot}/32").parse().unwrap();
        tables.classes.insert(prefix, ClassValue { lane: [slot, slot] });
        let key = EndpointKey { ifindex: slot, local: Address([slot as u8; 16]) };
        tables.endpoints.insert(key, Endpoint { slot, ..Endpoint::default() });
        tables.interfaces.insert(slot, Interface::default());
    }
    tables
}

const PARTS: [Part; 6] =
    [Part::Numbers, Part::Endpoints, Part::Slots, Part::Classes, Part::Entries, Part::Rows];

/// Repairs all parts of what was done to the tables; returns how many elements differed.
fn mend(damage: impl Fn(&mut Tables)) -> usize {
    let meant = mk_tables();
    let mut kernel = Fake { tables: mk_tables(), ..Fake::default() };
    damage(&mut kernel.tables);
    let mut n_found = 0;
    for part in PARTS {
        let (ops, n) = way_back(&meant, &kernel.tables, part);
        n_found += n;
        for op in ops {
            kernel.apply(&op).unwrap();
        }
    }
    assert_eq!(kernel.tables, meant);
    n_found
}

#[test]
fn what_nobody_touched_is_left_alone() {
    assert_eq!(mend(|_| {}), 0);
}

#[test]
fn removed_elements_come_back() {
    let n = mend(|tables| {
        tables.slots.unset(SlotKind::Rule, 3);
        tables.rows.pop_first();
        tables.entries.pop_first();
        tables.classes.pop_first();
        tables.endpoints.pop_first();
        tables.interfaces.pop_first();
    });
    assert_eq!(n, 6);
}

#[test]
fn added_elements_go() {
    let n = mend(|tables| {
        tables.entries.insert(EntryKey { program: 1, class: 77 }, 1);
        tables.classes.insert("0.0.0.0/0".parse().unwrap(), ClassValue { lane: [1, 1] });
        tables.interfaces.insert(40, Interface::default());
    });
    assert_eq!(n, 3);
}

#[test]
fn changed_values_are_set_back() {
    let n = mend(|tables| {
        tables.epoch = 4;
        tables.revision = 1;
        tables.entries.values_mut().for_each(|row| *row = 1);
        tables.endpoints.values_mut().for_each(|endpoint| endpoint.ingress = 8);
    });
    assert_eq!(n, 7);
}
