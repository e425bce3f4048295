//! Laws that hold in every world. Drawn and shrunk by proptest from a fixed seed; a failure prints
//! the smallest objects, changes and packets that still fail.
//!
//! - `agreement`: the compiled program says what the slow reading of the rules says.
//! - `life`: whatever happened and in whatever order, the engine is where a fresh one would be.
//! - `deltas`: what is sent is what changed, no more and no less.
//! - `reach`: for all packets at once the answer is what it is for each, before and after a change.
//! - `closed`: what is nonsense is named, and opens nothing.
//!
//! `BULKHEAD_LAW_SEED` draws other worlds, `BULKHEAD_LAW_TIMES` as many times more of them;
//! `BULKHEAD_AGREE_CASES` is the number of verdicts that `program_agrees_with_decide` compares.
#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "makers of a test; a broken one must stop it"
)]

#[path = "laws/agreement.rs"]
mod agreement;
#[path = "laws/closed.rs"]
mod closed;
#[path = "laws/deltas.rs"]
mod deltas;
#[path = "laws/hosts.rs"]
mod hosts;
#[path = "laws/life.rs"]
mod life;
#[path = "laws/programs_of.rs"]
mod programs_of;
#[path = "laws/reach.rs"]
mod reach;

use std::fmt::Debug;

use bulkhead_testbed::Shape;
use proptest::strategy::Strategy;
use proptest::test_runner::{Config, RngSeed, TestCaseError, TestRunner};

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().expect("a number"))
}

fn runner(cases: u64) -> TestRunner {
    let cases = cases * number("BULKHEAD_LAW_TIMES", 1);
    TestRunner::new(Config {
        cases: cases.try_into().unwrap_or(u32::MAX),
        rng_seed: RngSeed::Fixed(number("BULKHEAD_LAW_SEED", 1)),
        failure_persistence: None,
        max_shrink_iters: 50_000,
        max_shrink_time: 60_000,
        ..Config::default()
    })
}

/// The law holds for so many drawn values.
#[track_caller]
fn hold<S: Strategy>(cases: u64, strategy: S, law: impl Fn(&S::Value) -> Result<(), String>)
where
    S::Value: Debug,
{
    let outcome = runner(cases).run(&strategy, |value| law(&value).map_err(TestCaseError::fail));
    outcome.unwrap_or_else(|failure| panic!("{failure}"));
}

/// Sometimes tidy, sometimes crowded with policies, sometimes with hosts.
fn shapes() -> Vec<Shape> {
    vec![
        Shape::tidy(),
        Shape { policies: 12, rules: 6, ..Shape::default() },
        Shape::default(),
        Shape { hosts: 3, ..Shape::default() },
    ]
}
