//! What must hold for any bytes at all, one function a door through which strangers' text comes in.
//!
//! A target takes bytes and panics where something does not hold. Two drivers feed them: `tests/` of
//! this crate on stable Rust, seeded (`cargo xtask fuzz --target NAME --seconds N`; a short form runs
//! with all other tests), and `libfuzzer/` with coverage feedback where nightly and cargo-fuzz are at
//! hand. Inputs that once broke something are kept in `tests/crashes/` and tried by every test run.
//!
//! Invariant: a target depends on nothing but its bytes.
#![expect(clippy::panic, clippy::indexing_slicing, reason = "a target says no by panic")]

mod lower;
mod selector;
mod wire;
mod yaml;

/// A door.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    pub name: &'static str,
    /// Panics where something does not hold.
    pub run: fn(&[u8]),
}

pub const TARGETS: [Target; 4] = [
    Target { name: "selector", run: selector::run },
    Target { name: "lower", run: lower::run },
    Target { name: "yaml", run: yaml::run },
    Target { name: "wire", run: wire::run },
];

/// For drivers that know what they want by name.
pub fn run(name: &str, data: &[u8]) {
    match TARGETS.iter().find(|target| target.name == name) {
        Some(target) => (target.run)(data),
        None => panic!("there is no target `{name}`"),
    }
}
