//! Names in the kernel against `NodeProgram::decide_named`, on random programs and look-ups.

use bulkhead_enforce::dns::Cache;
use bulkhead_enforce::ebpf::plan::endpoint_content;
use bulkhead_types::{Decision, Direction};
use rand::prelude::*;
use rand::rngs::SmallRng;

use crate::bench::{Bench, LOOPBACK};
use crate::packets::Frame;
use crate::random;

/// `BULKHEAD_PROGRAMS=100000` for a long run.
fn n_programs() -> u64 {
    std::env::var("BULKHEAD_PROGRAMS").ok().and_then(|n| n.parse().ok()).unwrap_or(1_000)
}

#[test]
fn the_kernel_judges_what_was_looked_up_as_decide_named_does() {
    let mut bench = Bench::new();
    let (mut n_by_name, mut n_other) = (0, 0);
    let mut cache = Cache::default();
    for seed in 0..n_programs() {
        let mut rng = SmallRng::seed_from_u64(seed);
        let program = random::mk_program(&mut rng, seed + 1);
        let program = random::mk_names(&mut rng, program);
        if rng.random_bool(0.2) {
            cache = Cache::default();
        }
        cache.resolve(&program.names);
        random::mk_cache(&mut rng, &program, LOOPBACK, &mut cache);
        bench.enforce_named(&program, &cache);
        for _ in 0..20 {
            let Some((id, local)) = random::pick_local(&mut rng, &program) else { continue };
            let direction =
                if rng.random_bool(0.8) { Direction::Egress } else { Direction::Ingress };
            let packet = random::mk_question(&mut rng, local, direction == Direction::Egress);
            let names = cache.names(endpoint_content(&id, LOOPBACK), packet.dst);
            let expected = program.decide_named(&id, direction, &packet, &names);
            let passed = bench.passes(direction, &Frame::new(packet));
            let context = format!("seed {seed}, {id} {direction}, {packet:?}, {names:?}");
            assert_eq!(passed, expected.decision == Decision::Allow, "{context}: {expected:?}");
            let told = bench.records();
            let [record] = told.as_slice() else { panic!("{context}: told {told:?}") };
            assert_eq!(*record.verdict, expected, "{context}");
            match expected == program.decide(&id, direction, &packet) {
                true => n_other += 1,
                false => n_by_name += 1,
            }
            bench.forget_flows();
        }
    }
    assert!(n_by_name > 500 && n_other > 500, "{n_by_name} by name, {n_other} not");
}
