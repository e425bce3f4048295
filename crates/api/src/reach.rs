//! Who can reach whom: what `bulkhead reach --output json` prints, and the answers of
//! `GET /apis/bulkhead.dev/v1/reach` and of `…/reach/changes`.
//!
//! Names and order of the keys are a promise.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Path under the API server's root. `?workload=NAME`, which may be repeated, asks for the
/// connections of these workloads only.
pub const PATH: &str = "/apis/bulkhead.dev/v1/reach";
/// What the latest writes altered. `?since=RESOURCE_VERSION` leaves out older ones.
pub const CHANGES_PATH: &str = "/apis/bulkhead.dev/v1/reach/changes";

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ReachReport {
    /// Of a server: every object written up to this resourceVersion counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource_version: Option<u64>,
    pub connections: Vec<ReachConnection>,
    /// What the pods of one workload may do among themselves.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub within: Vec<ReachWithin>,
    /// Ends whose own rules nobody enforces: what is told of them is what others let to and from.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unenforced: Vec<ReachUnenforced>,
    /// Ends of which nothing is told, whether it is allowed or not.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub not_computed: Vec<NotComputed>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ReachConnection {
    /// `namespace/name[Kind]`, a range of addresses outside, or a way in.
    pub src: String,
    /// As `src`, or a DNS name or pattern.
    pub dst: String,
    pub allowed: Vec<AllowedTraffic>,
    #[serde(flatten)]
    pub extent: ReachExtent,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ReachWithin {
    pub workload: String,
    pub allowed: Vec<AllowedTraffic>,
    #[serde(flatten)]
    pub extent: ReachExtent,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ReachUnenforced {
    pub workload: String,
    /// `some`: not of all its pods.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pods: Option<String>,
    pub because: String,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct NotComputed {
    pub end: String,
    pub because: String,
}

/// Left out where it holds of everything.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ReachExtent {
    /// `some`: not of every pair of pods.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pods: Option<String>,
    /// `some`: not of every address to which the name may lead.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub addresses: Option<String>,
    /// 4 or 6: of one IP version only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ip_version: Option<u8>,
    /// What requests must match, at each end that asks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub http: Option<Vec<ReachRequests>>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ReachRequests {
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub methods: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub paths: Vec<ReachPath>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum ReachPath {
    Exact(String),
    Prefix(String),
}

/// Some of the traffic of one protocol; what is absent does not matter.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AllowedTraffic {
    pub protocol: String,
    /// Destination ports such as `80,8000-8010`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ports: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source_ports: Option<String>,
    /// ICMP types such as `8` or `3/4`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub types: Option<String>,
    /// Protocol numbers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub numbers: Option<String>,
    /// Where traffic of several extents stands in one list.
    #[serde(flatten)]
    pub extent: ReachExtent,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ReachChanges {
    /// Writes up to this resourceVersion are not remembered any more; ask `reach` for the whole.
    pub forgotten_up_to: u64,
    /// Oldest first; writes that altered nothing are not among them.
    pub changes: Vec<ReachChange>,
}

/// What writes that were compiled together altered.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ReachChange {
    pub resource_version: u64,
    pub altered: Vec<AlteredReach>,
    /// More than could be told: ask `reach` for the whole.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_everything: bool,
}

/// Every pair of one of `src` and one of `dst` went from `before` to `after`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AlteredReach {
    pub src: Vec<String>,
    pub dst: Vec<String>,
    pub before: Vec<AllowedTraffic>,
    pub after: Vec<AllowedTraffic>,
}
