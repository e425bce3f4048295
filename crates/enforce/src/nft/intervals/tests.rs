use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};

use bulkhead_wire::{ClassId, NodeProgram};
use ipnet::IpNet;
use rand::prelude::*;
use rand::rngs::SmallRng;

use super::flatten;

/// As the kernel reads an interval map: the last start at or before the key, if nothing ends since.
fn look_up(elements: &[super::Element], key: &[u8]) -> Option<u32> {
    let before = elements.iter().filter(|element| element.key.as_slice() <= key);
    before.max_by_key(|element| (&element.key, element.value.is_some()))?.value
}

#[test]
fn flat_intervals_answer_as_the_longest_prefix_does() {
    let mut rng = SmallRng::seed_from_u64(7);
    for _ in 0..300 {
        let mut classes: BTreeMap<IpNet, ClassId> = BTreeMap::new();
        for _ in 0..rng.random_range(0..12) {
            let address = IpAddr::V4(Ipv4Addr::from_bits(rng.random_range(0..64) << 26));
            let net = IpNet::new(address, rng.random_range(0..8)).unwrap().trunc();
            classes.insert(net, ClassId(rng.random_range(1..4)));
        }
        let flat = flatten(classes.iter(), true, |class| class.0 as u32);
        let program = NodeProgram { classes: classes.into(), ..NodeProgram::default() };
        for top in 0..=255u32 {
            let address = Ipv4Addr::from_bits(top << 24 | 5);
            let meant = program.class_of(address.into());
            let found = look_up(&flat, &address.octets());
            assert_eq!(found.unwrap_or(0), meant.0 as u32, "{address} in {flat:?}");
        }
    }
}
