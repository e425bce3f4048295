//! Every bound of the kernel side, in one place. `docs/limits.md` lists them with the tests that hold
//! them.

/// Sizes of the maps, in entries. They are fixed when a map is made; a node that wants others is torn
/// down first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MapSizes {
    /// (interface, address) pairs of local endpoints.
    pub endpoints: u32,
    pub interfaces: u32,
    /// Exact addresses of remote peers, for IPv4 and as many for IPv6.
    pub classes: u32,
    /// Prefixes of remote peers, for IPv4 and as many for IPv6.
    pub prefixes: u32,
    /// (program, class) pairs.
    pub entries: u32,
    pub rows: u32,
    /// Intervals of all rows together, where a row needs more than one.
    pub spans: u32,
    /// Addresses that endpoints know by DNS names.
    pub names: u32,
    /// (program, class, name set) triples.
    pub name_entries: u32,
    /// Names of slots: programs, classes, rows, rules, endpoints and name sets.
    pub slots: u32,
    /// Live flows and denied attempts; the least recently used one makes room.
    pub flows: u32,
    pub fragments: u32,
    /// Bytes of the ring buffer of events; a power of two.
    pub events_bytes: u32,
    /// Bytes of the ring buffer of DNS answers; a power of two.
    pub heard_bytes: u32,
}

impl MapSizes {
    pub const DEFAULT: Self = Self {
        endpoints: 4_096,
        interfaces: 1_024,
        classes: 131_072,
        prefixes: 131_072,
        entries: 262_144,
        rows: 65_536,
        spans: 1_048_576,
        names: 131_072,
        name_entries: 131_072,
        slots: 524_288,
        flows: 131_072,
        fragments: 8_192,
        events_bytes: 4 << 20,
        heard_bytes: 4 << 20,
    };

    /// Small enough that a test may make many nodes.
    pub const SMALL: Self = Self {
        endpoints: 256,
        interfaces: 64,
        classes: 4_096,
        prefixes: 4_096,
        entries: 8_192,
        rows: 2_048,
        spans: 32_768,
        names: 4_096,
        name_entries: 4_096,
        slots: 32_768,
        flows: 8_192,
        fragments: 256,
        events_bytes: 1 << 20,
        heard_bytes: 1 << 20,
    };
}

impl Default for MapSizes {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// Interfaces with a host endpoint, `hosts` of `bpf/src/hosts.h`.
pub const HOSTS_MAX: u32 = 256;
/// Near prefixes of all host endpoints. A table that changes stands beside the new one for a moment, so a
/// node should keep to half of it.
pub const LOCALS_MAX: u32 = 131_072;
/// Fail-safe ports of all lists.
pub const FAILSAFES_MAX: u32 = 4_096;

/// Spans that one protocol of one row may have: the kernel's search takes `SPAN_STEPS_MAX` steps.
pub const SPANS_PER_PART_MAX: usize = 65_536;

/// Source-port intervals under one span.
pub const SOURCES_PER_SPAN_MAX: usize = 65_535;

/// Elements that one batch system call carries.
pub const BATCH_MAX: usize = 4_096;

/// After a close (both FINs, or a reset) the last packets of a connection may still come; then its
/// record is final.
pub const CLOSED_LINGER_NS: u64 = 1_000_000_000;

/// Rules and endpoints that are gone are still named in records of flows that they judged; so many
/// of each are remembered.
pub const RETIRED_MAX: usize = 65_536;

/// The idle times of `bpf/src/flows.h`, `idle_max_ns`.
pub mod idle_s {
    pub const DENIED: u64 = 30;
    pub const CUT_TCP: u64 = 600;
    pub const TCP_CLOSED: u64 = 10;
    pub const TCP_OPENING: u64 = 60;
    pub const TCP: u64 = 86_400;
    pub const UDP_UNANSWERED: u64 = 60;
    pub const UDP: u64 = 180;
    pub const ICMP: u64 = 30;
    pub const OTHER: u64 = 600;
}

/// What is kept of DNS.
pub mod dns {
    /// Addresses that all endpoints of a node together know by names: half of the map `names`, so that
    /// old and new stand side by side while programs change.
    pub const ADDRESSES_MAX: usize = 65_536;
    /// Addresses that one endpoint knows by names.
    pub const ADDRESSES_PER_LOOKER_MAX: usize = 16_384;
    /// Names that one endpoint knows one address by.
    pub const NAMES_PER_ADDRESS_MAX: usize = 64;
    /// Records of one message that are looked at.
    pub const RECORDS_MAX: usize = 4_096;
    /// CNAMEs that follow one another.
    pub const CHAIN_MAX: usize = 16;
    /// DNS connections over TCP that are followed, of one endpoint and of all.
    pub const STREAMS_PER_LOOKER_MAX: usize = 64;
    pub const STREAMS_MAX: usize = 1_024;
    /// Bytes of one stream that are kept after a gap.
    pub const STREAM_AHEAD_MAX: usize = 128 << 10;
    /// A stream that nothing comes on is forgotten.
    pub const STREAM_IDLE_NS: u64 = 120_000_000_000;
    /// Questions of one endpoint that wait for their answer.
    pub const QUESTIONS_PER_LOOKER_MAX: usize = 512;
    /// So long a question waits.
    pub const QUESTION_NS: u64 = 30_000_000_000;
    /// Resolvers that are trusted.
    pub const RESOLVERS_MAX: usize = 64;
    /// A shorter time to live counts as this many seconds, a longer one as that many.
    pub const TTL_MIN_S: u32 = 60;
    pub const TTL_MAX_S: u32 = 86_400;
    /// How often the agent says that it listens.
    pub const LISTENED_EVERY_MS: u64 = 250;
}
