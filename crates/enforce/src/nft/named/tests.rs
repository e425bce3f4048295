use std::net::Ipv4Addr;

use super::*;

fn key(n: u8) -> NamedKey {
    (7, Ipv4Addr::new(10, 0, 0, 1).into(), Ipv4Addr::new(10, 70, 0, n).into())
}

/// A bank as the kernel has it.
fn apply(bank: &mut BTreeMap<Vec<u8>, u32>, elements: NamedElements) {
    for (_, gone, come) in elements {
        for element in gone {
            assert_eq!(bank.remove(&element.key), element.value, "what goes must be there");
        }
        for element in come {
            assert_eq!(bank.insert(element.key, element.value.unwrap()), None, "there already");
        }
    }
}

#[test]
fn whatever_order_banks_are_written_in_both_come_to_hold_the_same() {
    let mut named = NamedBanks::default();
    let mut kernel = [BTreeMap::new(), BTreeMap::new()];
    let (mut active, mut seed) = (0usize, 7u32);
    let mut next = |below: u32| {
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (seed >> 16) % below
    };
    for _ in 0..2_000 {
        let moves: BTreeMap<NamedKey, Option<u32>> =
            (0..next(4)).map(|_| (key(next(6) as u8), (next(3) > 0).then(|| next(3)))).collect();
        let moves: NamedMoves = moves.into_iter().collect();
        match next(4) {
            0 => {
                apply(&mut kernel[1 - active], named.level());
                assert_eq!(kernel[0], kernel[1]);
                assert!(named.is_level());
            }
            1 => {
                active = 1 - active;
                apply(&mut kernel[active], named.flip(moves));
            }
            _ => apply(&mut kernel[active], named.write(moves)),
        }
        let mut meant = BTreeMap::new();
        apply(&mut meant, named.all());
        assert_eq!(kernel[active], meant);
    }
}

#[test]
fn only_a_row_in_the_place_of_another_needs_the_other_bank() {
    let mut named = NamedBanks::default();
    assert!(!named.replaces(&vec![(key(1), Some(1))]));
    named.write(vec![(key(1), Some(1))]);
    assert!(!named.replaces(&vec![(key(1), None), (key(2), Some(2))]));
    assert!(!named.replaces(&vec![(key(1), Some(1))]));
    assert!(named.replaces(&vec![(key(1), Some(2))]));
    let moves = [(key(1), false), (key(2), true), (key(3), true), (key(4), false)];
    assert_eq!(named.n_after(moves.iter().map(|(key, comes)| (key, *comes))), 2);
    let same = vec![(key(1), Some(1)), (key(4), None)];
    assert_eq!(named.real(same), []);
    let wanted = BTreeMap::from([(key(2), 2)]);
    assert_eq!(named.moves(&wanted), [(key(1), None), (key(2), Some(2))]);
}
