//! What `cover` claims about rules holds of every packet in random worlds, and it claims a lot.

use bulkhead_policy::rule::Rule;
use bulkhead_policy::{World, cover};
use bulkhead_testbed::worlds;
use bulkhead_types::Direction;

#[test]
fn claims_about_rules_hold_of_every_packet() {
    let (mut n_covered, mut n_never, mut n_apart) = (0, 0, 0);
    for seed in 0..120 {
        let drawn = worlds::World::seed(seed);
        let world = World::from_objects(&drawn.objects);
        let policies = world.policies().iter();
        let rules: Vec<&Rule> = policies
            .flat_map(|policy| Direction::BOTH.map(|direction| policy.rules(direction)))
            .flatten()
            .flat_map(|rules| rules.iter())
            .collect();
        let packets = drawn.packets(150);
        let matched: Vec<Vec<bool>> = rules
            .iter()
            .map(|rule| packets.iter().map(|packet| world.matches(rule, packet)).collect())
            .collect();
        for (at, (later, of_later)) in rules.iter().zip(&matched).enumerate() {
            if let Some(why) = cover::never(later) {
                n_never += 1;
                assert!(!of_later.contains(&true), "seed {seed}: {why}: {later:?}");
            }
            for (other, of_other) in rules.iter().zip(&matched) {
                let mut pairs = of_later.iter().zip(of_other);
                if cover::is_covered(later, [*other]) {
                    n_covered += 1;
                    assert!(
                        pairs.clone().all(|(l, o)| !l || *o),
                        "seed {seed}: {later:?}\n{other:?}"
                    );
                }
                if cover::are_apart(later, other) {
                    n_apart += 1;
                    assert!(pairs.all(|(l, o)| !l || !o), "seed {seed}: {later:?}\n{other:?}");
                }
            }
            // By several together.
            let earlier = &rules[..at];
            if cover::is_covered(later, earlier.iter().copied()) {
                for (packet, _) in of_later.iter().enumerate().filter(|(_, matches)| **matches) {
                    let is_taken = matched[..at].iter().any(|of_earlier| of_earlier[packet]);
                    assert!(is_taken, "seed {seed}: {later:?}");
                }
            }
        }
    }
    assert!(
        n_covered > 1_000 && n_never > 10 && n_apart > 1_000,
        "{n_covered} {n_never} {n_apart}"
    );
}
