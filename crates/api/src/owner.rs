//! Which workload a pod belongs to, as people name it: `namespace/name[Kind]`.
//!
//! Invariant: a pure function of the pod, so that a cluster's pods and the pods that the offline
//! tools make of a manifest's Deployments have the same owners.

use std::fmt;

use bulkhead_types::{EndpointId, EndpointKind};
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;

use crate::object::{Kind, Object};

/// Shown as `namespace/name[Kind]`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Owner {
    pub namespace: String,
    pub name: String,
    pub kind: String,
}

const TEMPLATE_HASH: &str = "pod-template-hash";

/// The controller that the pod names, else the first owner, else the pod itself. A ReplicaSet that
/// a Deployment made is that Deployment: its name is the Deployment's and the template's hash.
pub fn owner_of(pod: &Pod) -> Owner {
    let metadata = &pod.metadata;
    let namespace = metadata.namespace.clone().unwrap_or_else(|| "default".to_owned());
    let references = metadata.owner_references.as_deref().unwrap_or_default();
    let is_controller = |reference: &&OwnerReference| reference.controller == Some(true);
    let Some(owner) = references.iter().find(is_controller).or_else(|| references.first()) else {
        let name = metadata.name.clone().unwrap_or_default();
        return Owner { namespace, name, kind: "Pod".to_owned() };
    };
    let hash = metadata.labels.as_ref().and_then(|labels| labels.get(TEMPLATE_HASH));
    let deployment = hash
        .filter(|_| owner.kind == "ReplicaSet")
        .and_then(|hash| owner.name.strip_suffix(hash.as_str())?.strip_suffix('-'))
        .filter(|name| !name.is_empty());
    match deployment {
        Some(name) => Owner { namespace, name: name.to_owned(), kind: "Deployment".to_owned() },
        None => Owner { namespace, name: owner.name.clone(), kind: owner.kind.clone() },
    }
}

impl Owner {
    /// The owner of anything that has endpoints; `None` for other objects.
    pub fn of(object: &Object) -> Option<Owner> {
        match object {
            Object::Pod(pod) => Some(owner_of(pod)),
            Object::Workload(_) | Object::HostEndpoint(_) => {
                let key = object.key();
                let kind = key.kind.api().1.to_owned();
                Some(Owner { namespace: key.namespace, name: key.name, kind })
            }
            _ => None,
        }
    }
}

/// An endpoint that is its own workload.
impl From<&EndpointId> for Owner {
    fn from(endpoint: &EndpointId) -> Self {
        let kind = match endpoint.kind {
            EndpointKind::Pod => Kind::Pod,
            EndpointKind::Workload => Kind::Workload,
            EndpointKind::Host => Kind::HostEndpoint,
        };
        let (namespace, name) = (endpoint.namespace.clone(), endpoint.name.clone());
        Self { namespace, name, kind: kind.api().1.to_owned() }
    }
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.namespace.is_empty() {
            write!(f, "{}[{}]", self.name, self.kind)
        } else {
            write!(f, "{}/{}[{}]", self.namespace, self.name, self.kind)
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn owner(labels: Value, references: Value) -> String {
        let pod: Pod = serde_json::from_value(json!({
            "metadata": {
                "name": "web-7d4b9-x2x", "namespace": "shop", "labels": labels,
                "ownerReferences": references,
            },
        }))
        .unwrap();
        owner_of(&pod).to_string()
    }

    fn reference(kind: &str, name: &str, controller: bool) -> Value {
        json!({"apiVersion": "apps/v1", "kind": kind, "name": name, "uid": "1", "controller": controller})
    }

    #[test]
    fn a_pod_without_owners_is_its_own() {
        assert_eq!(owner(json!({}), json!([])), "shop/web-7d4b9-x2x[Pod]");
    }

    #[test]
    fn the_controller_owns_before_the_first() {
        let references = json!([reference("Node", "n", false), reference("Job", "once", true)]);
        assert_eq!(owner(json!({}), references), "shop/once[Job]");
        let references = json!([reference("Thing", "n", false)]);
        assert_eq!(owner(json!({}), references), "shop/n[Thing]");
    }

    #[test]
    fn a_replica_set_with_the_pods_template_hash_is_its_deployment() {
        let references = || json!([reference("ReplicaSet", "web-7d4b9", true)]);
        assert_eq!(
            owner(json!({"pod-template-hash": "7d4b9"}), references()),
            "shop/web[Deployment]"
        );
        assert_eq!(
            owner(json!({"pod-template-hash": "other"}), references()),
            "shop/web-7d4b9[ReplicaSet]"
        );
        assert_eq!(owner(json!({}), references()), "shop/web-7d4b9[ReplicaSet]");
    }
}
