//! What was decided, and by which written rule.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::Direction;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Decision {
    Allow,
    Deny,
}

impl fmt::Display for Decision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Decision::Allow => "allow",
            Decision::Deny => "deny",
        })
    }
}

/// The written kinds that carry rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum PolicyKind {
    /// `networking.k8s.io/v1` NetworkPolicy.
    KubernetesNetworkPolicy,
    /// `projectcalico.org/v3` NetworkPolicy.
    NetworkPolicy,
    /// `projectcalico.org/v3` GlobalNetworkPolicy.
    GlobalNetworkPolicy,
    /// `policy.networking.k8s.io/v1alpha2` ClusterNetworkPolicy.
    ClusterNetworkPolicy,
    /// `policy.networking.k8s.io/v1alpha1` AdminNetworkPolicy.
    AdminNetworkPolicy,
    /// `policy.networking.k8s.io/v1alpha1` BaselineAdminNetworkPolicy.
    BaselineAdminNetworkPolicy,
    /// `projectcalico.org/v3` StagedNetworkPolicy.
    StagedNetworkPolicy,
    /// `projectcalico.org/v3` StagedGlobalNetworkPolicy.
    StagedGlobalNetworkPolicy,
    /// `projectcalico.org/v3` StagedKubernetesNetworkPolicy.
    StagedKubernetesNetworkPolicy,
}

impl PolicyKind {
    pub const ALL: [PolicyKind; 9] = [
        PolicyKind::KubernetesNetworkPolicy,
        PolicyKind::NetworkPolicy,
        PolicyKind::GlobalNetworkPolicy,
        PolicyKind::ClusterNetworkPolicy,
        PolicyKind::AdminNetworkPolicy,
        PolicyKind::BaselineAdminNetworkPolicy,
        PolicyKind::StagedNetworkPolicy,
        PolicyKind::StagedGlobalNetworkPolicy,
        PolicyKind::StagedKubernetesNetworkPolicy,
    ];

    /// The enforced kind whose place a staged policy takes in the staged reading.
    pub fn enforced_twin(self) -> Option<PolicyKind> {
        match self {
            PolicyKind::StagedNetworkPolicy => Some(PolicyKind::NetworkPolicy),
            PolicyKind::StagedGlobalNetworkPolicy => Some(PolicyKind::GlobalNetworkPolicy),
            PolicyKind::StagedKubernetesNetworkPolicy => Some(PolicyKind::KubernetesNetworkPolicy),
            _ => None,
        }
    }

    pub fn as_str(self) -> &'static str {
        match self {
            PolicyKind::KubernetesNetworkPolicy => "KubernetesNetworkPolicy",
            PolicyKind::NetworkPolicy => "NetworkPolicy",
            PolicyKind::GlobalNetworkPolicy => "GlobalNetworkPolicy",
            PolicyKind::ClusterNetworkPolicy => "ClusterNetworkPolicy",
            PolicyKind::AdminNetworkPolicy => "AdminNetworkPolicy",
            PolicyKind::BaselineAdminNetworkPolicy => "BaselineAdminNetworkPolicy",
            PolicyKind::StagedNetworkPolicy => "StagedNetworkPolicy",
            PolicyKind::StagedGlobalNetworkPolicy => "StagedGlobalNetworkPolicy",
            PolicyKind::StagedKubernetesNetworkPolicy => "StagedKubernetesNetworkPolicy",
        }
    }
}

/// Names one policy object. `namespace` is empty for cluster-scoped kinds.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct PolicyRef {
    pub kind: PolicyKind,
    pub namespace: String,
    pub name: String,
}

/// `KubernetesNetworkPolicy shop/allow-web`, or `GlobalNetworkPolicy deny-all`.
impl fmt::Display for PolicyRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.namespace.is_empty() {
            write!(f, "{} {}", self.kind.as_str(), self.name)
        } else {
            write!(f, "{} {}/{}", self.kind.as_str(), self.namespace, self.name)
        }
    }
}

/// Where a verdict comes from. Carried from the compiler to the kernel and back to the screen.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum RuleRef {
    /// Rule `index` (from 0, as written) of a policy's list for `direction`.
    Rule { tier: String, policy: PolicyRef, direction: Direction, index: u32 },
    /// No rule of the tier's applying policies matched, and the tier's default action decided.
    TierDefault { tier: String },
    /// No tier decided; a profile of the endpoint did (`kns.<namespace>` allows, one that does not
    /// exist denies).
    Profile { name: String },
    /// A host endpoint: no tier decided, and no profile either. Always a deny.
    NoProfile,
    /// A host endpoint: a fail-safe port, which is open whatever policies say. Always an allow.
    Failsafe,
    /// A stage of a host endpoint has no say about the packet: the next stage is asked. Always an
    /// allow; see `docs/decisions/0009-host-stages.md`.
    StageDefault,
    /// A workload's traffic to its own host: `defaultEndpointToHostAction` decided.
    WorkloadToHost,
    /// A host's traffic to its own workloads is always allowed.
    HostToWorkload,
    /// A workload sent under an address or a link address that is not its own. Always a deny.
    NotItsOwn,
    /// Fail-closed: there is no program or class that could say. Never treated as a policy's word.
    Unknown,
}

/// Log rules that one verdict names: the first ones that the packet met. Those beyond are not named.
pub const LOGGED_MAX: usize = 16;

/// The answer about one packet at one endpoint in one direction.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Verdict {
    pub decision: Decision,
    pub rule: RuleRef,
    /// The rules with the action Log that the packet matched before it was decided: each once, in
    /// order, at most [`LOGGED_MAX`].
    pub logged: Vec<RuleRef>,
}

impl Verdict {
    /// Without a word of any Log rule.
    pub fn new(decision: Decision, rule: RuleRef) -> Self {
        Self { decision, rule, logged: Vec::new() }
    }

    pub fn allow(rule: RuleRef) -> Self {
        Self::new(Decision::Allow, rule)
    }

    pub fn deny(rule: RuleRef) -> Self {
        Self::new(Decision::Deny, rule)
    }

    /// The fail-closed verdict.
    pub fn unknown() -> Self {
        Self::deny(RuleRef::Unknown)
    }
}
