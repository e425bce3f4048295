//! Numbers that no other run uses.

use std::hash::{BuildHasher, RandomState};

/// A random number; good for names and marks, not for secrets.
pub fn nonce() -> u64 {
    RandomState::new().hash_one(std::process::id())
}
