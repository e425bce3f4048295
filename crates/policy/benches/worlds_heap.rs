//! The policy engine at scale: worlds A to C, their heap. See `worlds.rs`, which measures time: an
//! allocator that counts would slow it down.
//!
//! `*_heap_mb` is the most that was allocated at any moment, the deltas of the first round and the
//! hundred objects in hand included; `*_held_mb` is what the engine holds when the deltas are gone.
#![expect(clippy::print_stdout, reason = "a program that prints its findings")]
#![expect(clippy::expect_used, reason = "a broken bench must stop")]

#[path = "worlds/compile.rs"]
mod compile;
#[path = "worlds/make.rs"]
#[expect(dead_code, reason = "a part of it is for the program that measures time")]
mod make;
#[path = "worlds/meter.rs"]
#[expect(dead_code, reason = "a part of it is for the program that measures time")]
mod meter;

use peak_alloc::PeakAlloc;
use serde_json::{Map, Value};

#[global_allocator]
static HEAP: PeakAlloc = PeakAlloc;

/// Name of a world and what measures it.
type World = (&'static str, fn(Option<&PeakAlloc>) -> Map<String, Value>);

fn main() {
    let wanted: Vec<String> = std::env::args().skip(1).filter(|a| !a.starts_with('-')).collect();
    let is_wanted = |name: &str| wanted.is_empty() || wanted.iter().any(|one| one == name);
    let mut all = Map::new();
    let worlds: [World; 3] = [("A", compile::a), ("B", compile::b), ("C", compile::c)];
    for (_, measure) in worlds.into_iter().filter(|(name, _)| is_wanted(name)) {
        all.extend(measure(Some(&HEAP)));
    }
    println!("{}", Value::Object(all));
}
