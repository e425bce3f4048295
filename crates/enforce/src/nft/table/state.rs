//! What the table says of itself, for an agent that finds it.

use std::collections::BTreeMap;

use bulkhead_types::Revision;

use crate::nft::maps::STATE;
use crate::nft::objects::{Change, Element};

/// Keys of the map `state`.
const STATE_REVISION_LOW: u32 = 0;
const STATE_REVISION_HIGH: u32 = 1;
/// Raised when the rules change; a table of another layout is replaced with the first program.
const STATE_LAYOUT: u32 = 2;
const LAYOUT: u32 = 1;
const STATE_BANK: u32 = 3;

/// What an earlier process has left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct State {
    pub revision: Revision,
    pub bank: u8,
}

/// `None`: there is no table.
pub fn read(elements: &BTreeMap<Vec<u8>, u32>) -> Option<State> {
    let of = |key: u32| elements.get(&key.to_ne_bytes()[..]).copied();
    of(STATE_LAYOUT)?;
    let [low, high] = [STATE_REVISION_LOW, STATE_REVISION_HIGH].map(|key| of(key).unwrap_or(0));
    let revision = Revision(u64::from(low) | u64::from(high) << 32);
    Some(State { revision, bank: u8::from(of(STATE_BANK) == Some(1)) })
}

pub fn write(change: &mut Change<'_>, revision: Revision, bank: u8, replaces: bool) {
    let element =
        |key: u32, value: u32| Element { key: key.to_ne_bytes().to_vec(), value: Some(value) };
    let [low, high] = [revision.0 as u32, (revision.0 >> 32) as u32];
    let elements = [
        element(STATE_REVISION_LOW, low),
        element(STATE_REVISION_HIGH, high),
        element(STATE_LAYOUT, LAYOUT),
        element(STATE_BANK, u32::from(bank)),
    ];
    if replaces {
        change.remove_elements(STATE.name, &elements);
    }
    change.add_elements(STATE.name, &elements);
}
