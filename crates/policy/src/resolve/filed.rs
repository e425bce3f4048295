//! Finds what has a say about a remote address, where there is too much to look at each.

use rustc_hash::FxHashMap;

use crate::select::GroupId;

/// So many are looked at one by one.
pub const FEW_MAX: usize = 8;

/// Positions of grants, or of lists of them, by what they ask of the remote address.
#[derive(Debug, Default)]
pub struct Filed {
    /// What asks for no group: it concerns every class.
    always: Vec<u32>,
    by_group: FxHashMap<GroupId, Vec<u32>>,
}

impl Filed {
    /// `keys`: groups one of which the address must be in; empty: it may be any.
    pub fn add(&mut self, position: u32, keys: &[GroupId]) {
        if keys.is_empty() {
            self.always.push(position);
        }
        for &key in keys {
            self.by_group.entry(key).or_default().push(position);
        }
    }

    /// Each position once, in order.
    pub fn find(&self, seen: &[GroupId]) -> Vec<u32> {
        let mut positions = self.always.clone();
        positions.extend(seen.iter().filter_map(|group| self.by_group.get(group)).flatten());
        positions.sort_unstable();
        positions.dedup();
        positions
    }
}
