//! Staged policies: what the enforced policies are to become. They never touch a packet.

use k8s_openapi::api::networking::v1::NetworkPolicySpec as KubernetesPolicySpec;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{GlobalPolicySpec, PolicySpec};

/// What enforcing the staged policy would do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum StagedAction {
    /// Creates the enforced policy of the same name, or takes its place.
    #[default]
    Set,
    /// Deletes the enforced policy of the same name.
    Delete,
    /// Being learned from traffic; says nothing yet.
    Learn,
    /// Says nothing.
    Ignore,
}

/// A NetworkPolicy to be.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct StagedNetworkPolicy {
    #[serde(default)]
    pub metadata: ObjectMeta,
    #[serde(default)]
    pub spec: StagedPolicySpec,
}

/// The spec of the enforced kind, and what is to be done with it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct StagedPolicySpec {
    /// Set when unset.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub staged_action: Option<StagedAction>,
    #[serde(flatten)]
    pub policy: PolicySpec,
}

/// A GlobalNetworkPolicy to be.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct StagedGlobalNetworkPolicy {
    #[serde(default)]
    pub metadata: ObjectMeta,
    #[serde(default)]
    pub spec: StagedGlobalPolicySpec,
}

/// The spec of the enforced kind, and what is to be done with it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct StagedGlobalPolicySpec {
    /// Set when unset.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub staged_action: Option<StagedAction>,
    #[serde(flatten)]
    pub policy: GlobalPolicySpec,
}

/// A Kubernetes NetworkPolicy to be.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct StagedKubernetesNetworkPolicy {
    #[serde(default)]
    pub metadata: ObjectMeta,
    #[serde(default)]
    pub spec: StagedKubernetesPolicySpec,
}

/// The spec of the enforced kind, and what is to be done with it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct StagedKubernetesPolicySpec {
    /// Set when unset.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub staged_action: Option<StagedAction>,
    #[serde(flatten)]
    pub policy: KubernetesPolicySpec,
}
