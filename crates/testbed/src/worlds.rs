//! Seeded random worlds: objects of every dialect, packets that look for trouble, and changes.
//!
//! Everything is drawn from a small vocabulary, so that selectors, ports and nets really meet, and
//! packets are biased to the boundaries: rule ports and their neighbours, the first and last address
//! of nets and the ones just outside.
//!
//! Invariant: the same seed and shape give the same world, packets and changes, in every process.

mod changes;
mod cluster;
mod hosts;
mod inventory;
mod packets;
mod policies;
mod services;
mod strategy;
mod words;

use std::collections::BTreeSet;

use bulkhead_api::Object;
use rand::SeedableRng;
use rand::rngs::SmallRng;

pub use changes::{Change, outcome};
pub use strategy::{Item, List, Lives, Packets, Worlds};

/// What a world is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    pub pods: usize,
    pub workloads: usize,
    pub network_sets: usize,
    pub policies: usize,
    /// Rules and Kubernetes entries per direction, at most.
    pub rules: usize,
    pub nodes: usize,
    /// Host endpoints, with profiles, settings and policies for them.
    pub hosts: usize,
    /// Whether two endpoints may claim one address, and endpoints may lack node or address.
    pub untidy: bool,
    /// Whether some fields are nonsense.
    pub broken: bool,
}

impl Default for Shape {
    fn default() -> Self {
        Self {
            pods: 6,
            workloads: 2,
            network_sets: 4,
            policies: 5,
            rules: 4,
            nodes: 2,
            hosts: 0,
            untidy: true,
            broken: true,
        }
    }
}

impl Shape {
    /// What can be built for real: every endpoint has a node, an IPv4 and an IPv6 address of its
    /// own.
    pub fn tidy() -> Self {
        Self { untidy: false, ..Self::default() }
    }
}

/// Before any policy of a world ends, after some have ended, after all that ever do.
pub const MOMENTS: [&str; 3] =
    ["2029-12-31T23:59:59Z", "2030-01-01T00:00:00Z", "2031-01-01T00:00:00Z"];

/// Names under which addresses may have been looked up.
pub const LOOKUPS: [&[&str]; 6] = [
    &[],
    &["example.com"],
    &["api.example.com"],
    &[],
    &["elsewhere.com", "www.example.com"],
    &["elsewhere.net"],
];

#[derive(Clone, Debug)]
pub struct World {
    pub seed: u64,
    pub shape: Shape,
    pub objects: Vec<Object>,
}

impl World {
    pub fn seed(seed: u64) -> Self {
        Self::shaped(seed, Shape::default())
    }

    pub fn shaped(seed: u64, shape: Shape) -> Self {
        let mut rng = rng(seed, 0);
        let mut objects = Vec::new();
        inventory::add(&mut rng, shape, &mut objects);
        policies::add(&mut rng, shape, &mut objects);
        if shape.hosts > 0 {
            hosts::add(&mut self::rng(seed, 4), shape, &mut objects);
        }
        // One object a key: manifests that say a thing twice are refused.
        let mut seen = BTreeSet::new();
        objects.reverse();
        objects.retain(|object: &Object| seen.insert(object.key()));
        objects.reverse();
        Self { seed, shape, objects }
    }
}

/// An independent stream of randomness for each purpose, so that asking for one thing does not move
/// another.
fn rng(seed: u64, stream: u64) -> SmallRng {
    SmallRng::seed_from_u64(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(stream))
}
