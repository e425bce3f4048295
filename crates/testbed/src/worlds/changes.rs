//! Random lives of a world: objects come late, change, go, and come back.

use bulkhead_api::{Object, ObjectKey};
use rand::Rng;

use super::words::{ACCOUNTS, NAMESPACES, pick};
use super::{World, hosts, inventory, policies, rng, services};

/// One step of a world's life.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    Upsert(Object),
    Delete(ObjectKey),
}

impl World {
    /// The first `count` changes of the world's stream. Deletions of what never was included.
    pub fn changes(&self, count: usize) -> Vec<Change> {
        let mut rng = rng(self.seed, 2);
        (0..count).map(|_| self.change(&mut rng)).collect()
    }

    fn change(&self, rng: &mut impl Rng) -> Change {
        let shape = self.shape;
        if shape.hosts > 0 && rng.random_bool(0.4) {
            return Change::Upsert(hosts::change(rng, shape));
        }
        match rng.random_range(0..14) {
            0..=2 => Change::Delete(pick(rng, &self.objects).key()),
            3 | 4 => Change::Upsert(pick(rng, &self.objects).clone()),
            5 | 6 => {
                let index = rng.random_range(0..=shape.pods);
                Change::Upsert(inventory::pod(rng, shape, index))
            }
            7 => {
                let index = rng.random_range(0..=shape.workloads);
                Change::Upsert(inventory::workload(rng, shape, index))
            }
            8 => {
                let index = rng.random_range(0..=shape.network_sets);
                Change::Upsert(inventory::network_set(rng, shape, index))
            }
            9..=11 => {
                let index = rng.random_range(0..=shape.policies);
                Change::Upsert(policies::policy(rng, shape, index))
            }
            _ => Change::Upsert(match rng.random_range(0..6) {
                0 => {
                    let name = *pick(rng, &NAMESPACES);
                    inventory::declare_namespace(rng, name)
                }
                1 => {
                    let (namespace, name) = (*pick(rng, &NAMESPACES), *pick(rng, &ACCOUNTS));
                    inventory::declare_account(rng, namespace, name)
                }
                2 => {
                    let index = rng.random_range(0..=shape.nodes);
                    inventory::declare_node(rng, index)
                }
                3 | 4 => services::any(rng, shape),
                _ => {
                    let name = *pick(rng, &["early", "lax", "ghost"]);
                    policies::tier(rng, name)
                }
            }),
        }
    }
}

/// What is left after the changes, in order of key.
pub fn outcome(changes: &[Change]) -> Vec<Object> {
    let mut left = std::collections::BTreeMap::new();
    for change in changes {
        match change {
            Change::Upsert(object) => {
                left.insert(object.key(), object.clone());
            }
            Change::Delete(key) => {
                left.remove(key);
            }
        }
    }
    left.into_values().collect()
}
