//! How far enforcement has come: the answer of `GET /apis/bulkhead.dev/v1/enforcement`.
//!
//! One look tells whether a change is in force: it is once `resource_version` has reached the change's
//! own and every node enforces the revision that it is wanted to. Policy status says the same for one
//! policy; this also covers labels, addresses and deletions, which have no status to read.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Path under the API server's root.
pub const PATH: &str = "/apis/bulkhead.dev/v1/enforcement";

/// Policy by policy, the same that their statuses say; some API servers keep no status of some kinds.
pub const POLICIES_PATH: &str = "/apis/bulkhead.dev/v1/enforcement/policies";

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PolicyEnforcements {
    /// Sorted by kind, namespace and name.
    pub policies: Vec<PolicyEnforcement>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PolicyEnforcement {
    pub api_version: String,
    pub kind: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub namespace: String,
    pub name: String,
    /// `True`, `False`, or `Unknown` while nodes may still come after a start.
    pub status: String,
    /// One word, as the condition `Enforced` has it.
    pub reason: String,
    pub message: String,
    /// The generation that it is about.
    pub generation: i64,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Enforcement {
    /// Every object written up to this resourceVersion is in the wanted programs.
    pub resource_version: u64,
    /// One entry for each node that has joined, sorted by name.
    pub nodes: Vec<NodeEnforcement>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct NodeEnforcement {
    pub node: String,
    /// Whether its session is open now.
    pub connected: bool,
    /// Revision of the newest program made for it.
    pub wanted: u64,
    /// Revision that its kernel enforces; 0 when none yet.
    pub enforced: u64,
    /// Endpoints whose interface has not appeared yet, as `namespace/name`; the first few.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub waiting: Vec<String>,
    /// Why the wanted program was refused, or what else keeps the kernel from it; empty when nothing.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub problems: Vec<String>,
}

impl Enforcement {
    /// Whether every write up to `resource_version` is in force on these nodes.
    pub fn has_reached(&self, resource_version: u64, nodes: &[String]) -> bool {
        self.resource_version >= resource_version
            && nodes.iter().all(|name| {
                self.nodes.iter().any(|node| {
                    node.node == *name && node.enforced >= node.wanted && node.enforced > 0
                })
            })
    }
}
