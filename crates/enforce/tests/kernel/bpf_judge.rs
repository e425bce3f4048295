//! The kernel against `NodeProgram::decide`, on random programs and packets.

use crate::bench::Bench;
use crate::packets::Frame;
use bulkhead_types::{Decision, Direction};
use bulkhead_wire::FlowEvent;
use rand::prelude::*;
use rand::rngs::SmallRng;

/// `BULKHEAD_PROGRAMS=100000` for a long run.
fn n_programs() -> u64 {
    std::env::var("BULKHEAD_PROGRAMS").ok().and_then(|n| n.parse().ok()).unwrap_or(2_000)
}

#[test]
fn kernel_agrees_with_decide() {
    let mut bench = Bench::new();
    let (mut n_allowed, mut n_denied) = (0, 0);
    for seed in 0..n_programs() {
        let mut rng = SmallRng::seed_from_u64(seed);
        let program = crate::random::mk_program(&mut rng, seed + 1);
        bench.enforce(&program);
        for _ in 0..10 {
            let Some((id, local)) = crate::random::pick_local(&mut rng, &program) else { continue };
            let direction = if rng.random() { Direction::Egress } else { Direction::Ingress };
            let packet =
                crate::random::mk_question(&mut rng, local, direction == Direction::Egress);
            let expected = program.decide(&id, direction, &packet);
            let passed = bench.passes(direction, &Frame::new(packet));
            let told = bench.records();
            let context = format!("seed {seed}, {id} {direction}, {packet:?}");
            assert_eq!(passed, expected.decision == Decision::Allow, "{context}: {expected:?}");
            let [record] = told.as_slice() else { panic!("{context}: told {told:?}") };
            assert_eq!(*record.verdict, expected, "{context}");
            assert_eq!((&*record.reporter, record.direction), (&id, direction), "{context}");
            assert_eq!(record.packet, packet, "{context}");
            assert_eq!(record.revision.0, seed + 1, "{context}");
            let event = if passed { FlowEvent::New } else { FlowEvent::Denied };
            assert_eq!((record.event, record.packets_forward), (event, 1), "{context}");
            if passed {
                n_allowed += 1;
            } else {
                n_denied += 1;
            }
            bench.forget_flows();
        }
    }
    assert!(n_allowed > 1_000 && n_denied > 1_000, "{n_allowed} allowed, {n_denied} denied");
}
