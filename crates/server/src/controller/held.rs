//! The objects that the model is compiled of, read from the store as of that revision.
//!
//! The engine keeps of objects only what verdicts need; what else a question needs is read when it is
//! asked.

use std::collections::BTreeSet;
use std::sync::Arc;

use bulkhead_api::Object;
use bulkhead_api::object::Kind;
use bulkhead_api::service::SERVICE_NAME;
use bulkhead_apimachinery::kinds;
use bulkhead_store::{ListRequest, ResourceVersion, Scope, Store};

#[derive(Clone)]
pub struct Held {
    store: Arc<dyn Store>,
    at: ResourceVersion,
}

impl Held {
    pub fn new(store: Arc<dyn Store>, at: ResourceVersion) -> Self {
        Self { store, at }
    }

    pub fn revision(&self) -> u64 {
        self.at.0
    }

    /// `None`: the store has forgotten the revision.
    pub fn everything(&self) -> Option<Vec<Object>> {
        self.list(Scope::Everything)
    }

    /// Published services with their slices and, where there are none, with the workloads of their
    /// namespaces; `None` as above. No other way in is kept here.
    pub fn entries(&self) -> Option<Vec<Object>> {
        let services = self.list(of(Kind::Service))?;
        let (mut entries, _) = bulkhead_api::entry::entries(&services);
        if entries.is_empty() {
            return Some(Vec::new());
        }
        let slices = self.list(of(Kind::EndpointSlice))?;
        let service_of = |slice: &Object| {
            let service = slice.metadata().labels.as_ref()?.get(SERVICE_NAME)?.clone();
            Some((slice.key().namespace, service))
        };
        let sliced: BTreeSet<(String, String)> = slices.iter().filter_map(service_of).collect();
        entries.retain(|e| !sliced.contains(&(e.namespace.clone(), e.service.clone())));
        let mut objects: Vec<Object> = services.into_iter().chain(slices).collect();
        let namespaces: BTreeSet<String> =
            entries.into_iter().map(|entry| entry.namespace).collect();
        for namespace in namespaces {
            for kind in [Kind::Pod, Kind::Workload] {
                let Scope::Resource { resource } = of(kind) else { continue };
                let namespace = namespace.clone();
                objects.extend(self.list(Scope::Namespace { resource, namespace })?);
            }
        }
        Some(objects)
    }

    /// What is not understood is left out, as when it was compiled.
    fn list(&self, scope: Scope) -> Option<Vec<Object>> {
        let request = ListRequest { at: Some(self.at), ..ListRequest::all(scope) };
        let page = self.store.list(&request).ok()?;
        let known = page.items.iter().filter(|stored| super::object_key(&stored.key).is_some());
        Some(known.filter_map(|stored| Object::from_value(stored.value.clone()).ok()).collect())
    }
}

fn of(kind: Kind) -> Scope {
    let resource = kinds::all().iter().find(|resource| resource.id == kind);
    Scope::resource(resource.map(|resource| resource.qualified_plural()).unwrap_or_default())
}
