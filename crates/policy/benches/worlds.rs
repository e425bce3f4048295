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
//! | A | 2.2 s | 177, 136 MB | 25,000 personas, 200 endpoints, 18,530 listed addresses |
//! | B | 8.2 s | 1,249, 876 MB | 100,000 endpoints, 299,596 addresses, 399,751 entries, 250,844 rows |
//! | C | 0.60 s | 124, 89 MB | 10,000 personas and selectors |
//! | D | p50 56, p99 117 us | | one persona, one class, at most 3 nodes |
//! | E | p50 35, p99 73 us | | one address on 10 nodes |
//! | F | p50 0.25, p99 0.44 ms | | two programs on 2 nodes |
//!
//! Two virtual cores shared with other work, which costs about twice the time of a quiet machine.
//! docs/limits.md has the bounds.
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
