//! Any object that Bulkhead understands, typed by its `apiVersion` and `kind`.

use std::fmt;

use k8s_openapi::api::apps::v1::{DaemonSet, Deployment, ReplicaSet, StatefulSet};
use k8s_openapi::api::batch::v1::{CronJob, Job};
use k8s_openapi::api::core::v1::{
    Namespace, Node, Pod, ReplicationController, Service, ServiceAccount,
};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::api::networking::v1::{Ingress, NetworkPolicy as KubernetesNetworkPolicy};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use bulkhead_types::{PolicyKind, PolicyRef};

use schemars::JsonSchema;

use crate::calico::{
    FelixConfiguration, GlobalNetworkPolicy, GlobalNetworkSet, HostEndpoint,
    KubeControllersConfiguration, NetworkPolicy, NetworkSet, Profile, StagedGlobalNetworkPolicy,
    StagedKubernetesNetworkPolicy, StagedNetworkPolicy, Tier,
};
use crate::gateway::{Gateway, HttpRoute};
use crate::network_policy_api::{
    AdminNetworkPolicy, BaselineAdminNetworkPolicy, ClusterNetworkPolicy,
};
use crate::workload::Workload;

/// What a kind is to Bulkhead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Kept and served by `bulkhead-server`.
    Served,
    /// Read from manifests by the offline tools only: it describes what a cluster would make of it.
    Manifest,
}

/// Something to be done with the Rust type of a kind; see [`Kind::accept`].
pub trait KindVisitor {
    type Output;

    fn visit<T: JsonSchema>(self, kind: Kind) -> Self::Output;
}

/// One line a kind: variant, Rust type, `apiVersion`, `kind`, whether namespaced, role.
macro_rules! kinds {
    ($($variant:ident($type:ty) = $api:literal $kind:literal, $namespaced:literal, $role:ident;)*) => {
        #[derive(Clone, Debug, PartialEq)]
        pub enum Object {
            $($variant(Box<$type>),)*
        }

        /// The kinds of [`Object`], in the order of its variants.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Kind {
            $($variant,)*
        }

        impl Kind {
            pub const ALL: &[Kind] = &[$(Kind::$variant,)*];

            /// `apiVersion` and `kind` as written.
            pub fn api(self) -> (&'static str, &'static str) {
                match self {
                    $(Kind::$variant => ($api, $kind),)*
                }
            }

            pub fn is_namespaced(self) -> bool {
                match self {
                    $(Kind::$variant => $namespaced,)*
                }
            }

            /// Calls the visitor with the Rust type of the kind.
            pub fn accept<V: KindVisitor>(self, visitor: V) -> V::Output {
                match self {
                    $(Kind::$variant => visitor.visit::<$type>(self),)*
                }
            }

            pub fn role(self) -> Role {
                match self {
                    $(Kind::$variant => Role::$role,)*
                }
            }
        }

        impl Object {
            /// Reads an object of a known kind.
            fn read(known: Kind, value: serde_json::Value) -> serde_json::Result<Self> {
                Ok(match known {
                    $(Kind::$variant => Object::$variant(serde_json::from_value(value)?),)*
                })
            }

            /// As JSON, with `apiVersion` and `kind`.
            pub fn to_value(&self) -> serde_json::Result<serde_json::Value> {
                let mut value = match self {
                    $(Object::$variant(object) => serde_json::to_value(object)?,)*
                };
                let (api_version, kind) = self.kind().api();
                if let Some(fields) = value.as_object_mut() {
                    fields.insert("apiVersion".to_owned(), api_version.into());
                    fields.insert("kind".to_owned(), kind.into());
                }
                Ok(value)
            }

            pub fn kind(&self) -> Kind {
                match self {
                    $(Object::$variant(_) => Kind::$variant,)*
                }
            }

            pub fn metadata(&self) -> &ObjectMeta {
                match self {
                    $(Object::$variant(object) => &object.metadata,)*
                }
            }
        }
    };
}

kinds! {
    Namespace(Namespace) = "v1" "Namespace", false, Served;
    Node(Node) = "v1" "Node", false, Served;
    Pod(Pod) = "v1" "Pod", true, Served;
    Service(Service) = "v1" "Service", true, Served;
    EndpointSlice(EndpointSlice) = "discovery.k8s.io/v1" "EndpointSlice", true, Served;
    ServiceAccount(ServiceAccount) = "v1" "ServiceAccount", true, Served;
    KubernetesNetworkPolicy(KubernetesNetworkPolicy) = "networking.k8s.io/v1" "NetworkPolicy", true, Served;
    Tier(Tier) = "projectcalico.org/v3" "Tier", false, Served;
    NetworkPolicy(NetworkPolicy) = "projectcalico.org/v3" "NetworkPolicy", true, Served;
    GlobalNetworkPolicy(GlobalNetworkPolicy) = "projectcalico.org/v3" "GlobalNetworkPolicy", false, Served;
    NetworkSet(NetworkSet) = "projectcalico.org/v3" "NetworkSet", true, Served;
    GlobalNetworkSet(GlobalNetworkSet) = "projectcalico.org/v3" "GlobalNetworkSet", false, Served;
    Workload(Workload) = "bulkhead.dev/v1" "Workload", true, Served;
    HostEndpoint(HostEndpoint) = "projectcalico.org/v3" "HostEndpoint", false, Served;
    Profile(Profile) = "projectcalico.org/v3" "Profile", false, Served;
    FelixConfiguration(FelixConfiguration) = "projectcalico.org/v3" "FelixConfiguration", false, Served;
    KubeControllersConfiguration(KubeControllersConfiguration) = "projectcalico.org/v3" "KubeControllersConfiguration", false, Served;
    StagedNetworkPolicy(StagedNetworkPolicy) = "projectcalico.org/v3" "StagedNetworkPolicy", true, Served;
    StagedGlobalNetworkPolicy(StagedGlobalNetworkPolicy) = "projectcalico.org/v3" "StagedGlobalNetworkPolicy", false, Served;
    StagedKubernetesNetworkPolicy(StagedKubernetesNetworkPolicy) = "projectcalico.org/v3" "StagedKubernetesNetworkPolicy", true, Served;
    ClusterNetworkPolicy(ClusterNetworkPolicy) = "policy.networking.k8s.io/v1alpha2" "ClusterNetworkPolicy", false, Served;
    AdminNetworkPolicy(AdminNetworkPolicy) = "policy.networking.k8s.io/v1alpha1" "AdminNetworkPolicy", false, Served;
    BaselineAdminNetworkPolicy(BaselineAdminNetworkPolicy) = "policy.networking.k8s.io/v1alpha1" "BaselineAdminNetworkPolicy", false, Served;
    Deployment(Deployment) = "apps/v1" "Deployment", true, Manifest;
    ReplicaSet(ReplicaSet) = "apps/v1" "ReplicaSet", true, Manifest;
    StatefulSet(StatefulSet) = "apps/v1" "StatefulSet", true, Manifest;
    DaemonSet(DaemonSet) = "apps/v1" "DaemonSet", true, Manifest;
    Job(Job) = "batch/v1" "Job", true, Manifest;
    CronJob(CronJob) = "batch/v1" "CronJob", true, Manifest;
    ReplicationController(ReplicationController) = "v1" "ReplicationController", true, Manifest;
    Ingress(Ingress) = "networking.k8s.io/v1" "Ingress", true, Manifest;
    Gateway(Gateway) = "gateway.networking.k8s.io/v1" "Gateway", true, Manifest;
    HttpRoute(HttpRoute) = "gateway.networking.k8s.io/v1" "HTTPRoute", true, Manifest;
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
    pub fn from_api(api_version: &str, kind: &str) -> Option<Self> {
        // The same fields under an older name, which many manifests still bear.
        let api_version = match api_version {
            "gateway.networking.k8s.io/v1beta1" => "gateway.networking.k8s.io/v1",
            written => written,
        };
        Kind::ALL.iter().copied().find(|known| known.api() == (api_version, kind))
    }

    /// The kinds that `bulkhead-server` keeps.
    pub fn served() -> impl Iterator<Item = Kind> {
        Kind::ALL.iter().copied().filter(|kind| kind.role() == Role::Served)
    }

    /// The word in URLs: `networkpolicies`.
    pub fn plural(self) -> String {
        let word = self.api().1.to_ascii_lowercase();
        match word.strip_suffix('y') {
            Some(stem) if !stem.ends_with('a') => format!("{stem}ies"),
            _ if word.ends_with('s') => format!("{word}es"),
            _ => format!("{word}s"),
        }
    }

    /// How policies name the kind, if it carries rules.
    pub fn policy_kind(self) -> Option<PolicyKind> {
        PolicyKind::ALL.into_iter().find(|kind| Kind::from(*kind) == self)
    }
}

impl From<PolicyKind> for Kind {
    fn from(kind: PolicyKind) -> Self {
        match kind {
            PolicyKind::KubernetesNetworkPolicy => Kind::KubernetesNetworkPolicy,
            PolicyKind::NetworkPolicy => Kind::NetworkPolicy,
            PolicyKind::GlobalNetworkPolicy => Kind::GlobalNetworkPolicy,
            PolicyKind::ClusterNetworkPolicy => Kind::ClusterNetworkPolicy,
            PolicyKind::AdminNetworkPolicy => Kind::AdminNetworkPolicy,
            PolicyKind::BaselineAdminNetworkPolicy => Kind::BaselineAdminNetworkPolicy,
            PolicyKind::StagedNetworkPolicy => Kind::StagedNetworkPolicy,
            PolicyKind::StagedGlobalNetworkPolicy => Kind::StagedGlobalNetworkPolicy,
            PolicyKind::StagedKubernetesNetworkPolicy => Kind::StagedKubernetesNetworkPolicy,
        }
    }
}

impl From<&PolicyRef> for ObjectKey {
    fn from(policy: &PolicyRef) -> Self {
        let (namespace, name) = (policy.namespace.clone(), policy.name.clone());
        Self { kind: policy.kind.into(), namespace, name }
    }
}

impl ObjectKey {
    /// The policy that the key names, if it is of a kind that carries rules.
    pub fn policy(&self) -> Option<PolicyRef> {
        let (namespace, name) = (self.namespace.clone(), self.name.clone());
        Some(PolicyRef { kind: self.kind.policy_kind()?, namespace, name })
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
        Object::read(known, value).map_err(|source| ObjectError::Malformed { kind, source })
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
