//! What people call the workload of an endpoint.

use std::collections::HashMap;

use bulkhead_api::object::Kind;
use bulkhead_api::owner::Owner;
use bulkhead_api::{Object, ObjectKey};
use bulkhead_types::EndpointId;

/// Owners of pods that say they have one; every other endpoint is its own workload.
#[derive(Debug, Default)]
pub struct Owners(HashMap<EndpointId, String>);

impl Owners {
    pub fn put(&mut self, object: &Object) {
        let Object::Pod(pod) = object else { return };
        let key = object.key();
        let id = EndpointId::pod(key.namespace, key.name);
        let is_owned = pod.metadata.owner_references.as_ref().is_some_and(|list| !list.is_empty());
        match Owner::of(object).filter(|_| is_owned) {
            Some(owner) => drop(self.0.insert(id, owner.to_string())),
            None => drop(self.0.remove(&id)),
        }
    }

    pub fn remove(&mut self, key: &ObjectKey) {
        if key.kind == Kind::Pod {
            self.0.remove(&EndpointId::pod(key.namespace.clone(), key.name.clone()));
        }
    }

    pub fn name_of(&self, endpoint: &EndpointId) -> String {
        self.0.get(endpoint).cloned().unwrap_or_else(|| Owner::from(endpoint).to_string())
    }
}
