//! The stable driver: seeds, mutations, and what to do with an input that breaks something.
//!
//! `BULKHEAD_FUZZ_TARGET` and `BULKHEAD_FUZZ_SECONDS` ask for a long run of one target,
//! `BULKHEAD_FUZZ_SEED` for other inputs. Input number `n` of a seed is always the same.
#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a broken driver must stop the test"
)]

#[path = "fuzz/mutate.rs"]
mod mutate;
#[path = "fuzz/seeds.rs"]
mod seeds;

use std::panic::catch_unwind;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use bulkhead_fuzz::{TARGETS, Target};
use rand::SeedableRng;
use rand::rngs::SmallRng;

/// An input that keeps its reader busy for longer is a finding, too. Bounds debug builds on a busy
/// machine.
const SLOW: Duration = Duration::from_secs(20);

fn crashes(target: &Target) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/crashes").join(target.name)
}

fn input(target: &Target, seeds: &[Vec<u8>], seed: u64, number: u64) -> Vec<u8> {
    let mut rng = SmallRng::seed_from_u64(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ number);
    mutate::mutate(&mut rng, target.name, seeds)
}

/// Runs one input; a finding is kept and told.
fn try_one(target: &Target, seed: u64, number: u64, data: &[u8]) {
    let began = Instant::now();
    let outcome = catch_unwind(|| (target.run)(data));
    let took = began.elapsed();
    if outcome.is_ok() && took < SLOW {
        return;
    }
    let folder = crashes(target);
    std::fs::create_dir_all(&folder).expect("a folder for crashes");
    let path = folder.join(format!("{seed}-{number}"));
    std::fs::write(&path, data).expect("the input is kept");
    let why = if outcome.is_err() { "panicked".to_owned() } else { format!("took {took:?}") };
    panic!("{}: input {number} of seed {seed} {why}; kept as {}", target.name, path.display());
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().expect("a number"))
}

/// So many inputs with all other tests; without limit until the time is up.
fn run(target: &Target, inputs: u64, time: Duration) -> u64 {
    let seeds = seeds::of(target.name);
    seeds.iter().for_each(|data| (target.run)(data));
    let seed = number("BULKHEAD_FUZZ_SEED").unwrap_or(1);
    let began = Instant::now();
    let mut done = 0;
    while done < inputs && began.elapsed() < time {
        try_one(target, seed, done, &input(target, &seeds, seed, done));
        done += 1;
    }
    done
}

fn short(name: &str, inputs: u64) {
    let target = TARGETS.iter().find(|target| target.name == name).expect("a target");
    assert!(run(target, inputs, Duration::MAX) == inputs);
}

#[test]
fn any_text_is_a_selector_or_an_error() {
    short("selector", 20_000);
}

#[test]
fn any_objects_are_a_world_that_both_engines_read_alike() {
    short("lower", 1_000);
}

#[test]
fn any_text_is_objects_and_complaints() {
    short("yaml", 2_000);
}

#[test]
fn any_bytes_are_a_message_or_an_error() {
    short("wire", 20_000);
}

#[test]
fn what_once_broke_something_breaks_nothing_any_more() {
    let mut n_tried = 0;
    for target in &TARGETS {
        let Ok(entries) = std::fs::read_dir(crashes(target)) else { continue };
        for entry in entries {
            let path = entry.expect("a folder that can be listed").path();
            let data = std::fs::read(&path).expect("a kept input");
            let began = Instant::now();
            let outcome = catch_unwind(|| (target.run)(&data));
            assert!(outcome.is_ok() && began.elapsed() < SLOW, "again: {}", path.display());
            n_tried += 1;
        }
    }
    println!("{n_tried} inputs that once broke something");
}

#[test]
fn as_long_as_asked_for() {
    let Ok(name) = std::env::var("BULKHEAD_FUZZ_TARGET") else { return };
    let target = TARGETS.iter().find(|target| target.name == name).expect("a target");
    let seconds = number("BULKHEAD_FUZZ_SECONDS").unwrap_or(60);
    let done = run(target, u64::MAX, Duration::from_secs(seconds));
    println!("{name}: {done} executions in {seconds} s, 0 findings");
}
