//! `GET /apis/bulkhead.dev/v1/flows`: what one endpoint's interface saw of one flow, one JSON object
//! a line (NDJSON), oldest first.
//!
//! Query: `follow=true` goes on with what comes; `namespace`, `workload` (`name` or `namespace/name`)
//! match either end; `verdict` is `allow` or `deny`; `port` is the destination port; `policy` is a
//! policy's `name` or `namespace/name`; `logged=true` takes what a Log rule has matched; `limit` is how many of the newest are listed first (with
//! `follow`, 0 lists none). A follower that is too slow gets a line `{"missed":N}` in place of N
//! flows; every other line is a [`Flow`].
//!
//! ```json
//! {"time":"2026-01-02T03:04:05.678901Z","started":"2026-01-02T03:04:05.678901Z","node":"n1",
//!  "event":"denied","direction":"ingress",
//!  "reporter":{"kind":"Pod","namespace":"shop","name":"db"},
//!  "src":{"address":"10.65.0.7","port":40312,"kind":"Pod","namespace":"shop","name":"web",
//!         "labels":{"app":"web"}},
//!  "dst":{"address":"10.65.0.9","port":5432,"kind":"Pod","namespace":"shop","name":"db",
//!         "labels":{"app":"db"}},
//!  "protocol":"TCP","verdict":"deny",
//!  "rule":{"tier":"default","policy":{"kind":"NetworkPolicy","namespace":"shop","name":"db"},
//!          "direction":"ingress","index":1},
//!  "revision":812,"forward":{"packets":1,"bytes":60},"reverse":{"packets":0,"bytes":0}}
//! ```

use std::collections::BTreeMap;
use std::net::IpAddr;

use bulkhead_types::{Decision, Direction, EndpointKind};
use serde::{Deserialize, Serialize};

/// Where flows are served.
pub const PATH: &str = "/apis/bulkhead.dev/v1/flows";

/// A flow between two enforced endpoints is told twice: once by its source (`egress`) and, where it
/// arrives, once by its destination (`ingress`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Flow {
    /// When the reporter saw what `event` says; RFC 3339 with microseconds, UTC.
    pub time: String,
    /// When the flow's first packet was seen.
    pub started: String,
    /// The node that reports.
    pub node: String,
    pub event: FlowEvent,
    pub direction: Direction,
    pub reporter: FlowEndpoint,
    /// The end that opened the flow.
    pub src: FlowEnd,
    pub dst: FlowEnd,
    /// `TCP`, `UDP`, `SCTP`, `ICMP`, `ICMPv6`, `UDPLite` or a number.
    pub protocol: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub icmp: Option<FlowIcmp>,
    pub verdict: Decision,
    pub rule: FlowRule,
    /// The Log rules that the flow's first packet has matched, in order: the first 16.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub logged: Vec<FlowRule>,
    /// The program revision that judged.
    pub revision: u64,
    /// From the opener, since the flow began.
    pub forward: FlowCount,
    /// To the opener.
    pub reverse: FlowCount,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FlowEvent {
    /// First packet, allowed.
    New,
    /// First packet, denied.
    Denied,
    /// An allowed flow that a newer program no longer allows.
    LateDenied,
    /// Closed, or idle for too long; the counters are final.
    Ended,
    /// Counters of a flow that goes on.
    Update,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct FlowEndpoint {
    pub kind: EndpointKind,
    pub namespace: String,
    pub name: String,
}

/// One end: always an address, and who stood behind it at that moment, where that is known.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FlowEnd {
    pub address: IpAddr,
    /// Unset where the protocol has no ports.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    #[serde(flatten)]
    pub endpoint: Option<FlowEndpoint>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// DNS names that the source knew this address by when the flow was reported; on destinations of
    /// flows that were judged by names only.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub names: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FlowIcmp {
    #[serde(rename = "type")]
    pub icmp_type: u8,
    pub code: u8,
}

/// What decided. Exactly one shape: `policy` with `direction` and `index`; `tier` alone (the tier's
/// default action); `profile` (no tier decided); `other`; nothing (no program could say, so it was
/// denied).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FlowRule {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tier: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<FlowPolicy>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub direction: Option<Direction>,
    /// From 0, as written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub index: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub profile: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub other: Option<FlowDecider>,
}

/// What decides where neither policy, tier nor profile has a say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum FlowDecider {
    /// A host endpoint that no tier and no profile opens.
    NoProfile,
    /// A fail-safe port of a host.
    Failsafe,
    /// A stage of a host endpoint that has no say.
    StageDefault,
    /// `defaultEndpointToHostAction`.
    WorkloadToHost,
    /// A host reaches its own workloads.
    HostToWorkload,
    /// A workload sent under an address or a link address that is not its own.
    NotItsOwn,
}

/// `kind` is `KubernetesNetworkPolicy`, `NetworkPolicy` or `GlobalNetworkPolicy`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FlowPolicy {
    pub kind: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub namespace: String,
    pub name: String,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FlowCount {
    pub packets: u64,
    pub bytes: u64,
}

/// A line of the flow stream that is no flow: `missed` flows came faster than they were read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FlowGap {
    pub missed: u64,
}

/// Any line of the flow stream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum FlowLine {
    Gap(FlowGap),
    Flow(Box<Flow>),
}

#[cfg(test)]
mod tests;
