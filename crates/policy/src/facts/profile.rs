//! Profiles: labels lent to the endpoints that list them, and rules read after all tiers.

use std::sync::Arc;

use bulkhead_api::calico;
use bulkhead_types::{Direction, Labels};

use super::own_labels;
use crate::lower::{self, Notes};
use crate::rule::Rule;

#[derive(Clone, Debug, PartialEq)]
pub struct Profile {
    pub name: String,
    pub ingress: Arc<[Rule]>,
    pub egress: Arc<[Rule]>,
    /// Without reserved keys: a profile lends no endpoint a place in a namespace.
    pub labels: Labels,
}

impl Profile {
    pub fn new(object: &calico::Profile, notes: &mut Notes) -> Self {
        let spec = &object.spec;
        Self {
            name: object.metadata.name.clone().unwrap_or_default(),
            ingress: lower::profile_rules(spec.ingress.as_deref(), Direction::Ingress, notes),
            egress: lower::profile_rules(spec.egress.as_deref(), Direction::Egress, notes),
            labels: own_labels(spec.labels_to_apply.as_ref()),
        }
    }

    pub fn rules(&self, direction: Direction) -> &Arc<[Rule]> {
        match direction {
            Direction::Ingress => &self.ingress,
            Direction::Egress => &self.egress,
        }
    }
}
