use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};

use bulkhead_wire::{ClassId, NodeProgram};
use ipnet::IpNet;
use rand::prelude::*;
use rand::rngs::SmallRng;

use super::{difference, flatten};

/// As the kernel reads an interval map: the last start at or before the key, if nothing ends since.
fn look_up(elements: &[super::Element], key: &[u8]) -> Option<u32> {
    let before = elements.iter().filter(|element| element.key.as_slice() <= key);
    before.max_by_key(|element| (&element.key, element.value.is_some()))?.value
}

/// Prefixes of the same few addresses, so that most lie within or beside others.
fn mk_net(rng: &mut SmallRng) -> IpNet {
    let address = IpAddr::V4(Ipv4Addr::from_bits(rng.random_range(0..64) << 26));
    IpNet::new(address, rng.random_range(0..8)).unwrap().trunc()
}

fn mk_class(rng: &mut SmallRng) -> ClassId {
    ClassId(rng.random_range(1..4))
}

#[test]
fn flat_intervals_answer_as_the_longest_prefix_does() {
    let mut rng = SmallRng::seed_from_u64(7);
    for _ in 0..300 {
        let classes: BTreeMap<IpNet, ClassId> =
            (0..rng.random_range(0..12)).map(|_| (mk_net(&mut rng), mk_class(&mut rng))).collect();
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

#[test]
fn a_difference_is_what_two_flat_tables_do_not_share() {
    let mut rng = SmallRng::seed_from_u64(11);
    let number = |class: ClassId| class.0 as u32;
    for _ in 0..3_000 {
        let old: BTreeMap<IpNet, ClassId> =
            (0..rng.random_range(0..12)).map(|_| (mk_net(&mut rng), mk_class(&mut rng))).collect();
        let mut new = old.clone();
        for _ in 0..rng.random_range(1..4) {
            let net = mk_net(&mut rng);
            if new.remove(&net).is_none() || rng.random() {
                new.insert(net, mk_class(&mut rng));
            }
        }
        // Exact addresses stand in the same table and are not looked at.
        new.insert(IpAddr::from(Ipv4Addr::from_bits(rng.random())).into(), ClassId(9));
        let is_net = |(net, _): &(&IpNet, &ClassId)| net.prefix_len() < 32;
        let nets = |of: &BTreeMap<IpNet, ClassId>| -> Vec<(IpNet, ClassId)> {
            of.iter().filter(is_net).map(|(net, class)| (*net, *class)).collect()
        };
        let flat = |of: &BTreeMap<IpNet, ClassId>| {
            let nets = nets(of);
            let nets = nets.iter().map(|(net, class)| (net, class));
            flatten(nets, true, number).into_iter().collect::<BTreeSet<_>>()
        };
        let keys = old.keys().chain(new.keys()).collect::<BTreeSet<_>>();
        let is_moved = |net: &&&IpNet| net.prefix_len() < 32 && old.get(net) != new.get(net);
        let moved: Vec<IpNet> = keys.iter().filter(is_moved).map(|net| **net).collect();
        let (gone, come) = difference(&old.clone().into(), &new.clone().into(), &moved, &number);
        let (was, is) = (flat(&old), flat(&new));
        assert_eq!(gone, was.difference(&is).cloned().collect::<Vec<_>>(), "{old:?} to {new:?}");
        assert_eq!(come, is.difference(&was).cloned().collect::<Vec<_>>(), "{old:?} to {new:?}");
    }
}
