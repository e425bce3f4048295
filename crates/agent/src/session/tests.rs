use std::sync::Arc;

use bulkhead_types::RuleRef;
use bulkhead_wire::{ProgramDelta, RuleId, Welcome};

use super::*;

fn mk_program(revision: u64, n_rules: u64) -> NodeProgram {
    let mut program = NodeProgram { revision: Revision(revision), ..NodeProgram::default() };
    program.rules.extend((0..n_rules).map(|n| (RuleId(n), RuleRef::Unknown.into())));
    program
}

fn mk_held(revision: u64) -> Held {
    Held { program: Arc::new(mk_program(revision, 1)), life: 0 }
}

fn mk_delta(from: &NodeProgram, to: &NodeProgram) -> ToNode {
    ToNode::Delta(Arc::new(ProgramDelta::between(from, to)))
}

#[track_caller]
fn check_refused(held: &mut Held, word: ToNode, revision: u64, expected: &str) {
    let before = Arc::clone(&held.program);
    match held.take(word) {
        Taken::Answer(FromNode::Nack(nack)) => {
            assert_eq!(nack.revision, Revision(revision));
            assert!(nack.reason.contains(expected), "{}", nack.reason);
        }
        other => panic!("must be refused: {other:?}"),
    }
    assert_eq!(held.program, before, "what was held stays");
}

#[test]
fn an_older_program_is_refused_and_a_newer_one_taken() {
    let mut held = mk_held(7);
    let older = ToNode::Program(Arc::new(mk_program(6, 3)));
    check_refused(&mut held, older, 6, "older than 7");
    let newer = Arc::new(mk_program(8, 3));
    assert_eq!(held.take(ToNode::Program(Arc::clone(&newer))), Taken::Program);
    assert_eq!(held.program, newer);
}

#[test]
fn a_delta_follows_on_from_what_is_held_or_a_snapshot_is_wanted() {
    let mut held = mk_held(7);
    let (at_7, at_8, at_9) = (mk_program(7, 1), mk_program(8, 2), mk_program(9, 3));
    match held.take(mk_delta(&at_8, &at_9)) {
        Taken::Answer(FromNode::WantSnapshot { reason }) => {
            assert!(reason.contains("the program is at 7"), "{reason}");
        }
        other => panic!("there is a gap: {other:?}"),
    }
    assert_eq!(held.take(mk_delta(&at_7, &at_8)), Taken::Program);
    assert_eq!(held.take(mk_delta(&at_8, &at_9)), Taken::Program);
    assert_eq!(*held.program, at_9);
}

#[test]
fn a_delta_that_does_not_go_forward_is_refused() {
    let mut held = mk_held(7);
    let back = mk_delta(&mk_program(7, 1), &mk_program(7, 5));
    check_refused(&mut held, back, 7, "not newer than its base");
}

#[test]
fn the_welcome_is_remembered_for_the_next_session() {
    let mut held = mk_held(7);
    assert_eq!(held.take(ToNode::Welcome(Welcome { life: 42 })), Taken::Nothing);
    assert_eq!(held.life, 42);
}

#[test]
fn pauses_are_between_half_and_whole() {
    for _ in 0..100 {
        let pause = jittered(Duration::from_millis(1000));
        assert!((500..=1000).contains(&pause.as_millis()), "{pause:?}");
    }
}
