//! The identity of something that policy is enforced on.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Which API object an endpoint comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum EndpointKind {
    Pod,
    Workload,
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
}

/// `namespace/name`, as people write it on a command line.
impl fmt::Display for EndpointId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}
