use std::sync::Arc;

use bulkhead_types::RuleRef;
use bulkhead_wire::RuleId;

use super::*;

const LIFE: u64 = 7;

/// What an engine makes: revision `n` has the rules 1 to `n`.
fn mk_program(revision: u64) -> NodeProgram {
    let mut program = NodeProgram { revision: Revision(revision), ..NodeProgram::default() };
    program.rules.extend((1..=revision).map(|n| (RuleId(n), RuleRef::Unknown.into())));
    program
}

fn mk_step(revision: u64) -> Arc<ProgramDelta> {
    Arc::new(ProgramDelta::between(&mk_program(revision - 1), &mk_program(revision)))
}

fn mk_outlet(revisions: std::ops::RangeInclusive<u64>) -> Outlet {
    let outlet = Outlet::default();
    revisions.for_each(|revision| outlet.publish(mk_step(revision)));
    outlet
}

fn published(outlet: &Outlet) -> Published {
    outlet.subscribe().borrow().clone()
}

fn mk_hello(holds: &NodeProgram, life: u64) -> Hello {
    Hello { holds: holds.revision, digest: holds.digest(), life, ..Hello::default() }
}

/// Says the words to a node that holds `program`; it must end up with what is published.
#[track_caller]
fn check(outlet: &Outlet, words: Vec<ToNode>, mut program: NodeProgram, expected: &str) {
    let kinds: Vec<&str> = words
        .iter()
        .map(|word| match word {
            ToNode::Program(_) => "program",
            ToNode::Delta(_) => "delta",
            ToNode::Welcome(_) => "welcome",
        })
        .collect();
    assert_eq!(kinds.join(" "), expected);
    for word in words {
        match word {
            ToNode::Program(whole) => program = NodeProgram::clone(&whole),
            ToNode::Delta(delta) => delta.apply(&mut program).expect("follows on"),
            ToNode::Welcome(_) => {}
        }
    }
    assert_eq!(program, *published(outlet).program());
}

#[test]
fn a_node_that_is_a_little_behind_gets_steps() {
    let outlet = mk_outlet(1..=5);
    check(&outlet, published(&outlet).since(Some(Revision(3))), mk_program(3), "delta delta");
    check(&outlet, published(&outlet).since(Some(Revision(5))), mk_program(5), "");
}

#[test]
fn a_node_with_nothing_or_too_far_behind_gets_the_whole() {
    let outlet = mk_outlet(1..=STEPS_KEPT_MAX as u64 + 10);
    check(&outlet, published(&outlet).since(None), NodeProgram::default(), "program");
    check(&outlet, published(&outlet).since(Some(Revision(9))), mk_program(9), "program");
    let words = published(&outlet).since(Some(Revision(10)));
    assert_eq!(words.len(), STEPS_KEPT_MAX);
}

#[test]
fn a_node_resumes_with_steps_only_in_the_same_life() {
    let outlet = mk_outlet(1..=5);
    let program = mk_program(3);
    let same = published(&outlet).greet(&mk_hello(&program, LIFE), LIFE);
    check(&outlet, same, program.clone(), "delta delta");
    let other = published(&outlet).greet(&mk_hello(&program, LIFE + 1), LIFE);
    check(&outlet, other, program, "program");
}

#[test]
fn a_node_that_holds_the_content_is_only_told_its_new_number() {
    let outlet = mk_outlet(1..=5);
    let held = NodeProgram { revision: Revision(2), ..mk_program(5) };
    let words = published(&outlet).greet(&mk_hello(&held, 0), LIFE);
    check(&outlet, words, held, "delta");
    let words = published(&outlet).greet(&mk_hello(&mk_program(5), 0), LIFE);
    check(&outlet, words, mk_program(5), "");
}

#[test]
fn a_raised_number_stays_above_the_engines() {
    let outlet = mk_outlet(1..=3);
    let before = published(&outlet).program();
    outlet.renumber(Revision(100));
    outlet.publish(mk_step(4));
    assert_eq!(outlet.revision(), Revision(101));
    check(&outlet, published(&outlet).since(Some(Revision(3))), (*before).clone(), "delta delta");
    assert_eq!(published(&outlet).program().rules, mk_program(4).rules);
}

#[test]
fn a_node_that_is_gone_is_left_with_an_empty_program() {
    let outlet = mk_outlet(1..=3);
    outlet.empty();
    let program = published(&outlet).program();
    assert_eq!((program.revision, program.rules.len()), (Revision(4), 0));
    check(&outlet, published(&outlet).since(Some(Revision(3))), mk_program(3), "program");
}
