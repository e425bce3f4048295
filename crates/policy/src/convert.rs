//! A policy of one dialect as one of the other, where both can say it.
//!
//! | Kubernetes | Calico v3 |
//! |---|---|
//! | a NetworkPolicy | a NetworkPolicy of tier `default`, order 1000, with Allow rules only |
//! | a peer with selectors | `selector` with `projectcalico.org/orchestrator == 'k8s'`, `namespaceSelector` |
//! | `ipBlock` with `except` | `nets` with `notNets` |
//! | a rule of several peers and protocols | one rule for each of them |
//!
//! Invariant: what is converted gives the same verdict about every packet among the same objects.
//! What the other dialect cannot say is refused, field by field, never approximated.

mod label_selector;
mod to_calico;
mod to_kubernetes;

use bulkhead_api::Object;

use crate::lower::{self, Severity};
pub use to_calico::to_calico;
pub use to_kubernetes::{Surroundings, to_kubernetes};

/// Why a policy stays what it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    pub field: String,
    pub why: String,
}

impl Refusal {
    fn new(field: impl Into<String>, why: impl Into<String>) -> Self {
        Self { field: field.into(), why: why.into() }
    }
}

/// What is read closed means something else in each dialect.
fn refuse_broken(object: &Object) -> Result<(), Vec<Refusal>> {
    let said = lower::policy(object).map(|(_, said)| said).unwrap_or_default();
    let errors = said.into_iter().filter(|found| found.severity == Severity::Error);
    let refusals: Vec<Refusal> =
        errors.map(|found| Refusal::new(found.field, found.message)).collect();
    if refusals.is_empty() { Ok(()) } else { Err(refusals) }
}
