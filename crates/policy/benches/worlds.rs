//! The policy engine at scale: worlds A to G of docs/limits.md, their time.
//!
//! `cargo xtask bench policy` runs this and `worlds_heap` and prints one JSON object;
//! `cargo bench -p bulkhead-policy --bench worlds -- B F` runs some worlds only.
//!
//! Worlds are seeded. Objects are typed before the clock starts, made a hundred at a time and
//! dropped as the engine takes them in, so that neither time nor heap counts the making of input.
//! All times are CPU times of the process, which has one thread: seconds of a whole compile,
//! or of one change from [`bulkhead_policy::Engine::apply`] to the deltas that `take_changes` gives.
//!
//! | world | time | heap: most, held | recomputed |
//! |---|---|---|---|
//! | A | 0.91 to 1.48 s | 136, 92 MB | 25,000 personas, 200 endpoints, 18,530 listed addresses |
//! | B | 3.8 to 4.8 s | 458, 425 MB | 100,000 endpoints, 299,596 addresses, 399,751 entries, 250,844 rows |
//! | C | 0.28 to 0.31 s | 52, 48 MB | 10,000 personas and selectors |
//! | D | p50 26 to 32, p99 50 to 89 us | | one persona, one class, at most 3 nodes |
//! | E | p50 38, p99 59 to 74 us | | one address on 10 nodes |
//! | F | p50 0.14, p99 0.22 ms | | two programs on 2 nodes |
//! | G | 400 workloads 39 to 69 ms; a change p99 0.3 ms | | 2,394 connections; at most 10 pairs |
//!
//! Two virtual cores with nothing else running, whose pace varies by the hour. docs/limits.md has the
//! bounds.
#![expect(clippy::print_stdout, reason = "a program that prints its findings")]
#![expect(clippy::expect_used, reason = "a broken bench must stop")]

#[path = "worlds/change.rs"]
mod change;
#[path = "worlds/compile.rs"]
mod compile;
#[path = "worlds/make.rs"]
mod make;
#[path = "worlds/meter.rs"]
mod meter;
#[path = "worlds/reach.rs"]
mod reach;

use serde_json::{Map, Value};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Name of a world and what measures it.
type World = (&'static str, fn() -> Map<String, Value>);

const WORLDS: [World; 8] = [
    ("A", || compile::a(None)),
    ("B", || compile::b(None)),
    ("C", || compile::c(None)),
    ("D", change::d),
    ("E", change::e),
    ("F", change::f),
    ("G_400", reach::small),
    ("G_100k", reach::large),
];

fn main() {
    let wanted: Vec<String> = std::env::args().skip(1).filter(|a| !a.starts_with('-')).collect();
    let is_wanted =
        |name: &str| wanted.is_empty() || wanted.iter().any(|one| name.starts_with(one.as_str()));
    let mut all = Map::new();
    for (_, measure) in WORLDS.into_iter().filter(|(name, _)| is_wanted(name)) {
        all.extend(measure());
    }
    println!("{}", Value::Object(all));
}
