use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;

/// Chunks are neither empty nor too big, and everything ascends.
fn is_sound(table: &Table<u16, u8>) -> bool {
    let keys: Vec<u16> = table.keys().copied().collect();
    table.chunks.iter().all(|chunk| (1..=CHUNK_MAX).contains(&chunk.len()))
        && keys.is_sorted_by(|one, next| one < next)
        && keys.len() == table.len()
}

fn n_shared(one: &Table<u16, u8>, other: &Table<u16, u8>) -> usize {
    let is_there = |chunk| other.chunks.iter().any(|its| Arc::ptr_eq(its, chunk));
    one.chunks.iter().filter(|chunk| is_there(chunk)).count()
}

fn mk_table(n: u16) -> Table<u16, u8> {
    (0..n).map(|key| (key * 2, 0)).collect()
}

proptest! {
    #[test]
    fn a_table_does_what_a_map_does(
        edits in prop::collection::vec((0..2_000u16, prop::option::weighted(0.7, any::<u8>())), 0..3_000),
        asked in 0..2_000u16,
    ) {
        let (mut table, mut map) = (Table::default(), BTreeMap::new());
        for (key, value) in edits {
            match value {
                Some(value) => prop_assert_eq!(table.insert(key, value), map.insert(key, value)),
                None => prop_assert_eq!(table.remove(&key), map.remove(&key)),
            }
        }
        prop_assert!(is_sound(&table));
        prop_assert!(table.iter().eq(map.iter()));
        prop_assert_eq!(table.get(&asked), map.get(&asked));
        prop_assert!(table.starting_at(&asked).eq(map.range(asked..)));
        prop_assert_eq!(table.starting_at(&asked).len(), map.range(asked..).count());
        prop_assert_eq!(&Table::from(map.clone()), &table);
        let even = |key: &u16, _: &u8| key.is_multiple_of(2);
        table.retain(even);
        map.retain(|key, value| even(key, value));
        prop_assert!(is_sound(&table) && table.iter().eq(map.iter()));
    }

    #[test]
    fn differences_are_those_of_two_maps(
        first in prop::collection::btree_map(0..3_000u16, 0..3u8, 0..2_000),
        edits in prop::collection::vec((0..3_000u16, prop::option::of(0..3u8)), 0..300),
    ) {
        let old = Table::from(first.clone());
        let (mut new, mut map) = (old.clone(), first.clone());
        for (key, value) in edits {
            match value {
                Some(value) => prop_assert_eq!(new.insert(key, value), map.insert(key, value)),
                None => prop_assert_eq!(new.remove(&key), map.remove(&key)),
            }
        }
        let keys: BTreeSet<&u16> = first.keys().chain(map.keys()).collect();
        let expected: Vec<_> = keys
            .into_iter()
            .map(|key| (key, first.get(key), map.get(key)))
            .filter(|(_, was, is)| was != is)
            .collect();
        prop_assert_eq!(old.differences(&new), expected);
        // And where nothing is shared.
        prop_assert_eq!(old.differences(&Table::from(map.clone())).len(), old.differences(&new).len());
        prop_assert!(old.iter().eq(first.iter()), "what others hold does not move");
    }
}

#[test]
fn a_write_copies_one_chunk_and_leaves_the_others_shared() {
    let old = mk_table(20_000);
    let n_chunks = old.chunks.len();
    let mut new = old.clone();
    assert!(new.is_same(&old));
    new.insert(9_001, 1);
    // The full chunk became two.
    assert_eq!((n_shared(&old, &new), new.chunks.len()), (n_chunks - 1, n_chunks + 1));
    assert_eq!(old.differences(&new), [(&9_001, None, Some(&1))]);
    new.remove(&9_001);
    assert_eq!(old.differences(&new), []);
    assert_eq!(new, old);
}

#[test]
fn a_table_that_shrinks_gives_its_chunks_back() {
    let mut table = mk_table(20_000);
    for key in (0..40_000).filter(|key| key % 200 != 0) {
        table.remove(&key);
    }
    assert_eq!(table.len(), 200);
    assert!(table.chunks.len() <= 4, "{} chunks", table.chunks.len());
}

#[test]
fn what_is_added_in_order_fills_its_chunks() {
    let mut table = Table::default();
    (0..10_240u16).for_each(|key| assert_eq!(table.insert(key, 0), None));
    assert_eq!(table.chunks.len(), 10_240 / CHUNK_MAX);
}
