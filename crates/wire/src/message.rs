//! The protobuf schema of the node protocol, written as Rust (so that building needs no `protoc`).
//!
//! Field numbers are the contract: never reuse or renumber one. An enum value of 0 means "not set"
//! and is refused where a value is needed. [`crate::codec`] turns these into the types of this crate.

use prost::Message;

// === programs ===

#[derive(Clone, PartialEq, Message)]
pub struct NodeProgram {
    #[prost(uint64, tag = "1")]
    pub revision: u64,
    #[prost(message, repeated, tag = "2")]
    pub endpoints: Vec<EndpointProgram>,
    #[prost(message, repeated, tag = "3")]
    pub classes: Vec<ClassMember>,
    #[prost(message, repeated, tag = "4")]
    pub entries: Vec<Entry>,
    #[prost(message, repeated, tag = "5")]
    pub rows: Vec<Row>,
    #[prost(message, repeated, tag = "6")]
    pub rules: Vec<Rule>,
    #[prost(message, repeated, tag = "7")]
    pub logged: Vec<Logged>,
    #[prost(message, optional, tag = "20")]
    pub names: Option<NameTables>,
    #[prost(message, repeated, tag = "30")]
    pub hosts: Vec<HostProgram>,
    /// Not set: Drop.
    #[prost(enumeration = "ToHost", tag = "31")]
    pub to_host: i32,
}

#[derive(Clone, PartialEq, Message)]
pub struct ProgramDelta {
    #[prost(uint64, tag = "1")]
    pub base: u64,
    #[prost(uint64, tag = "2")]
    pub revision: u64,
    #[prost(message, repeated, tag = "3")]
    pub set_endpoints: Vec<EndpointProgram>,
    #[prost(message, repeated, tag = "4")]
    pub unset_endpoints: Vec<EndpointId>,
    #[prost(message, repeated, tag = "5")]
    pub set_classes: Vec<ClassMember>,
    #[prost(message, repeated, tag = "6")]
    pub unset_classes: Vec<Prefix>,
    #[prost(message, repeated, tag = "7")]
    pub set_entries: Vec<Entry>,
    /// `row` is not set in these.
    #[prost(message, repeated, tag = "8")]
    pub unset_entries: Vec<Entry>,
    #[prost(message, repeated, tag = "9")]
    pub set_rows: Vec<Row>,
    #[prost(fixed64, repeated, tag = "10")]
    pub unset_rows: Vec<u64>,
    #[prost(message, repeated, tag = "11")]
    pub set_rules: Vec<Rule>,
    #[prost(fixed64, repeated, tag = "12")]
    pub unset_rules: Vec<u64>,
    #[prost(message, repeated, tag = "13")]
    pub set_logged: Vec<Logged>,
    #[prost(fixed64, repeated, tag = "14")]
    pub unset_logged: Vec<u64>,
    #[prost(message, optional, tag = "20")]
    pub names: Option<NameChange>,
    #[prost(message, repeated, tag = "30")]
    pub set_hosts: Vec<HostProgram>,
    #[prost(message, repeated, tag = "31")]
    pub unset_hosts: Vec<EndpointId>,
    /// Not set: as before.
    #[prost(enumeration = "ToHost", tag = "32")]
    pub to_host: i32,
}

#[derive(Clone, PartialEq, Eq, Message)]
pub struct NameTables {
    #[prost(message, repeated, tag = "1")]
    pub patterns: Vec<NamePattern>,
    #[prost(message, repeated, tag = "2")]
    pub programs: Vec<Sight>,
    #[prost(message, repeated, tag = "3")]
    pub entries: Vec<NameEntry>,
}

#[derive(Clone, PartialEq, Eq, Message)]
pub struct NameChange {
    #[prost(message, repeated, tag = "1")]
    pub set_patterns: Vec<NamePattern>,
    #[prost(string, repeated, tag = "2")]
    pub unset_patterns: Vec<String>,
    #[prost(message, repeated, tag = "3")]
    pub set_programs: Vec<Sight>,
    #[prost(fixed64, repeated, tag = "4")]
    pub unset_programs: Vec<u64>,
    #[prost(message, repeated, tag = "5")]
    pub set_entries: Vec<NameEntry>,
    /// `row` is not set in these.
    #[prost(message, repeated, tag = "6")]
    pub unset_entries: Vec<NameEntry>,
}

#[derive(Clone, PartialEq, Eq, Message)]
pub struct NamePattern {
    #[prost(string, tag = "1")]
    pub pattern: String,
    #[prost(fixed64, repeated, tag = "2")]
    pub tags: Vec<u64>,
}

#[derive(Clone, PartialEq, Eq, Message)]
pub struct Sight {
    #[prost(fixed64, tag = "1")]
    pub program: u64,
    #[prost(fixed64, repeated, tag = "2")]
    pub tags: Vec<u64>,
    #[prost(bool, tag = "3")]
    pub is_cut: bool,
}

#[derive(Clone, PartialEq, Eq, Message)]
pub struct NameEntry {
    #[prost(fixed64, tag = "1")]
    pub program: u64,
    #[prost(fixed64, tag = "2")]
    pub class: u64,
    #[prost(fixed64, tag = "3")]
    pub set: u64,
    #[prost(fixed64, tag = "4")]
    pub row: u64,
}

#[derive(Clone, PartialEq, Message)]
pub struct HostProgram {
    #[prost(message, optional, tag = "1")]
    pub id: Option<EndpointId>,
    #[prost(message, repeated, tag = "2")]
    pub labels: Vec<Label>,
    /// `*`: all of the host's own; empty: those that have an address of the endpoint.
    #[prost(string, tag = "3")]
    pub interface: String,
    /// 4 or 16 bytes each.
    #[prost(bytes = "vec", repeated, tag = "4")]
    pub addresses: Vec<Vec<u8>>,
    #[prost(message, repeated, tag = "5")]
    pub stages: Vec<HostJudge>,
    #[prost(message, repeated, tag = "6")]
    pub failsafe_inbound: Vec<FailsafePort>,
    #[prost(message, repeated, tag = "7")]
    pub failsafe_outbound: Vec<FailsafePort>,
    #[prost(message, repeated, tag = "10")]
    pub staged: Vec<HostJudge>,
}

#[derive(Clone, PartialEq, Message)]
pub struct HostJudge {
    #[prost(enumeration = "HostStage", tag = "1")]
    pub stage: i32,
    #[prost(enumeration = "Direction", tag = "2")]
    pub direction: i32,
    #[prost(message, repeated, tag = "3")]
    pub locals: Vec<LocalProgram>,
}

#[derive(Clone, PartialEq, Eq, Message)]
pub struct LocalProgram {
    #[prost(message, optional, tag = "1")]
    pub prefix: Option<Prefix>,
    #[prost(fixed64, tag = "2")]
    pub program: u64,
}

#[derive(Clone, PartialEq, Eq, Message)]
pub struct FailsafePort {
    #[prost(uint32, tag = "1")]
    pub protocol: u32,
    #[prost(uint32, tag = "2")]
    pub port: u32,
    #[prost(message, optional, tag = "3")]
    pub net: Option<Prefix>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
pub enum HostStage {
    Unspecified = 0,
    Untracked = 1,
    PreDnat = 2,
    Normal = 3,
    Forward = 4,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
pub enum ToHost {
    Unspecified = 0,
    Drop = 1,
    Accept = 2,
    Return = 3,
}

#[derive(Clone, PartialEq, Eq, Message)]
pub struct EndpointId {
    #[prost(enumeration = "EndpointKind", tag = "1")]
    pub kind: i32,
    #[prost(string, tag = "2")]
    pub namespace: String,
    #[prost(string, tag = "3")]
    pub name: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
pub enum EndpointKind {
    Unspecified = 0,
    Pod = 1,
    Workload = 2,
    Host = 3,
}

#[derive(Clone, PartialEq, Eq, Message)]
pub struct Label {
    #[prost(string, tag = "1")]
    pub key: String,
    #[prost(string, tag = "2")]
    pub value: String,
}

#[derive(Clone, PartialEq, Message)]
pub struct EndpointProgram {
    #[prost(message, optional, tag = "1")]
    pub id: Option<EndpointId>,
    #[prost(message, repeated, tag = "2")]
    pub labels: Vec<Label>,
    #[prost(message, repeated, tag = "3")]
    pub addresses: Vec<JudgedAddress>,
    #[prost(string, optional, tag = "4")]
    pub interface: Option<String>,
    /// 6 bytes, or none.
    #[prost(bytes = "vec", tag = "5")]
    pub mac: Vec<u8>,
    #[prost(message, repeated, tag = "10")]
    pub staged: Vec<JudgedAddress>,
}

#[derive(Clone, PartialEq, Eq, Message)]
pub struct JudgedAddress {
    /// 4 or 16 bytes.
    #[prost(bytes = "vec", tag = "1")]
    pub address: Vec<u8>,
    #[prost(fixed64, tag = "2")]
    pub ingress: u64,
    #[prost(fixed64, tag = "3")]
    pub egress: u64,
}

#[derive(Clone, PartialEq, Eq, Message)]
pub struct Prefix {
    /// 4 or 16 bytes, no bit set beyond `length`.
    #[prost(bytes = "vec", tag = "1")]
    pub address: Vec<u8>,
    #[prost(uint32, tag = "2")]
    pub length: u32,
}

#[derive(Clone, PartialEq, Eq, Message)]
pub struct ClassMember {
    #[prost(message, optional, tag = "1")]
    pub prefix: Option<Prefix>,
    #[prost(fixed64, tag = "2")]
    pub class: u64,
}

#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub struct Entry {
    #[prost(fixed64, tag = "1")]
    pub program: u64,
    #[prost(fixed64, tag = "2")]
    pub class: u64,
    #[prost(fixed64, tag = "3")]
    pub row: u64,
}

#[derive(Clone, PartialEq, Message)]
pub struct Row {
    #[prost(fixed64, tag = "1")]
    pub id: u64,
    #[prost(message, repeated, tag = "2")]
    pub tcp: Vec<Span>,
    #[prost(message, repeated, tag = "3")]
    pub udp: Vec<Span>,
    #[prost(message, repeated, tag = "4")]
    pub sctp: Vec<Span>,
    #[prost(message, repeated, tag = "5")]
    pub icmp: Vec<Span>,
    #[prost(message, repeated, tag = "6")]
    pub icmpv6: Vec<Span>,
    #[prost(message, repeated, tag = "7")]
    pub other: Vec<Span>,
}

/// One leaf, or leaves by source port; never both.
#[derive(Clone, PartialEq, Message)]
pub struct Span {
    #[prost(uint32, tag = "1")]
    pub start: u32,
    #[prost(message, optional, tag = "2")]
    pub leaf: Option<Leaf>,
    #[prost(message, repeated, tag = "3")]
    pub by_source: Vec<SourceLeaf>,
}

#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub struct Leaf {
    #[prost(enumeration = "Decision", tag = "1")]
    pub decision: i32,
    #[prost(fixed64, tag = "2")]
    pub rule: u64,
}

#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub struct SourceLeaf {
    #[prost(uint32, tag = "1")]
    pub start: u32,
    #[prost(message, optional, tag = "2")]
    pub leaf: Option<Leaf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
pub enum Decision {
    Unspecified = 0,
    Allow = 1,
    Deny = 2,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
pub enum Direction {
    Unspecified = 0,
    Ingress = 1,
    Egress = 2,
}

#[derive(Clone, PartialEq, Eq, Message)]
pub struct Rule {
    #[prost(fixed64, tag = "1")]
    pub id: u64,
    #[prost(message, optional, tag = "2")]
    pub rule: Option<RuleRef>,
}

/// The Log rules before the rule that `id` stands for, in order, by their own ids.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct Logged {
    #[prost(fixed64, tag = "1")]
    pub id: u64,
    #[prost(fixed64, repeated, tag = "2")]
    pub rules: Vec<u64>,
}

#[derive(Clone, PartialEq, Eq, Message)]
pub struct RuleRef {
    #[prost(oneof = "RuleSource", tags = "1, 2, 3, 4, 5")]
    pub source: Option<RuleSource>,
}

#[derive(Clone, PartialEq, Eq, prost::Oneof)]
pub enum RuleSource {
    #[prost(message, tag = "1")]
    Rule(PolicyRule),
    #[prost(string, tag = "2")]
    TierDefault(String),
    #[prost(string, tag = "3")]
    Profile(String),
    /// Always true.
    #[prost(bool, tag = "4")]
    Unknown(bool),
    #[prost(enumeration = "HostRule", tag = "5")]
    Host(i32),
}

/// What decides about hosts, and about who sends, where no rule does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
pub enum HostRule {
    Unspecified = 0,
    NoProfile = 1,
    Failsafe = 2,
    StageDefault = 3,
    WorkloadToHost = 4,
    HostToWorkload = 5,
    NotItsOwn = 6,
}

#[derive(Clone, PartialEq, Eq, Message)]
pub struct PolicyRule {
    #[prost(string, tag = "1")]
    pub tier: String,
    #[prost(enumeration = "PolicyKind", tag = "2")]
    pub kind: i32,
    #[prost(string, tag = "3")]
    pub namespace: String,
    #[prost(string, tag = "4")]
    pub name: String,
    #[prost(enumeration = "Direction", tag = "5")]
    pub direction: i32,
    #[prost(uint32, tag = "6")]
    pub index: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
pub enum PolicyKind {
    Unspecified = 0,
    KubernetesNetworkPolicy = 1,
    NetworkPolicy = 2,
    GlobalNetworkPolicy = 3,
    ClusterNetworkPolicy = 4,
    AdminNetworkPolicy = 5,
    BaselineAdminNetworkPolicy = 6,
    StagedNetworkPolicy = 7,
    StagedGlobalNetworkPolicy = 8,
    StagedKubernetesNetworkPolicy = 9,
}

// === flows ===

#[derive(Clone, PartialEq, Eq, Message)]
pub struct Peer {
    #[prost(message, optional, tag = "1")]
    pub id: Option<EndpointId>,
    #[prost(message, repeated, tag = "2")]
    pub labels: Vec<Label>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
pub enum FlowEvent {
    Unspecified = 0,
    New = 1,
    Denied = 2,
    LateDenied = 3,
    Ended = 4,
    Update = 5,
}

#[derive(Clone, PartialEq, Eq, Message)]
pub struct Packet {
    #[prost(bytes = "vec", tag = "1")]
    pub src: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    pub dst: Vec<u8>,
    #[prost(uint32, tag = "3")]
    pub protocol: u32,
    #[prost(uint32, tag = "4")]
    pub src_port: u32,
    #[prost(uint32, tag = "5")]
    pub dst_port: u32,
    #[prost(uint32, tag = "6")]
    pub icmp_type: u32,
    #[prost(uint32, tag = "7")]
    pub icmp_code: u32,
}

#[derive(Clone, PartialEq, Message)]
pub struct FlowRecord {
    #[prost(string, tag = "1")]
    pub node: String,
    #[prost(enumeration = "FlowEvent", tag = "2")]
    pub event: i32,
    #[prost(message, optional, tag = "3")]
    pub reporter: Option<EndpointId>,
    #[prost(enumeration = "Direction", tag = "4")]
    pub direction: i32,
    #[prost(message, optional, tag = "5")]
    pub packet: Option<Packet>,
    #[prost(message, optional, tag = "6")]
    pub src: Option<Peer>,
    #[prost(message, optional, tag = "7")]
    pub dst: Option<Peer>,
    #[prost(enumeration = "Decision", tag = "8")]
    pub decision: i32,
    #[prost(message, optional, tag = "9")]
    pub rule: Option<RuleRef>,
    #[prost(uint64, tag = "10")]
    pub revision: u64,
    #[prost(uint64, tag = "11")]
    pub packets_forward: u64,
    #[prost(uint64, tag = "12")]
    pub bytes_forward: u64,
    #[prost(uint64, tag = "13")]
    pub packets_reverse: u64,
    #[prost(uint64, tag = "14")]
    pub bytes_reverse: u64,
    #[prost(fixed64, tag = "15")]
    pub started_ns: u64,
    #[prost(fixed64, tag = "16")]
    pub seen_ns: u64,
    #[prost(string, repeated, tag = "17")]
    pub names: Vec<String>,
    #[prost(message, repeated, tag = "18")]
    pub logged: Vec<RuleRef>,
}

#[derive(Clone, PartialEq, Message)]
pub struct FlowBatch {
    #[prost(fixed64, tag = "1")]
    pub boot: u64,
    #[prost(uint64, tag = "2")]
    pub sequence: u64,
    #[prost(message, repeated, tag = "3")]
    pub records: Vec<FlowRecord>,
}

#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub struct FlowReceipt {
    #[prost(uint64, tag = "1")]
    pub sequence: u64,
}

// === sessions ===

#[derive(Clone, PartialEq, Eq, Message)]
pub struct JoinRequest {
    #[prost(uint32, tag = "1")]
    pub version: u32,
    #[prost(string, tag = "2")]
    pub node: String,
    #[prost(string, tag = "3")]
    pub token: String,
    #[prost(string, tag = "4")]
    pub certificate_request: String,
}

#[derive(Clone, PartialEq, Eq, Message)]
pub struct JoinResponse {
    #[prost(string, tag = "1")]
    pub certificate: String,
    #[prost(string, tag = "2")]
    pub authority: String,
}

#[derive(Clone, PartialEq, Eq, Message)]
pub struct Hello {
    #[prost(uint32, tag = "1")]
    pub version: u32,
    #[prost(string, tag = "2")]
    pub node: String,
    #[prost(string, tag = "3")]
    pub agent_version: String,
    #[prost(uint64, tag = "4")]
    pub holds: u64,
    #[prost(fixed64, tag = "5")]
    pub digest: u64,
    #[prost(uint64, tag = "6")]
    pub enforces: u64,
    #[prost(fixed64, tag = "7")]
    pub life: u64,
}

#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub struct Welcome {
    #[prost(fixed64, tag = "1")]
    pub life: u64,
}

#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub struct Ack {
    #[prost(uint64, tag = "1")]
    pub revision: u64,
    #[prost(fixed64, tag = "2")]
    pub at_ns: u64,
}

#[derive(Clone, PartialEq, Eq, Message)]
pub struct Nack {
    #[prost(uint64, tag = "1")]
    pub revision: u64,
    #[prost(string, tag = "2")]
    pub reason: String,
}

#[derive(Clone, PartialEq, Eq, Message)]
pub struct NodeStatus {
    #[prost(uint64, tag = "1")]
    pub enforced: u64,
    #[prost(fixed64, tag = "2")]
    pub enforced_at_ns: u64,
    #[prost(uint32, tag = "3")]
    pub n_attached: u32,
    #[prost(uint32, tag = "4")]
    pub n_waiting: u32,
    #[prost(message, repeated, tag = "5")]
    pub waiting: Vec<EndpointId>,
    #[prost(uint64, tag = "6")]
    pub flows_lost: u64,
    #[prost(string, repeated, tag = "7")]
    pub drift: Vec<String>,
    #[prost(uint64, tag = "8")]
    pub log_events_suppressed: u64,
}

#[derive(Clone, PartialEq, Message)]
pub struct FromNode {
    #[prost(oneof = "NodeWord", tags = "1, 2, 3, 4, 5, 6")]
    pub word: Option<NodeWord>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
pub enum NodeWord {
    #[prost(message, tag = "1")]
    Hello(Hello),
    #[prost(message, tag = "2")]
    Ack(Ack),
    #[prost(message, tag = "3")]
    Nack(Nack),
    #[prost(message, tag = "4")]
    Status(NodeStatus),
    /// The reason.
    #[prost(string, tag = "5")]
    WantSnapshot(String),
    #[prost(message, tag = "6")]
    Surroundings(Surroundings),
}

#[derive(Clone, PartialEq, Eq, Message)]
pub struct Surroundings {
    #[prost(message, repeated, tag = "1")]
    pub labels: Vec<Label>,
    #[prost(message, repeated, tag = "2")]
    pub given: Vec<GivenAddresses>,
}

#[derive(Clone, PartialEq, Eq, Message)]
pub struct GivenAddresses {
    #[prost(message, optional, tag = "1")]
    pub id: Option<EndpointId>,
    /// 4 or 16 bytes each.
    #[prost(bytes = "vec", repeated, tag = "2")]
    pub addresses: Vec<Vec<u8>>,
}

#[derive(Clone, PartialEq, Message)]
pub struct ToNode {
    #[prost(oneof = "ServerWord", tags = "1, 2, 3")]
    pub word: Option<ServerWord>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
#[expect(clippy::large_enum_variant, reason = "one is read or written at a time, and not kept")]
pub enum ServerWord {
    #[prost(message, tag = "1")]
    Program(NodeProgram),
    #[prost(message, tag = "2")]
    Delta(ProgramDelta),
    #[prost(message, tag = "3")]
    Welcome(Welcome),
}
