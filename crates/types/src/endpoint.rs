//! The identity of something that policy is enforced on.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Which API object an endpoint comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum EndpointKind {
    Pod,
    Workload,
    /// A HostEndpoint: interfaces of a node itself. Its namespace is empty.
    Host,
}

/// `kind namespace/name`; unique in one control plane.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct EndpointId {
    pub kind: EndpointKind,
    pub namespace: String,
    pub name: String,
}

impl EndpointId {
    pub fn pod(namespace: impl Into<String>, name: impl Into<String>) -> Self {
        Self { kind: EndpointKind::Pod, namespace: namespace.into(), name: name.into() }
    }

    pub fn workload(namespace: impl Into<String>, name: impl Into<String>) -> Self {
        Self { kind: EndpointKind::Workload, namespace: namespace.into(), name: name.into() }
    }

    pub fn host(name: impl Into<String>) -> Self {
        Self { kind: EndpointKind::Host, namespace: String::new(), name: name.into() }
    }
}

/// `namespace/name`, as people write it on a command line; a host endpoint is `host/name`.
impl fmt::Display for EndpointId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            EndpointKind::Host => write!(f, "host/{}", self.name),
            EndpointKind::Pod | EndpointKind::Workload => {
                write!(f, "{}/{}", self.namespace, self.name)
            }
        }
    }
}
