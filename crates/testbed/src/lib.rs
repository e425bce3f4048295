//! The test shed: seeded random worlds and what tests of several crates share.
//!
//! Invariant: a dev-dependency only; nothing that ships imports it, and it does not import `policy`,
//! so that `policy` can test itself with it.
#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "test code: a broken generator must stop the test that uses it"
)]

pub mod cases;
pub mod worlds;

pub use worlds::{Change, Shape, World};
