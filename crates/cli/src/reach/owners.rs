//! Workloads by name.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use bulkhead_api::Object;
use bulkhead_api::manifest::nearest;
use bulkhead_api::owner::Owner;
use bulkhead_types::EndpointId;

/// A pod of a job of a cron job has two; owners in a circle end here.
const GENERATIONS_MAX: usize = 8;

/// Which workload each endpoint belongs to.
#[derive(Debug, Default)]
pub struct Owners {
    of_endpoint: HashMap<EndpointId, String>,
    /// Workloads by what people may call them.
    by_name: BTreeMap<String, BTreeSet<String>>,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OwnerError {
    #[error(
        "`{name}` is no workload of these manifests{}",
        near.as_ref().map(|near| format!("; did you mean `{near}`?")).unwrap_or_default()
    )]
    Unknown { name: String, near: Option<String> },
    #[error("`{name}` can be each of {}: write one of them", .all.join(", "))]
    Ambiguous { name: String, all: Vec<String> },
}

impl Owners {
    pub fn of(objects: &[Object]) -> Self {
        let mut owners = Self::default();
        let above: HashMap<Owner, Owner> = objects.iter().filter_map(above).collect();
        for object in objects {
            let (Some(endpoint), Some(mut owner)) = (endpoint_of(object), Owner::of(object)) else {
                continue;
            };
            for _ in 0..GENERATIONS_MAX {
                let Some(next) = above.get(&owner) else { break };
                owner = next.clone();
            }
            let shown = owner.to_string();
            let short = match owner.namespace.as_str() {
                "" => owner.name,
                namespace => format!("{namespace}/{}", owner.name),
            };
            for name in [shown.clone(), short, endpoint.to_string()] {
                owners.by_name.entry(name).or_default().insert(shown.clone());
            }
            owners.of_endpoint.insert(endpoint, shown);
        }
        owners
    }

    pub fn name_of(&self, endpoint: &EndpointId) -> String {
        let known = self.of_endpoint.get(endpoint).cloned();
        known.unwrap_or_else(|| Owner::from(endpoint).to_string())
    }

    /// The workload that is called so: as it is shown, without its kind, or by one of its pods. A
    /// name without a slash is in the namespace `default`.
    pub fn find(&self, name: &str) -> Result<String, OwnerError> {
        let full = match name.contains('/') {
            true => name.to_owned(),
            false => format!("default/{name}"),
        };
        let found = self.by_name.get(name).or_else(|| self.by_name.get(&full));
        let found: Vec<String> = found.into_iter().flatten().cloned().collect();
        match found.as_slice() {
            [] => {
                let known = self.by_name.keys().map(String::as_str);
                let near = nearest(&full, known).map(str::to_owned);
                Err(OwnerError::Unknown { name: name.to_owned(), near })
            }
            [one] => Ok(one.clone()),
            _ => Err(OwnerError::Ambiguous { name: name.to_owned(), all: found }),
        }
    }
}

/// An owner of pods with the controller that owns it in turn.
fn above(object: &Object) -> Option<(Owner, Owner)> {
    if matches!(object, Object::Pod(_)) {
        return None;
    }
    let references = object.metadata().owner_references.as_ref()?;
    let controller = references.iter().find(|reference| reference.controller == Some(true))?;
    let (key, kind) = (object.key(), object.kind().api().1.to_owned());
    let upper = Owner {
        namespace: key.namespace.clone(),
        name: controller.name.clone(),
        kind: controller.kind.clone(),
    };
    Some((Owner { namespace: key.namespace, name: key.name, kind }, upper))
}

fn endpoint_of(object: &Object) -> Option<EndpointId> {
    let key = object.key();
    match object {
        Object::Pod(_) => Some(EndpointId::pod(key.namespace, key.name)),
        Object::Workload(_) => Some(EndpointId::workload(key.namespace, key.name)),
        Object::HostEndpoint(_) => Some(EndpointId::host(key.name)),
        _ => None,
    }
}
