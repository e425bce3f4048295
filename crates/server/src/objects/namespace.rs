//! Namespaces as places: what lives in one needs it, and goes with it.

use std::sync::Arc;

use bulkhead_api::object::Kind;
use bulkhead_apimachinery::status::Status;
use bulkhead_apimachinery::{kinds, meta};
use bulkhead_store::{Key, Stored};

use super::{Objects, Place};

pub const RESOURCE: &str = "namespaces";
/// Always there, and never deleted.
pub const DEFAULT: &str = "default";

pub fn namespace_key(name: &str) -> Key {
    Key::new(RESOURCE, "", name)
}

impl Objects {
    /// The namespace that a new object needs; none for cluster-scoped kinds.
    pub(super) fn home(&self, place: Place<'_>) -> Result<Option<Arc<Stored>>, Status> {
        if !place.resource.namespaced {
            return Ok(None);
        }
        let namespace = place.namespace;
        let Some(home) = self.store.get(&namespace_key(namespace)) else {
            return Err(Status::not_found(kinds::by_id(Kind::Namespace), namespace));
        };
        if meta::is_deleting(&home.value) {
            let why = format!(
                "unable to create new content in namespace {namespace} because it is being \
                 terminated"
            );
            return Err(Status::forbidden(place.resource, place.name, &why));
        }
        Ok(Some(home))
    }
}
