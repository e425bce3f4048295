//! Any object that the policy engine understands, typed by its `apiVersion` and `kind`.

use std::fmt;

use k8s_openapi::api::core::v1::{Namespace, Node, Pod, Service, ServiceAccount};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::api::networking::v1::NetworkPolicy as KubernetesNetworkPolicy;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use crate::calico::{GlobalNetworkPolicy, GlobalNetworkSet, NetworkPolicy, NetworkSet, Tier};
use crate::workload::Workload;

#[derive(Clone, Debug, PartialEq)]
pub enum Object {
    Namespace(Box<Namespace>),
    Node(Box<Node>),
    Pod(Box<Pod>),
    Service(Box<Service>),
    EndpointSlice(Box<EndpointSlice>),
    ServiceAccount(Box<ServiceAccount>),
    KubernetesNetworkPolicy(Box<KubernetesNetworkPolicy>),
    Tier(Box<Tier>),
    NetworkPolicy(Box<NetworkPolicy>),
    GlobalNetworkPolicy(Box<GlobalNetworkPolicy>),
    NetworkSet(Box<NetworkSet>),
    GlobalNetworkSet(Box<GlobalNetworkSet>),
    Workload(Box<Workload>),
}

/// The kinds of [`Object`], in the order of its variants.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    Namespace,
    Node,
    Pod,
    Service,
    EndpointSlice,
    ServiceAccount,
    KubernetesNetworkPolicy,
    Tier,
    NetworkPolicy,
    GlobalNetworkPolicy,
    NetworkSet,
    GlobalNetworkSet,
    Workload,
}

/// Identity of an object; `namespace` is empty for cluster-scoped kinds.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ObjectKey {
    pub kind: Kind,
    pub namespace: String,
    pub name: String,
}

/// The kind as policies name it (`KubernetesNetworkPolicy` is told from Calico's), then the name.
impl fmt::Display for ObjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.namespace.as_str() {
            "" => write!(f, "{:?} {}", self.kind, self.name),
            namespace => write!(f, "{:?} {namespace}/{}", self.kind, self.name),
        }
    }
}

/// Why a JSON value is not an [`Object`].
#[derive(Debug, thiserror::Error)]
pub enum ObjectError {
    #[error("the object has no `{field}`")]
    Missing { field: &'static str },
    #[error("unknown kind `{kind}` in `{api_version}`")]
    UnknownKind { api_version: String, kind: String },
    #[error("`{kind}` cannot be read: {source}")]
    Malformed { kind: String, source: serde_json::Error },
}

impl Kind {
    pub const ALL: [Kind; 13] = [
        Kind::Namespace,
        Kind::Node,
        Kind::Pod,
        Kind::Service,
        Kind::EndpointSlice,
        Kind::ServiceAccount,
        Kind::KubernetesNetworkPolicy,
        Kind::Tier,
        Kind::NetworkPolicy,
        Kind::GlobalNetworkPolicy,
        Kind::NetworkSet,
        Kind::GlobalNetworkSet,
        Kind::Workload,
    ];

    pub fn from_api(api_version: &str, kind: &str) -> Option<Self> {
        Kind::ALL.into_iter().find(|known| known.api() == (api_version, kind))
    }

    /// `apiVersion` and `kind` as written.
    pub fn api(self) -> (&'static str, &'static str) {
        match self {
            Kind::Namespace => ("v1", "Namespace"),
            Kind::Node => ("v1", "Node"),
            Kind::Pod => ("v1", "Pod"),
            Kind::Service => ("v1", "Service"),
            Kind::EndpointSlice => ("discovery.k8s.io/v1", "EndpointSlice"),
            Kind::ServiceAccount => ("v1", "ServiceAccount"),
            Kind::KubernetesNetworkPolicy => ("networking.k8s.io/v1", "NetworkPolicy"),
            Kind::Tier => ("projectcalico.org/v3", "Tier"),
            Kind::NetworkPolicy => ("projectcalico.org/v3", "NetworkPolicy"),
            Kind::GlobalNetworkPolicy => ("projectcalico.org/v3", "GlobalNetworkPolicy"),
            Kind::NetworkSet => ("projectcalico.org/v3", "NetworkSet"),
            Kind::GlobalNetworkSet => ("projectcalico.org/v3", "GlobalNetworkSet"),
            Kind::Workload => ("bulkhead.dev/v1", "Workload"),
        }
    }

    pub fn is_namespaced(self) -> bool {
        !matches!(
            self,
            Kind::Namespace
                | Kind::Node
                | Kind::Tier
                | Kind::GlobalNetworkPolicy
                | Kind::GlobalNetworkSet
        )
    }
}

impl Object {
    /// Reads one object by its `apiVersion` and `kind`. Fields that the type does not know are
    /// passed over here: strictness is the schema's business.
    pub fn from_value(value: serde_json::Value) -> Result<Self, ObjectError> {
        let text = |field: &'static str| {
            value
                .get(field)
                .and_then(|v| v.as_str())
                .map(str::to_owned)
                .ok_or(ObjectError::Missing { field })
        };
        let (api_version, kind) = (text("apiVersion")?, text("kind")?);
        let known = Kind::from_api(&api_version, &kind)
            .ok_or_else(|| ObjectError::UnknownKind { api_version, kind: kind.clone() })?;
        fn read<T: serde::de::DeserializeOwned>(
            value: serde_json::Value,
            kind: String,
        ) -> Result<Box<T>, ObjectError> {
            serde_json::from_value(value)
                .map(Box::new)
                .map_err(|source| ObjectError::Malformed { kind, source })
        }
        Ok(match known {
            Kind::Namespace => Object::Namespace(read(value, kind)?),
            Kind::Node => Object::Node(read(value, kind)?),
            Kind::Pod => Object::Pod(read(value, kind)?),
            Kind::Service => Object::Service(read(value, kind)?),
            Kind::EndpointSlice => Object::EndpointSlice(read(value, kind)?),
            Kind::ServiceAccount => Object::ServiceAccount(read(value, kind)?),
            Kind::KubernetesNetworkPolicy => Object::KubernetesNetworkPolicy(read(value, kind)?),
            Kind::Tier => Object::Tier(read(value, kind)?),
            Kind::NetworkPolicy => Object::NetworkPolicy(read(value, kind)?),
            Kind::GlobalNetworkPolicy => Object::GlobalNetworkPolicy(read(value, kind)?),
            Kind::NetworkSet => Object::NetworkSet(read(value, kind)?),
            Kind::GlobalNetworkSet => Object::GlobalNetworkSet(read(value, kind)?),
            Kind::Workload => Object::Workload(read(value, kind)?),
        })
    }

    pub fn kind(&self) -> Kind {
        match self {
            Object::Namespace(_) => Kind::Namespace,
            Object::Node(_) => Kind::Node,
            Object::Pod(_) => Kind::Pod,
            Object::Service(_) => Kind::Service,
            Object::EndpointSlice(_) => Kind::EndpointSlice,
            Object::ServiceAccount(_) => Kind::ServiceAccount,
            Object::KubernetesNetworkPolicy(_) => Kind::KubernetesNetworkPolicy,
            Object::Tier(_) => Kind::Tier,
            Object::NetworkPolicy(_) => Kind::NetworkPolicy,
            Object::GlobalNetworkPolicy(_) => Kind::GlobalNetworkPolicy,
            Object::NetworkSet(_) => Kind::NetworkSet,
            Object::GlobalNetworkSet(_) => Kind::GlobalNetworkSet,
            Object::Workload(_) => Kind::Workload,
        }
    }

    pub fn metadata(&self) -> &ObjectMeta {
        match self {
            Object::Namespace(o) => &o.metadata,
            Object::Node(o) => &o.metadata,
            Object::Pod(o) => &o.metadata,
            Object::Service(o) => &o.metadata,
            Object::EndpointSlice(o) => &o.metadata,
            Object::ServiceAccount(o) => &o.metadata,
            Object::KubernetesNetworkPolicy(o) => &o.metadata,
            Object::Tier(o) => &o.metadata,
            Object::NetworkPolicy(o) => &o.metadata,
            Object::GlobalNetworkPolicy(o) => &o.metadata,
            Object::NetworkSet(o) => &o.metadata,
            Object::GlobalNetworkSet(o) => &o.metadata,
            Object::Workload(o) => &o.metadata,
        }
    }

    /// A namespaced object without a namespace belongs to `default`.
    pub fn key(&self) -> ObjectKey {
        let metadata = self.metadata();
        let namespace = if self.kind().is_namespaced() {
            metadata.namespace.clone().unwrap_or_else(|| "default".to_owned())
        } else {
            String::new()
        };
        ObjectKey { kind: self.kind(), namespace, name: metadata.name.clone().unwrap_or_default() }
    }
}
